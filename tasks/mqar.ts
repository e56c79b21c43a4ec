/**
 * Multi-query associative recall (Arora et al. 2023, arXiv 2312.04927), by the rules of its authors' generator:
 *
 *     k_1 v_1 k_2 v_2 … k_p v_p  then n − 2p tokens, in which every key appears once more
 *
 * Keys are distinct and come from 1 … V/2 − 1, values are distinct and come from V/2 … V − 1. Where a key is asked again,
 * its label is its value, and only there is anything to be predicted. It is asked at 2p + 2g, the gaps g distinct and
 * uniform over all that fit. All other places hold fillers: any token but 0 and the keys of this sequence.
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
  /** By token the last sequence that had it for a key, as counted by `sequence`. */
  const asked = new Float64Array(vocabulary);
  let sequence = 0;
  return {
    name: "mqar",
    vocabulary,
    identity: `mqar of ${pairs} pairs, vocabulary ${vocabulary}`,
    refusal: (n) =>
      n >= 4 * pairs ? undefined : `${pairs} pairs and their queries take at least ${4 * pairs} tokens, got ${n}`,
    batch({ seed, split, index, B, n }: BatchRequest): TokenBatch {
      const tokens = new Int32Array(B * n);
      const targets = new Int32Array(B * n);
      const weights = new Float32Array(B * n);
      for (let b = 0; b < B; b++) {
        const random = seeded(seed, "mqar", split, n, index, b);
        const keys = distinct(random, pairs, 1, half);
        const values = distinct(random, pairs, half, vocabulary);
        const gaps = distinct(random, pairs, 0, Math.floor((n - 2 * pairs) / 2));
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
          const query = row + 2 * pairs + 2 * gaps[i]!;
          tokens[query] = key;
          targets[query] = values[i]!;
          weights[query] = 1;
        });
      }
      return { B, n, tokens, targets, weights };
    },
  };
}
