/**
 * Log-linear attention: linear attention whose past is read level by level. The tokens before t are cut as t is in binary
 * (Fenwick tree): a block of 2^j tokens for every 1 at bit j, later blocks smaller, and each block has a weight of its own.
 *
 *     o_t = Σ_{s ≤ t} λ_t^{level(t, s)} (Π_{i = s+1 … t} a_i) (scale · q_t)ᵀ k_s v_s        the definition
 *     level(t, t) = 0,   level(t, s) = 1 + (highest bit in which t and s differ)
 *
 * It is a prefix-scannable model: the blocks are the roots of the binary counter, which a read-out sees one by one and never
 * folded. So a summary is a *forest*, roots most significant first, and the aggregator joins two roots of one level, or else
 * puts one forest behind the other: the tree's prefix before t is then the list of the counter's roots. Memory O(log n).
 *
 * | name | paper | shape per token and head |
 * |---|---|---|
 * | q, k | q_t, k_t (of Mamba-2: C_t, B_t) | `[K]` |
 * | v | v_t | `[V]` |
 * | a | α_t, in [0, 1]; 1 for none | scalar |
 * | lambda | λ_t^{(ℓ)} | `[levels]` |
 *
 * Guo et al. 2025, "Log-Linear Attention", arXiv 2506.04761, section 3.
 *
 * @module
 */
import { queryScale } from "./affine.ts";
import type { Matrix, Ring } from "./arith.ts";
import { InputError } from "./error.ts";
import { outer, plus, scale, vecMat } from "./linalg.ts";
import type { Psm } from "./psm.ts";

/** One token of one head. */
export interface LogLinearToken<N> {
  readonly q: readonly N[];
  readonly k: readonly N[];
  readonly v: readonly N[];
  /** The decay of all that came before. */
  readonly a: N;
  /** A weight for the token itself, and one for each block by its size: 1, 2, 4, …. */
  readonly lambda: readonly N[];
}

/** A block of 2^level tokens: the state at its end, from a zero state, and what it multiplies an earlier one with. */
export interface LogLinearRoot<N> {
  readonly level: number;
  readonly decay: N;
  readonly state: Matrix<N>;
}

/** Blocks side by side, the earlier ones first, levels strictly falling. */
export type Forest<N> = readonly LogLinearRoot<N>[];

/** Which of a token's weights an earlier one (or itself) is read with. */
export function fenwickLevel(t: number, s: number): number {
  return 32 - Math.clz32(t ^ s);
}

/** Weights that sequences of n tokens need: the token's own, and one for each block. */
export function fenwickLevels(n: number): number {
  return n < 1 ? 1 : 1 + fenwickLevel(n - 1, 0);
}

function joined<N>(A: Ring<N>, earlier: LogLinearRoot<N>, later: LogLinearRoot<N>): LogLinearRoot<N> {
  return {
    level: earlier.level + 1,
    decay: A.mul(later.decay, earlier.decay),
    state: plus(A, scale(A, later.decay, earlier.state), later.state),
  };
}

function weight<N>({ lambda }: LogLinearToken<N>, level: number): N {
  const found = lambda[level];
  if (found === undefined) {
    throw new InputError(`Cannot read level ${level}: a token must have a weight for it, got ${lambda.length} weights`);
  }
  return found;
}

/** The model over one algebra, for one head. */
export function logLinearAttention<N>(A: Ring<N>): Psm<LogLinearToken<N>, Forest<N>, readonly N[]> {
  const scaled = (q: readonly N[]): readonly N[] => {
    const factor = A.of(queryScale(q.length));
    return q.map((x) => A.mul(factor, x));
  };
  return {
    name: "log-linear-attention",
    chunk: 1,
    enc: ([token]) => [{ level: 0, decay: token!.a, state: outer(A, token!.k, token!.v) }],
    agg(earlier, later) {
      const [root] = later;
      const last = earlier.at(-1);
      // Only the carries of a counter meet equal levels; a prefix is always longer than what follows it.
      if (last?.level !== root?.level) return [...earlier, ...later];
      return [...earlier.slice(0, -1), joined(A, last!, root!), ...later.slice(1)];
    },
    inf(prefix = [], tokens) {
      return tokens.map((token) => {
        const q = scaled(token.q);
        let output = vecMat(A, q, scale(A, weight(token, 0), outer(A, token.k, token.v)));
        // From the last block backwards: `decay` is from the end of a block to this token.
        let decay = token.a;
        for (const root of [...prefix].reverse()) {
          const read = vecMat(A, q, root.state);
          const factor = A.mul(weight(token, root.level + 1), decay);
          output = output.map((x, v) => A.add(x, A.mul(factor, read[v]!)));
          decay = A.mul(decay, root.decay);
        }
        return output;
      });
    },
  };
}

/** The definition, pair by pair: outputs of a whole sequence through its Fenwick mask. */
export function logLinearByMask<N>(A: Ring<N>, tokens: readonly LogLinearToken<N>[]): N[][] {
  return tokens.map((token, t) => {
    let output: N[] = token.v.map(() => A.of(0));
    let decay = A.of(1);
    for (let s = t; s >= 0; s--) {
      const { k, v, a } = tokens[s]!;
      const score = A.mul(
        A.of(queryScale(k.length)),
        A.sum(k.length, (i) => A.mul(token.q[i as number]!, k[i as number]!)),
      );
      const factor = A.mul(A.mul(weight(token, fenwickLevel(t, s)), decay), score);
      output = output.map((x, i) => A.add(x, A.mul(factor, v[i]!)));
      decay = A.mul(decay, a);
    }
    return output;
  });
}
