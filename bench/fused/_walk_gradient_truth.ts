/**
 * Gradients of one sequence of linear attention with any decay, in f64, and how far kernels/walk/gradients.ts may be from them.
 *
 * @module
 */
import type { WalkGradientOptions } from "../../kernels/walk/gradients.ts";
import { WAITING_ROUNDINGS } from "../../kernels/walk/walk.ts";

/** One sequence: rows of K and of V numbers, as the kernel read them; `dg` as it wrote it. */
export interface WalkGradientSequence {
  /** Default: a number a key. `g` and `dg` then have K numbers a token, one for `scalar`; else `dg` has none. */
  readonly decay?: WalkGradientOptions["decay"] & string;
  readonly T: number;
  readonly K: number;
  readonly V: number;
  readonly scale: number;
  readonly q: ArrayLike<number>;
  readonly k: ArrayLike<number>;
  /** Logarithms: K a token, one a token, one (of a head), or none. */
  readonly g: ArrayLike<number>;
  readonly v: ArrayLike<number>;
  readonly dO: ArrayLike<number>;
  readonly dg: ArrayLike<number>;
}

/** Numbers, and what each may be off by. */
export interface Bounded {
  readonly truth: Float64Array;
  readonly allowed: Float64Array;
}

const UNIT = 2 ** -24;
/** Tokens from one of the kernel's own dg to the next that it is held to. */
const PIECE = 64;

/** One walk (kernels/walk/walk.ts) with gates per row or per column. */
function walked(
  { T, R, C, x, y, z, gate, columns, reverse, scale, waiting }: {
    readonly T: number;
    readonly R: number;
    readonly C: number;
    readonly x: ArrayLike<number>;
    readonly y: ArrayLike<number>;
    readonly z: ArrayLike<number>;
    /** Multipliers, `[T, R]`, or `[T, C]`. */
    readonly gate: Float64Array;
    readonly columns: boolean;
    readonly reverse: boolean;
    readonly scale: number;
    /** Roundings of a term besides. */
    readonly waiting: number;
  },
): Bounded {
  const [state, size, error] = [new Float64Array(R * C), new Float64Array(R * C), new Float64Array(R * C)];
  const truth = new Float64Array(T * C);
  const allowed = new Float64Array(T * C);
  const wide = columns ? C : R;
  for (let n = 0; n < T; n++) {
    const t = reverse ? T - 1 - n : n;
    // In reverse the decay of token t stands between t and t − 1: here it is taken as the walk comes to t − 1.
    const g = (reverse ? t + 1 : t) * wide;
    for (let i = 0; i < R; i++) {
      const xi = x[t * R + i]!;
      const zi = scale * z[t * R + i]!;
      const weight = Math.abs(zi);
      for (let j = 0, at = i * C; j < C; j++, at++) {
        const a = n === 0 ? 1 : gate[g + (columns ? j : i)]!;
        const term = xi * y[t * C + j]!;
        const moved = a * size[at]!;
        const whole = moved + Math.abs(term);
        // 3 units of the exponential and its argument's share (|g| ≤ 1: below 1), 1 of the product, and 2 of what is added.
        const e = error[at] = a * error[at]! + UNIT * (7 * moved + 2 * whole);
        size[at] = whole;
        const s = state[at] = a * state[at]! + term;
        truth[t * C + j] = truth[t * C + j]! + zi * s;
        allowed[t * C + j] = allowed[t * C + j]! + weight * (e + (R + 3 + waiting) * UNIT * whole);
      }
    }
  }
  return { truth, allowed };
}

/**
 * True gradients; `own`: of the gates, from the kernel's own number 64 tokens later (where dg has the roundings of all
 * tokens behind it, which no bound can be tight about). In a piece and the sum's tiles of 64 tokens around it a term
 * meets at most 256 additions, each off by u times what it gives: no more than the largest dg and what was added near by.
 */
export function walkGradientTruth(
  { decay = "rows", T, K, V, scale, q, k, g, v, dO, dg }: WalkGradientSequence,
): { readonly dq: Bounded; readonly dk: Bounded; readonly dv: Bounded; readonly dg: Bounded; readonly own: Bounded } {
  const gateAt = {
    none: () => 0,
    scalar: (n: number) => g[Math.floor(n / K)]!,
    head: () => g[0]!,
    rows: (n: number) => g[n]!,
  };
  const gate = Float64Array.from({ length: T * K }, (_, n) => Math.exp(gateAt[decay](n)));
  // Gates of one number a token are the same for keys and for columns of the transposed state.
  const base = { T, scale, waiting: 0 } as const;
  const waits = decay === "scalar" || decay === "head" ? { waiting: WAITING_ROUNDINGS } : {};
  const dq = walked({ ...base, ...waits, gate, R: V, C: K, x: v, y: k, z: dO, columns: true, reverse: false });
  const dv = walked({ ...base, gate, R: K, C: V, x: q, y: dO, z: k, columns: false, reverse: true });
  const dk = walked({ ...base, gate, R: V, C: K, x: dO, y: q, z: v, columns: true, reverse: true });
  // What is summed over later tokens: a number a key, or of all keys together.
  const columns = decay === "rows" ? K : decay === "scalar" ? 1 : 0;
  const terms = new Float64Array(T * columns);
  const radii = new Float64Array(T * columns);
  const sizes = new Float64Array(T * columns);
  for (let n = 0; n < T * K && columns > 0; n++) {
    const at = columns === K ? n : Math.floor(n / K);
    const [up, down] = [q[n]! * dq.truth[n]!, k[n]! * dk.truth[n]!];
    const off = Math.abs(q[n]!) * dq.allowed[n]! + Math.abs(k[n]!) * dk.allowed[n]!;
    const size = Math.abs(up) + Math.abs(down) + off;
    terms[at] = terms[at]! + up - down;
    sizes[at] = sizes[at]! + size;
    // A product and a difference; over keys as many additions besides.
    radii[at] = radii[at]! + off + (columns === K ? 2 : 2 + K) * UNIT * size;
  }
  const whole = { truth: new Float64Array(T * columns), allowed: new Float64Array(T * columns) };
  const own = { truth: new Float64Array(T * columns), allowed: new Float64Array(T * columns) };
  let peak = 0;
  for (let n = 0; n < T * columns; n++) peak = Math.max(peak, Math.abs(dg[n]!));
  for (let i = 0; i < columns; i++) {
    let [sum, total, piece, radius] = [0, 0, 0, 0];
    for (let t = T - 1; t >= 0; t--) {
      const n = t * columns + i;
      if ((t + 1) % PIECE === 0 && t + 1 < T) [piece, radius] = [dg[n + columns]!, 0];
      sum += terms[n]!;
      total += radii[n]!;
      piece += terms[n]!;
      radius += radii[n]!;
      let near = 0;
      const end = Math.min(T, t - t % PIECE + 2 * PIECE);
      for (let s = Math.max(0, t - PIECE); s < end; s++) near += sizes[s * columns + i]!;
      [whole.truth[n], whole.allowed[n]] = [sum, total + T * UNIT * (peak + near)];
      [own.truth[n], own.allowed[n]] = [piece, radius + 256 * UNIT * (peak + near)];
    }
  }
  return { dq, dk, dv, dg: whole, own };
}
