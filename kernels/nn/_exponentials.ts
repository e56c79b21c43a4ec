/** e^x of numbers that are not positive, and the logarithm of sums of those that hold a 1: what a softmax needs, as WGSL. */

/** e^x for x ≤ 0, or −∞: as models/accuracy.ts has it, with the fusing spelt out. */
function exponential(name: string, type: "f32" | "vec4f"): string {
  const of = (x: string): string => type === "f32" ? x : `vec4f(${x})`;
  const [i32, u32] = type === "f32" ? ["i32", "u32"] : ["vec4i", "vec4u"];
  const horner = [
    "0.0001984127f",
    "0.0013888889f",
    "0.008333334f",
    "0.041666668f",
    "0.16666667f",
    "0.5f",
    "1.0f",
    "1.0f",
  ]
    .reduce((p, c) => `fma(r, ${p}, ${of(c)})`, of("0.000024801588f"));
  return /* wgsl */ `
fn ${name}(given: ${type}) -> ${type} {
  let x = max(given, ${of("-150.0f")});
  let n = round(x * 1.4426950408889634f);
  let r = fma(n, ${of("0.00021219444f")}, fma(n, ${of("-0.693359375f")}, x));
  let bits = bitcast<${u32}>(${horner});
  let exponent = ${i32}(n);
  let moved = bitcast<${u32}>(bitcast<${i32}>(bits) + exponent * 8388608);
  return select(${of("0.0f")}, bitcast<${type}>(moved), ${i32}(bits >> ${u32}(23u)) + exponent >= ${i32}(1));
}`;
}

/**
 * `exp_at_most_1(x)` and `exp4_at_most_1(x)` for x ≤ 0 (or little above), `log_at_least_1(x)` for x ≥ 1: 15 u of its value at
 * most, see models/accuracy.ts on log1p, and one more for the sum of its parts.
 */
export const exponentials: string = /* wgsl */ `
${exponential("exp_at_most_1", "f32")}
${exponential("exp4_at_most_1", "vec4f")}
fn log_at_least_1(x: f32) -> f32 {
  let bits = bitcast<u32>(x);
  let n = f32(i32(bits >> 23u) - 127);
  let t = bitcast<f32>((bits & 0x007fffffu) | 0x3f800000u) - 1.0;
  let s = t / (2.0 + t);
  let z = s * s;
  let series = 1.0 + z * (0.33333334 + z * (0.2 + z * (0.14285715 + z * (0.11111111 + z * (0.09090909 + z * (
    0.07692308 + z * 0.06666667))))));
  return fma(n, 0.693359375, fma(n, -0.00021219444, (s + s) * series));
}
`;
