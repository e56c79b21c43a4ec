/**
 * What an error bound has to know of how an execution computes: what a kernel promises, and the judge (oracle/) derives
 * its bounds from.
 *
 * A *rounding* is one relative error of at most u (`unit`). Kernels count, per term of a sum of products, the roundings
 * that it meets on its way to the result: a product or an addition in f32 is one; a product of operands split in two halves
 * is eight (each operand is off by at most 2^−23, the dropped product of low halves is at most 2^−22); an addition inside
 * a tensor core, which may cut instead of round, two.
 *
 * @module
 */
import type { Accuracy } from "./accuracy.ts";
import type { AnyAffineModel } from "./affine.ts";
import type { Dims } from "./inputs.ts";

/** What an error bound has to know of how an execution computes. */
export interface Rounding {
  /** Unit roundoff of one operation: 2^−24 for f32, 2^−53 for f64, 0 for an exact algebra. */
  readonly unit: number;
  /**
   * The most roundings, over all outputs of a sequence of so many steps, that one term meets and that no gate pays for
   * (every gate between the term and the output pays for one product and one addition). For a schedule: the combines in
   * which the term lies in the later operand. A kernel of chunks adds the additions over the chunk's tokens, and over the
   * keys where it takes `q·k` before the value.
   */
  rightCombines(steps: number, model: AnyAffineModel, dims: Dims): number;
  /**
   * Whether gates, division and square root have WGSL's accuracy (accuracy.ts) or are correctly rounded; or the accuracy
   * of a kernel with functions of its own.
   */
  readonly accuracy: "wgsl" | "rounded" | Accuracy;
  /** Tokens whose dense products are formed before a state is touched, for a matrix action; 1 if serial. */
  denseChunk(model: AnyAffineModel, dims: Dims): number;
  /** Products of tiles whose operands have an absolute error; absent or undefined where all errors are relative. */
  tiles?(model: AnyAffineModel, dims: Dims): Tiles | undefined;
  /** Decays over several tokens taken as exponentials of sums; absent or undefined where gates are multiplied. */
  logSums?(model: AnyAffineModel, dims: Dims): LogSums | undefined;
  /** A matrix action that keeps its states at chunk starts only; absent where it returns every state. */
  chunk?(model: AnyAffineModel, dims: Dims): ChunkRounding | undefined;
  /** The backward pass; absent where it is that of the generic kernel. */
  gradient?(model: AnyAffineModel, dims: Dims): GradientRounding;
}

/**
 * Sums over keys, and over the tokens of a chunk, are products of tiles whose operands (inputs, states, and what is
 * computed of them on the way) are kept with an absolute error, like split halves.
 */
export interface Tiles {
  /** Of an operand's entry, as a share of the operand's largest: 2^−40 for two halves. */
  readonly floor: number;
  /** Steps of a chunk. */
  readonly chunk: number;
  /** Whether q, and scores q·k, are kept relative to the largest of their own token, not of the chunk; default false. */
  readonly rows?: boolean;
}

/**
 * The decay from token i to t of a chunk is taken as `exp(G_t − G_i)`, where G are running sums of the log gates since
 * the last multiple of `chunk` steps (decays over more than a chunk are products of those).
 */
export interface LogSums {
  readonly chunk: number;
  /** The most additions that a log gate meets in its running sum. */
  readonly additions: number;
}

/**
 * How a kernel of chunks computes a matrix action `S_t = E_t S_{t−1} + F_t`, where `E_t` is a diagonal D_t but for the
 * keys: by the updates `U_t = (E_t − D_t) S_{t−1} + F_t`, from the state S_0 at the chunk's start, kept in f32,
 *
 *     U_t = (E_t − D_t) (D_{1…t−1} S_0 + Σ_{i<t} D_{i+1…t−1} U_i) + F_t        a triangular system
 *     o_t = q_tᵀ (D_{1…t} S_0 + Σ_{i≤t} D_{i+1…t} U_i)        S_n = D_{1…n} S_0 + Σ_i D_{i+1…n} U_i
 *
 * See oracle/chunk_defect.ts for the bound. A run with the option `chunkStates` returns the states at chunk starts.
 */
export interface ChunkRounding {
  /** Steps (micro-steps) of a chunk. */
  readonly steps: number;
  /**
   * The most roundings that a term of any of the three sums above meets, written out to products of inputs, decays,
   * computed U_i and entries of S_0. What takes decays is not counted here: each gate pays for two.
   */
  readonly roundings: number;
  /**
   * Steps of a block whose triangular system is solved by multiplying with the block's computed inverse; 1 (the default)
   * where all is forward substitution.
   */
  readonly inverse?: number;
}

/** How an execution computes gradients. */
export interface GradientRounding {
  /** {@link Rounding.rightCombines} for the states that the pass recomputes, and for the cotangents λ; the generic kernel's is 2. */
  readonly late: number;
  /** Default: the execution's own. */
  readonly accuracy?: Rounding["accuracy"];
  /** Default: the execution's own. */
  readonly logSums?: LogSums | undefined;
  /** For a matrix action by chunks: states from chunk starts on, λ from chunk ends back. */
  readonly chunk?: ChunkRounding | undefined;
  /** Default: the execution's own. */
  readonly tiles?: Tiles | undefined;
  /** Gradients of log gates by telescoping, see {@link Telescoped}; absent where they are taken token by token. */
  readonly telescoped?: Telescoped | undefined;
}

/**
 * The gradient of the log gate of token t, summed up from the end e of its chunk: with Λ the cotangent that S_e gets from
 * the tokens after e,
 *
 *     dg_t = Σ_{i=t}^{e} (q_i ⊙ dq_i − k_i ⊙ dk_i) + rowsum(S_e ⊙ Λ)
 *
 * (over the values, and over the keys too for a gate that all keys share), where q ⊙ dq stands for what the read-out gives to
 * the state, times the state; k ⊙ dk for λ times what the update adds to the state.
 */
export interface Telescoped {
  /** The field that holds the gate e^g. */
  readonly gate: string;
  /** Steps from one start of the sum to the next; Infinity where it runs over the whole sequence. */
  readonly chunk: number;
  /** The most roundings that a summand meets in the sum; default 2·chunk. */
  readonly roundings?: number;
}
