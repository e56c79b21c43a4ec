/**
 * Calls of flash-linear-attention (`fla.ops`), one function per op.
 *
 * Upstream: `[B, T, H, K]` (for the older head-first layout apply `swapHeadsAndTime` first), log gates, q multiplied by
 * `scale` inside (default K^−1/2), states `[B, H, K, V]`. Shapes that disagree throw an `InputError`.
 *
 * @module
 */
import type { AnyAffineModel } from "../affine.ts";
import { deltaNet } from "../delta_net.ts";
import { deltaProductOf } from "../delta_product.ts";
import { InputError } from "../error.ts";
import { gatedDeltaNet } from "../gated_delta_net.ts";
import { gla as glaModel } from "../gla.ts";
import { hgrn as hgrnModel } from "../hgrn.ts";
import type { Dims } from "../inputs.ts";
import { kda as kdaModel } from "../kda.ts";
import { linearAttention as linearAttentionModel } from "../linear_attention.ts";
import { linearAttentionNormalised } from "../linear_attention_normalised.ts";
import { retnet } from "../retnet.ts";
import { rwkv6 as rwkv6Model } from "../rwkv6.ts";
import { rwkv7 as rwkv7Model } from "../rwkv7.ts";
import type { Call } from "./call.ts";
import { expectShape, mapped, type NdArray, queryOf, scaledQuery } from "./layout.ts";

/** What every op of the attention family takes. */
export interface Attention {
  /** `[B, T, H, K]`. */
  readonly q: NdArray;
  readonly k: NdArray;
  /** `[B, T, H, V]`. */
  readonly v: NdArray;
  /** Initial state `[B, H, K, V]`; zero if absent. */
  readonly h0?: NdArray;
  /** What q is multiplied by. Default K^−1/2. */
  readonly scale?: number;
}

interface Extents {
  readonly B: number;
  readonly T: number;
  readonly H: number;
  readonly K: number;
  readonly V: number;
}

function extents(op: string, { q, v }: Attention): Extents {
  const [B, T, H, K] = q.shape;
  const V = v.shape.at(-1);
  if (q.shape.length !== 4 || B === undefined || T === undefined || H === undefined || K === undefined || !V) {
    throw new InputError(`Cannot convert ${op}: q must have shape [B, T, H, K], got [${q.shape.join(", ")}]`);
  }
  return { B, T, H, K, V };
}

/** The common ending: dims, the initial state, outputs `o` and the final `state`, both without a copy. */
function call(
  op: string,
  model: AnyAffineModel,
  { B, T, H, K, V }: Extents,
  inputs: { readonly [name: string]: NdArray },
  h0?: NdArray,
): Call {
  const dims: Dims = { B, T, H, sizes: { K, V } };
  if (h0 !== undefined) expectShape(op, "h0", h0, [B, H, K, V]);
  return {
    model,
    dims,
    inputs: Object.fromEntries(Object.entries(inputs).map(([name, x]) => [name, x.data])),
    ...(h0 === undefined ? {} : { initialState: h0.data }),
    results: ({ outputs, finalState }) => ({
      o: { shape: [B, T, H, V], data: outputs },
      state: { shape: [B, H, K, V], data: finalState },
    }),
  };
}

/** The attention family with one more input or several, each of the given shape per token and head. */
function attention(
  op: string,
  model: AnyAffineModel,
  given: Attention,
  more: { readonly [name: string]: readonly [NdArray, "scalar" | "key"] } = {},
): Call {
  const at = extents(op, given);
  const token = [at.B, at.T, at.H];
  expectShape(op, "q", given.q, [...token, at.K]);
  expectShape(op, "k", given.k, [...token, at.K]);
  expectShape(op, "v", given.v, [...token, at.V]);
  for (const [name, [x, kind]] of Object.entries(more)) {
    expectShape(op, name, x, kind === "key" ? [...token, at.K] : token);
  }
  const extra = Object.fromEntries(Object.entries(more).map(([name, [x]]) => [name, x]));
  return call(op, model, at, { q: queryOf(given.q, given.scale), k: given.k, v: given.v, ...extra }, given.h0);
}

