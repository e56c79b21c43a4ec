/**
 * Multi-query associative recall (Arora et al. 2023, arXiv 2312.04927), by the rules of its authors' generator:
 *
 *     k_1 v_1 k_2 v_2 … k_p v_p  then n − 2p tokens, in which every key appears once more
 *
 * Keys are distinct and come from 1 … V/2 − 1, values are distinct and come from V/2 … V − 1. Where a key is asked again,
 * its label is its value, and only there is anything to be predicted. It is asked at 2p + 2g, the gaps g distinct and
 * uniform over all that fit. All other places hold fillers: any token but 0 and the keys of this sequence. Training may ask
 * for every key several times (`asked` of a batch): as many more gradients of the same sequence.
 *
 * | name | paper |
 * |---|---|
 * | V | vocabulary |
 * | p | key–value pairs |
 *
 * @module
 */
import { InputError } from "../models/error.ts";
import type { TokenBatch } from "../models/networks/training.ts";
import { seeded } from "../models/random.ts";
import type { BatchRequest, Task } from "./task.ts";

export interface MqarOptions {
  /** V; default 8192. */
  readonly vocabulary?: number;
  /** p; default 8. */
  readonly pairs?: number;
}

/** `count` different whole numbers from `from` to `to − 1`, in the order drawn. */
function distinct(random: () => number, count: number, from: number, to: number): readonly number[] {
  const drawn = new Set<number>();
  while (drawn.size < count) drawn.add(from + Math.floor(random() * (to - from)));
  return [...drawn];
}

/** Associative recall. Throws an {@link InputError} where the vocabulary does not hold so many pairs. */
export function mqar({ vocabulary = 8192, pairs = 8 }: MqarOptions = {}): Task {
  const half = Math.floor(vocabulary / 2);
  if (!Number.isSafeInteger(pairs) || pairs < 1 || half - 1 < pairs) {
    throw new InputError(
      `Cannot make pairs: 1 ≤ pairs ≤ vocabulary / 2 − 1 must hold, got ${pairs} pairs, vocabulary ${vocabulary}`,
    );
  }
  const refusal: Task["refusal"] = (n, _, times = 1) => {
    if (!Number.isSafeInteger(times) || times < 1) return `asked must be a whole number ≥ 1, got ${times}`;
    const least = 2 * pairs * (1 + times);
    if (n >= least) return undefined;
    const queries = times === 1 ? "their queries" : `${times} queries of each`;
    return `${pairs} pairs and ${queries} take at least ${least} tokens, got ${n}`;
  };
  /** By token the last sequence that had it for a key, as counted by `sequence`. */
  const asked = new Float64Array(vocabulary);
  let sequence = 0;
  return {
    name: "mqar",
    vocabulary,
    identity: `mqar of ${pairs} pairs, vocabulary ${vocabulary}`,
    refusal,
    batch({ seed, split, index, B, n, asked: times = 1 }: BatchRequest): TokenBatch {
      const refused = refusal(n, split, times);
      if (refused !== undefined) throw new InputError(`Cannot make a batch: ${refused}`);
      const tokens = new Int32Array(B * n);
      const targets = new Int32Array(B * n);
      const weights = new Float32Array(B * n);
      for (let b = 0; b < B; b++) {
        const random = seeded(seed, "mqar", split, n, index, b);
        const keys = distinct(random, pairs, 1, half);
        const values = distinct(random, pairs, half, vocabulary);
        const gaps = distinct(random, pairs * times, 0, Math.floor((n - 2 * pairs) / 2));
        sequence++;
        for (const key of keys) asked[key] = sequence;
        const row = b * n;
        for (let t = 2 * pairs; t < n; t++) {
          let filler = 0;
          do filler = 1 + Math.floor(random() * (vocabulary - 1)); while (asked[filler] === sequence);
          tokens[row + t] = filler;
        }
        keys.forEach((key, i) => {
          tokens[row + 2 * i] = key;
          tokens[row + 2 * i + 1] = values[i]!;
        });
        gaps.forEach((gap, i) => {
          const query = row + 2 * pairs + 2 * gap;
          tokens[query] = keys[i % pairs]!;
          targets[query] = values[i % pairs]!;
          weights[query] = 1;
        });
      }
      return { B, n, tokens, targets, weights };
    },
  };
}
