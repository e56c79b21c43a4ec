/**
 * Errors on their way through exact transitions: what is injected with |Δ_i| ≤ δ_i has become at most `Σ_i |M_{t,i}| δ_i` by
 * step t, entry by entry, with M the product of the transitions since.
 *
 * The M of the latest {@link EXACT} injections are kept; older ones are bounded norm-wise, per column.
 *
 * @module
 */
import { euclid } from "./defect.ts";

/** Injections that are carried exactly. */
const EXACT = 256;

/** The error of a state `[K, V]` whose transitions are known. */
export interface Drift {
  /** An error of at most `bound`, entry by entry, comes in. */
  inject(bound: Float64Array): void;
  /** The state goes through E `[K, K]`, of norm at most `norm`. */
  move(E: Float64Array, norm: number): void;
  /** What every entry may be off by. */
  entries(): Float64Array;
}

interface Injection {
  readonly bound: Float64Array;
  M: Float64Array;
}

/** A state without error. */
export function newDrift(K: number, V: number): Drift {
  let recent: Injection[] = [];
  let older: Float64Array = new Float64Array(V);
  const identity = Float64Array.from({ length: K * K }, (_, n) => n % (K + 1) === 0 ? 1 : 0);

  /** |M| δ, added to `into`. */
  function reach({ M, bound }: Injection, into: Float64Array): Float64Array {
    for (let p = 0; p < K; p++) {
      for (let k = 0; k < K; k++) {
        const weight = Math.abs(M[p * K + k]!);
        if (weight === 0) continue;
        for (let v = 0; v < V; v++) into[p * V + v]! += weight * bound[k * V + v]!;
      }
    }
    return into;
  }

  return {
    inject(bound) {
      recent.push({ bound, M: identity });
      if (recent.length <= EXACT) return;
      const old = recent.shift()!;
      const reached = reach(old, new Float64Array(K * V));
      older = older.map((e, v) => e + euclid(reached, v, K * V, V));
    },
    move(E, norm) {
      recent = recent.map(({ bound, M }) => {
        const moved = new Float64Array(K * K);
        for (let p = 0; p < K; p++) {
          for (let j = 0; j < K; j++) {
            const weight = E[p * K + j]!;
            if (weight === 0) continue;
            for (let k = 0; k < K; k++) moved[p * K + k]! += weight * M[j * K + k]!;
          }
        }
        return { bound, M: moved };
      });
      older = older.map((e) => norm * e);
    },
    entries() {
      const out = Float64Array.from({ length: K * V }, (_, n) => older[n % V]!);
      for (const injection of recent) reach(injection, out);
      return out;
    },
  };
}
