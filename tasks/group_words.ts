/**
 * State tracking: words in a finite group (Merrill, Petty and Sabharwal 2024, arXiv 2404.08819; the settings of Yau et al.,
 * arXiv 2506.10918). Every token is an element, drawn uniformly; the label of every token is the product so far:
 *
 *     y_t = x_1 · x_2 · … · x_t
 *
 * A network solves it at every length exactly if it carries the group's state along. Over S5 and A5, which are not
 * solvable, that takes work that grows with the length; over Z60, as large as A5, and over parity it does not.
 *
 * @module
 */
import type { TokenBatch } from "../models/networks/training.ts";
import { seeded } from "../models/random.ts";
import type { Group } from "./groups.ts";
import type { BatchRequest, Task } from "./task.ts";

/** Words of a group. The splits are three streams of one generator: beyond training's lengths no word can be shared. */
export function groupWords(group: Group): Task {
  const { name, order } = group;
  return {
    name,
    vocabulary: order,
    identity: `${name} of order ${order}`,
    refusal: (n) => n >= 1 ? undefined : `words have at least 1 token, got ${n}`,
    batch({ seed, split, index, B, n }: BatchRequest): TokenBatch {
      const tokens = new Int32Array(B * n);
      const targets = new Int32Array(B * n);
      for (let b = 0; b < B; b++) {
        const random = seeded(seed, name, split, n, index, b);
        let product = 0;
        for (let t = b * n; t < (b + 1) * n; t++) {
          tokens[t] = Math.floor(random() * order);
          product = group.multiply(product, tokens[t]!);
          targets[t] = product;
        }
      }
      return { B, n, tokens, targets, weights: new Float32Array(B * n).fill(1) };
    },
  };
}