/** `linear_attn` without its normaliser. */
export function linearAttention(given: Attention): Call {
  return attention("linear attention", linearAttentionModel, given);
}

/**
 * `linear_attn` with `normalize`: q and k ≥ 0. The final `state` comes without its normaliser, which is `z`,
 * `[B, H, K]`.
 */
export function linearAttentionNormalized({ q, k, v, scale }: Omit<Attention, "h0">): Call {
  const given = scale === undefined ? { q, k, v } : { q, k, v, scale };
  const plain = attention("normalised linear attention", linearAttentionNormalised, given);
  const { B, T, H, sizes } = plain.dims;
  const [K, V] = [sizes.K!, sizes.V!];
  return {
    ...plain,
    results: ({ outputs, finalState }) => {
      const row = (i: number): number => Math.floor(i / V) * (V + 1) + i % V;
      return {
        o: { shape: [B, T, H, V], data: outputs },
        state: {
          shape: [B, H, K, V],
          data: Float64Array.from({ length: B * H * K * V }, (_, i) => finalState[row(i)]!),
        },
        z: { shape: [B, H, K], data: Float64Array.from({ length: B * H * K }, (_, i) => finalState[i * (V + 1) + V]!) },
      };
    },
  };
}

/** `retention`: the decay of head h is 1 − 2^(−5−h). */
export function retention(given: Attention): Call {
  return attention("retention", retnet, given);
}

/** `gla`: g `[B, T, H, K]`. */
export function gla(given: Attention & { readonly g: NdArray }): Call {
  return attention("gla", glaModel, given, { g: [given.g, "key"] });
}

/** `simple_gla`: g `[B, T, H]`, the same for every key channel of GLA. */
export function simpleGla(given: Attention & { readonly g: NdArray }): Call {
  const { B, T, H, K } = extents("simple_gla", given);
  expectShape("simple_gla", "g", given.g, [B, T, H]);
  const data = Float64Array.from({ length: B * T * H * K }, (_, i) => given.g.data[Math.floor(i / K)]!);
  return gla({ ...given, g: { shape: [B, T, H, K], data } });
}

/**
 * `hgrn`: h = e^g h + x, x and g `[B, T, D]`, h0 and state `[B, D]`. Here x = (1 − e^g) c, so c is the quotient; where
 * g = 0 the model cannot write, and an x other than 0 throws an `InputError`.
 */
export function hgrn({ x, g, h0 }: { readonly x: NdArray; readonly g: NdArray; readonly h0?: NdArray }): Call {
  const [B, T, D] = x.shape;
  if (x.shape.length !== 3 || B === undefined || T === undefined || D === undefined) {
    throw new InputError(`Cannot convert hgrn: x must have shape [B, T, D], got [${x.shape.join(", ")}]`);
  }
  expectShape("hgrn", "g", g, [B, T, D]);
  if (h0 !== undefined) expectShape("hgrn", "h0", h0, [B, D]);
  const c = mapped(x, (value, i) => {
    if (value === 0) return 0;
    const share = -Math.expm1(g.data[i]!);
    if (share === 0) throw new InputError(`Cannot convert hgrn: x must be 0 where g = 0, got ${value} at ${i}`);
    return value / share;
  });
  return {
    model: hgrnModel,
    dims: { B, T, H: 1, sizes: { D } },
    inputs: { g: g.data, c: c.data },
    ...(h0 === undefined ? {} : { initialState: h0.data }),
    results: ({ outputs, finalState }) => ({
      o: { shape: [B, T, D], data: outputs },
      state: { shape: [B, D], data: finalState },
    }),
  };
}

