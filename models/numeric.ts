/**
 * What every algebra of executed (not traced) numbers shares: positions are JavaScript numbers, so `sum`, `eye` and
 * `below` are loops and comparisons; and powers of two are exact.
 *
 * @module
 */

import type { Index, Ring } from "./arith.ts";

/**
 * The number behind a position.
 *
 * @throws {TypeError} if `i` is a symbol: only a trace has those, and only the tracing algebra understands them.
 */
export function positionOf(i: Index): number {
  if (typeof i === "number") return i;
  throw new TypeError(`Cannot execute a model: an index must be a number, got the symbol ${i.symbol}`);
}

/** `sum` (left to right from `zero`), `eye` and `below` of an algebra whose positions are numbers. */
export function numericIndexing<N>(
  zero: N,
  one: N,
  add: (a: N, b: N) => N,
): Pick<Ring<N>, "sum" | "eye" | "below"> {
  return {
    sum(n: number, term: (i: Index) => N): N {
      let total = zero;
      for (let i = 0; i < n; i++) total = add(total, term(i));
      return total;
    },
    eye: (i: Index, j: Index): N => positionOf(i) === positionOf(j) ? one : zero,
    below: (i: Index, n: number, then: (i: Index) => N, otherwise: () => N): N =>
      positionOf(i) < n ? then(i) : otherwise(),
  };
}

const float = new Float64Array(1);
const words = new Uint32Array(float.buffer);
// The index of a double's upper word depends on the byte order of the host.
float[0] = 1;
const HIGH = words[1] === 0x3ff00000 ? 1 : 0;
const LOW = 1 - HIGH;

/** `2^k` as a double, for an integer `k` in [-1074, 1023]; built from its bits, since `**` need not be exact. */
export function powerOfTwo(k: number): number {
  words[LOW] = k >= -1022 ? 0 : k >= -1042 ? 0 : 1 << (k + 1074);
  words[HIGH] = k >= -1022 ? (k + 1023) << 20 : k >= -1042 ? 1 << (k + 1042) : 0;
  return float[0]!;
}

/** The integer `e` with `2^e ≤ |x| < 2^(e+1)`; 0 for x = 0, NaN where x is not finite. Subnormals included. */
export function exponentOf(x: number): number {
  float[0] = x;
  const high = words[HIGH]! & 0x7fffffff;
  const biased = high >>> 20;
  if (biased === 0x7ff) return NaN;
  if (biased !== 0) return biased - 1023;
  if (high !== 0) return -1011 - Math.clz32(high);
  const low = words[LOW]!;
  return low === 0 ? 0 : -1043 - Math.clz32(low);
}

/** `x = sign · mantissa · 2^exponent` with an odd integer mantissa (0 for x = 0). `x` must be finite. */
export function oddParts(x: number): { readonly mantissa: number; readonly exponent: number } {
  if (x === 0) return { mantissa: 0, exponent: 0 };
  float[0] = x;
  const low = words[LOW]!;
  const high = words[HIGH]!;
  const biased = (high >>> 20) & 0x7ff;
  const top = biased === 0 ? high & 0xfffff : (high & 0xfffff) | 0x100000;
  const zeros = low !== 0 ? 31 - Math.clz32(low & -low) : 63 - Math.clz32(top & -top);
  const magnitude = (top * 4294967296 + low) / powerOfTwo(zeros);
  return { mantissa: x < 0 ? -magnitude : magnitude, exponent: (biased === 0 ? -1074 : biased - 1075) + zeros };
}
