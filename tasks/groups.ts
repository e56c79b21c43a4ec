/**
 * Finite groups as tables, for tasks that multiply their elements. Elements are numbered from 0, the identity.
 *
 * @module
 */
import { InputError } from "../models/error.ts";

/** A group of at most 256 elements. */
export interface Group {
  readonly name: string;
  readonly order: number;
  /** The element `p · q`. */
  multiply(p: number, q: number): number;
}

/** Permutations of `0 … k−1` in lexicographic order; number 0 is the identity. */
export function permutations(k: number): readonly (readonly number[])[] {
  const build = (prefix: readonly number[], left: readonly number[]): (readonly number[])[] =>
    left.length === 0
      ? [prefix]
      : left.flatMap((next) => build([...prefix, next], left.filter((other) => other !== next)));
  return build([], Array.from({ length: k }, (_, i) => i));
}

/** Whether a permutation has an even number of inversions. */
export function isEven(p: readonly number[]): boolean {
  let inversions = 0;
  p.forEach((x, i) => p.slice(i + 1).forEach((y) => inversions += y < x ? 1 : 0));
  return inversions % 2 === 0;
}

/** A group of permutations under `(p·q)[i] = p[q[i]]`, numbered as they are listed. */
function permutationGroup(name: string, elements: readonly (readonly number[])[]): Group {
  const order = elements.length;
  const numbers = new Map(elements.map((p, n) => [p.join(), n]));
  const table = new Uint8Array(order * order);
  elements.forEach((p, i) =>
    elements.forEach((q, j) => table[i * order + j] = numbers.get(q.map((x) => p[x]!).join())!)
  );
  return { name, order, multiply: (p, q) => table[p * order + q]! };
}

/** All permutations of five things: 120, a group that is not solvable. */
export function s5(): Group {
  return permutationGroup("s5", permutations(5));
}

/** The even permutations of five things: 60, the smallest group that is not solvable. */
export function a5(): Group {
  return permutationGroup("a5", permutations(5).filter(isEven));
}

/** Addition modulo `order`. Throws an {@link InputError} unless 2 ≤ order ≤ 256. */
export function cyclic(order: number, name: string = `z${order}`): Group {
  if (!Number.isSafeInteger(order) || order < 2 || order > 256) {
    throw new InputError(`Cannot make a cyclic group: its order must be a whole number from 2 to 256, got ${order}`);
  }
  return { name, order, multiply: (p, q) => (p + q) % order };
}