/** `rwkv6`: q (or r), w `[B, T, H, K]`, u `[H, K]`. The model has no scale, so q takes it here. */
export function rwkv6(given: Attention & { readonly w: NdArray; readonly u: NdArray }): Call {
  const { H, K } = extents("rwkv6", given);
  expectShape("rwkv6", "u", given.u, [H, K]);
  const { scale, ...rest } = given;
  const q = scaledQuery(given.q, scale ?? 1 / Math.sqrt(K));
  const made = attention("rwkv6", rwkv6Model, { ...rest, q }, { w: [given.w, "key"] });
  return { ...made, inputs: { ...made.inputs, u: given.u.data } };
}

/**
 * `rwkv7`: S = diag(e^w) S + b (aᵀS) + k vᵀ with a = −κ̂ and b = κ̂ ∘ η, all `[B, T, H, K]`; r is the query, scale
 * default 1. Where κ̂ = 0 no η makes b other than 0: that throws an `InputError`.
 */
export function rwkv7(
  { r, w, k, v, a, b, h0, scale = 1 }: {
    readonly r: NdArray;
    readonly w: NdArray;
    readonly k: NdArray;
    readonly v: NdArray;
    readonly a: NdArray;
    readonly b: NdArray;
    readonly h0?: NdArray;
    readonly scale?: number;
  },
): Call {
  expectShape("rwkv7", "b", b, a.shape);
  const eta = mapped(b, (value, i) => {
    if (value === 0) return 0;
    if (a.data[i] === 0) throw new InputError(`Cannot convert rwkv7: b must be 0 where a = 0, got ${value} at ${i}`);
    // The quotient of two rounded numbers may pass 1 by an ulp or two.
    const quotient = -value / a.data[i]!;
    return quotient > 1 && quotient <= 1 + 2 ** -21 ? 1 : quotient;
  });
  const given = { q: scaledQuery(r, scale), k, v, ...(h0 === undefined ? {} : { h0 }) };
  return attention("rwkv7", rwkv7Model, given, {
    w: [w, "key"],
    kappa: [mapped(a, (x) => -x), "key"],
    eta: [eta, "key"],
  });
}

/** `delta_rule`: beta `[B, T, H]`, k of norm ≤ 1. */
export function deltaRule(given: Attention & { readonly beta: NdArray }): Call {
  return attention("delta_rule", deltaNet, given, { beta: [given.beta, "scalar"] });
}

/** `gated_delta_rule`: g and beta `[B, T, H]`. */
export function gatedDeltaRule(given: Attention & { readonly g: NdArray; readonly beta: NdArray }): Call {
  return attention("gated_delta_rule", gatedDeltaNet, given, { g: [given.g, "scalar"], beta: [given.beta, "scalar"] });
}

/** `kda`: g `[B, T, H, K]`, beta `[B, T, H]`. */
export function kda(given: Attention & { readonly g: NdArray; readonly beta: NdArray }): Call {
  return attention("kda", kdaModel, given, { g: [given.g, "key"], beta: [given.beta, "scalar"] });
}

/**
 * `gated_delta_product` with `steps` Householder steps a token: k, v, beta `[B, T·steps, H, …]`, q and g per token.
 * The naive reference ignores its `scale`: give `scale: 1` to mean the same.
 */
export function gatedDeltaProduct(
  given: Attention & { readonly g: NdArray; readonly beta: NdArray; readonly steps: number },
): Call {
  const op = "gated_delta_product";
  const at = extents(op, given);
  const micro = [at.B, at.T * given.steps, at.H];
  expectShape(op, "k", given.k, [...micro, at.K]);
  expectShape(op, "v", given.v, [...micro, at.V]);
  expectShape(op, "beta", given.beta, micro);
  expectShape(op, "g", given.g, [at.B, at.T, at.H]);
  const { k, v, g, beta } = given;
  return call(op, deltaProductOf(given.steps), at, { q: queryOf(given.q, given.scale), k, v, g, beta }, given.h0);
}
