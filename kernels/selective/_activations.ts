/**
 * softplus, sigmoid and the gates' exponential on four tokens at once.
 *
 * softplus and sigmoid keep what models/accuracy.ts promises, by the same polynomials as profile.ts; but as they take
 * e^−|x| only, the exponent is bounded on one side and scaling by it is one exact product.
 */
import { f32Profile } from "../profile.ts";
import type { Tiling } from "./tiling.ts";

/** e^−87.4 is below 2^-126, what a flush may lose, and its exponent still that of a normal number. */
const activations = /* wgsl */ `
fn ss_exp_negative(given: vec4f) -> vec4f {
  let x = max(given, vec4f(-87.4f));
  let n = round(x * 1.4426950408889634f);
  let r = (x - n * 0.693359375f) - n * -0.00021219444f;
  let p = 1.0 + r * (1.0 + r * (0.5 + r * (0.16666667f + r * (0.041666668f + r * (0.008333334f + r * (0.0013888889f +
    r * (0.0001984127f + r * 0.000024801588f)))))));
  return p * bitcast<vec4f>(vec4u(vec4i(n) + vec4i(127)) << vec4u(23u));
}
// log(1 + t), 0 ≤ t ≤ 1.
fn ss_log1p(t: vec4f) -> vec4f {
  let s = t / (2.0 + t);
  let z = s * s;
  return (s + s) * (1.0 + z * (0.33333334f + z * (0.2f + z * (0.14285715f + z * (0.11111111f + z * (0.09090909f + z * (
    0.07692308f + z * 0.06666667f)))))));
}
// σ(x) from t = e^−|x|.
fn ss_sigmoid_of(x: vec4f, t: vec4f) -> vec4f { return select(vec4f(1.0), t, x < vec4f()) / (1.0 + t); }
fn ss_sigmoid(x: vec4f) -> vec4f { return ss_sigmoid_of(x, ss_exp_negative(-abs(x))); }
fn ss_softplus_of(x: vec4f, t: vec4f) -> vec4f { return max(x, vec4f()) + ss_log1p(t); }
fn ss_softplus(x: vec4f) -> vec4f { return ss_softplus_of(x, ss_exp_negative(-abs(x))); }
`;

/** `ss_gate(delta, rate)`: e^{ΔA} of four tokens, from what {@linkcode rateFactor} makes of A. */
const gates = {
  native: /* wgsl */ `
fn ss_gate(delta: vec4f, rate: f32) -> vec4f { return exp2(delta * rate); }
`,
  accurate: f32Profile.prelude + /* wgsl */ `
fn ss_gate(delta: vec4f, rate: f32) -> vec4f {
  let x = delta * rate;
  return vec4f(ds_exp(x.x), ds_exp(x.y), ds_exp(x.z), ds_exp(x.w));
}
`,
};

/** WGSL functions that the kernels call. */
export function activationText({ exp }: Tiling): string {
  return activations + gates[exp];
}

/** What A is multiplied by, once, to be the rate of `ss_gate`: WGSL to append. */
export function rateFactor({ exp }: Tiling): string {
  return exp === "native" ? " * 1.4426950408889634f" : "";
}
