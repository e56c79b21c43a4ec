/**
 * One sequence of the chunked linear attention family in f64, and how far an f32 kernel may be from it.
 *
 * @module
 */
import { CHUNK_FLOOR, chunkRoundings } from "../../kernels/chunk/rounding.ts";
import type { MatrixMode } from "../../kernels/matrix_unit.ts";

/** Inputs of one sequence, q scaled; `gate(t, key)` is the multiplier of the state. */
export interface ChunkSequence {
  readonly T: number;
  readonly K: number;
  readonly V: number;
  readonly q: ArrayLike<number>;
  readonly k: ArrayLike<number>;
  readonly v: ArrayLike<number>;
  /** Undefined without decay. */
  readonly gate: ((t: number, key: number) => number) | undefined;
  /** `[K]`, at most 1 each: token t reads the state before its own update, and diag(bonus) k vᵀ. */
  readonly bonus?: ArrayLike<number> | undefined;
}

/** How a kernel computes. */
export interface ChunkMachine {
  readonly mode: MatrixMode;
  readonly hardware: boolean;
  /** Tokens of a chunk, at most. */
  readonly chunk: number;
  /** Roundings of a gate: its exponential and one product. */
  readonly gateRoundings: number;
  /** Roundings that a term k v comes with; default 0. */
  readonly termRoundings?: number;
  /** Relative error of a stored output. */
  readonly stored: number;
}

/** Outputs `[T, V]`, and the error that each of them is allowed. */
export interface ChunkTruth {
  readonly outputs: Float64Array;
  readonly radii: Float64Array;
}

/**
 * The recurrence, and beside it the majorant h̄ of the state and the error E that its gates can have caused (oracle/bound.ts,
 * rounding.ts): with r roundings of u a gate and one addition a chunk of at least 16 tokens,
 *
 *     E ← a (E + (r + 1/16) u h̄)     h̄ ← a h̄ + |k v|     |error of o| ≤ Σ |q| (E + ((1 + u)^d − 1) h̄) + floor
 *
 * With a bonus, E and h̄ of the state before, and one more such E for what a gate would have paid for.
 */
export function chunkTruth({ T, K, V, q, k, v, gate, bonus }: ChunkSequence, machine: ChunkMachine): ChunkTruth {
  const u = 2 ** -24;
  const late = (1 + u) ** (chunkRoundings({ K, ...machine }) + (machine.termRoundings ?? 0)) - 1;
  const lost = ((gate === undefined ? 0 : machine.gateRoundings) + 1 / 16) * u;
  const outputs = new Float64Array(T * V);
  const radii = new Float64Array(T * V);
  const [S, E, most] = [new Float64Array(K * V), new Float64Array(K * V), new Float64Array(K * V)];
  let [high, keys, values, query] = [0, 0, 0, 0];
  for (let t = 0; t < T; t++) {
    for (let i = 0; i < K; i++) {
      const a = gate === undefined ? 1 : gate(t, i);
      const x = q[t * K + i]!;
      const y = k[t * K + i]!;
      keys = Math.max(keys, Math.abs(y));
      query = Math.max(query, Math.abs(x));
      for (let j = 0, at = i * V, out = t * V; j < V; j++, at++, out++) {
        const added = y * v[out]!;
        if (bonus !== undefined) {
          const own = bonus[i]! * added;
          outputs[out] = outputs[out]! + x * (S[at]! + own);
          const h = most[at]! + Math.abs(own);
          radii[out] = radii[out]! + Math.abs(x) * (E[at]! + lost * most[at]! + late * h);
        }
        E[at] = a * (E[at]! + lost * most[at]!);
        const s = S[at] = a * S[at]! + added;
        const h = most[at] = a * most[at]! + Math.abs(added);
        if (h > high) high = h;
        if (bonus !== undefined) continue;
        outputs[out] = outputs[out]! + x * s;
        radii[out] = radii[out]! + Math.abs(x) * (E[at]! + late * h);
      }
    }
    for (let j = 0; j < V; j++) values = Math.max(values, Math.abs(v[t * V + j]!));
  }
  const floor = machine.mode === "f32" ? 0 : CHUNK_FLOOR * K * query * (2 * high + 4 * machine.chunk * keys * values) +
    2 * CHUNK_FLOOR * T * keys * values * K * query;
  // Halves below 2^−14 are multiples of 2^−24.
  const least = machine.stored === 0 ? 0 : 2 ** -25;
  const allowed = (radius: number, x: number): number =>
    (radius + machine.stored * (Math.abs(x) + radius) + least + floor) * (1 + 2 ** -20);
  return { outputs, radii: radii.map((radius, i) => allowed(radius, outputs[i]!)) };
}
