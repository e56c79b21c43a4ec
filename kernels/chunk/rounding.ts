/**
 * How exact the kernels of the family are, as the constants that error bounds are derived from (models/rounding.ts).
 *
 * *Decays.* On tiles multipliers of the state are products of a = e^g, one rounding a factor, never quotients and never exponentials
 * of sums. A term that passes m gates meets at most m products and one addition a chunk: fewer than the two roundings a
 * gate that every schedule pays.
 *
 * *Sums.* With Σ(n) the roundings of a sum of n terms, besides what gates pay for:
 *
 *     k vᵀ into the state        Σ(chunk) in its chunk's Kᵀ V, 1 into the state, 1 into the segment's
 *     out of the state           Σ(K), and Σ(chunk) with the chunk's own P V, which starts from Q S
 *     inside a chunk             Σ(K) in a score, Σ(chunk), 1 with a bonus
 *
 * so at most Σ(K) + 2 Σ(chunk) + 4. Σ(n) is n where sums are loops; a matrix unit adds 16 terms in one go, as
 * matrix_error.ts says. Every term meets two products of operands; of each, an operand as it is kept is off by `operand` of
 * itself, and `product` of the product is left out.
 *
 * *Floors.* Halves are off by an absolute 2^−25 too, which is φ = 2^−39 of the operand's largest (2^−40 of the power of two
 * above the state's). With q* the largest of a row of q, k* and v* of the chunk's k and v, s* of the state, a read-out is off
 * by at most (see _common.ts for the scales, es for the state's)
 *
 *     K q* (φ s* + 2^(es − 40)) in Q S + 2 φ K q* k* C v* in P + C q* 2^(es − 39) + φ K C q* k* v* in P V
 *
 * where 2^es ≤ max(2 s*, 8 K k* v*): at most 2^−40 K q* ((4 + 4 C/K) s* + (8 K + 22 C) k* v*), for C ≤ 64, K ≤ 256 within the
 * judge's `floor · K q* (2 s* + 4 C k* v*)` for floor = 2^−40 · 132 < 2^−32. A token's share of the state is off by 2 φ k* v*. The
 * bit that is left for factors up to 2 at most doubles what comes with k* v*, of which 2^−32 has room.
 *
 * *A shared exponent* (stabilise.ts): rescaling is exact, so all of this holds of mantissas. The backward pass of such a model
 * takes its products in f32.
 *
 * *Walks* (_walked.ts) have neither chunks nor operands: a term is added to the state (1) and multiplied and added to once a gate,
 * as in the recurrence, and a read-out is one sum over the keys. Where time is cut in segments, of up to 8 tokens that a first pass
 * takes together a term meets the additions of those before it, 8 in all, and 1 as the segment is added to the state: at
 * most 10. Scalar decays wait in the rows of their block: a quotient 1/c and what comes with it are
 * WAITING_ROUNDINGS more (kernels/walk/_waiting.ts). None of these is paid for by a gate that comes after, so they hold of what is
 * read before its update too; a bonus and its addition meet no more roundings than in the model's own read-out, of which they
 * are part (kernels/walk/_bonus.ts). A walk that divides (_divided.ts) sums its normaliser as one more column, in the same order;
 * an input gate that is multiplied into 1/c saves its product with the key.
 *
 * *The backward pass* has a mode of its own (_backward_unit.ts). Outputs that it computes again, before a normaliser, are walked
 * through or in its mode: fewer roundings than its own.
 *
 * @module
 */
import type { AnyAffineModel } from "../../models/affine.ts";
import type { Rounding, Tiles } from "../../models/rounding.ts";
import { matrixError, type MatrixMode } from "../matrix_unit.ts";
import { WAITING_ROUNDINGS } from "../walk/walk.ts";
import { chunkModelOf } from "./family.ts";

const UNIT = 2 ** -24;
/** What a product of tiles adds, as a share of its operands' largest: `Tiles.floor`. */
export const CHUNK_FLOOR: number = 2 ** -32;

interface Extent {
  readonly K: number;
  readonly chunk: number;
  readonly mode: MatrixMode;
  readonly hardware: boolean;
}

/** Roundings of a sum of n terms, and of a product, beyond those of a serial f32 recurrence. */
function costs({ mode, hardware }: Pick<Extent, "mode" | "hardware">): {
  readonly sum: (n: number) => number;
  readonly product: number;
} {
  const { operand, product, products, block, addition } = matrixError(mode, hardware);
  return {
    sum: (n) => Math.ceil(n / block) * products * (addition / UNIT),
    product: (2 * operand + product) / UNIT,
  };
}

/** Roundings that a term meets and no gate pays for. */
export function chunkRoundings({ K, chunk, mode, hardware }: Extent): number {
  const { sum, product } = costs({ mode, hardware });
  return Math.ceil(sum(K) + 2 * sum(chunk) + 2 * product + 4);
}

/**
 * The same for states and cotangents of the backward pass (backward.ts): scores over the keys or the values, up to three
 * products over a chunk of at most 64 tokens one after the other, and a gate's gradient summed over keys, values and tokens.
 */
export function chunkGradientRoundings(
  { K, V, mode, hardware }: Omit<Extent, "chunk"> & { readonly V: number },
): number {
  const { sum, product } = costs({ mode, hardware });
  return Math.ceil(sum(K + V) + 3 * sum(64) + 3 * product + K + V + 64 + 16);
}

/** Roundings that a term meets in a walk and no gate pays for: see above. */
export const WALK_ROUNDINGS = 10;

/** Products on tiles. */
export interface TileForm {
  readonly mode: MatrixMode;
  readonly hardware: boolean;
}

/** How a forward pass is done. */
export type ForwardForm = "walk" | TileForm;

const plain: TileForm = { mode: "f32", hardware: false };

/** What a bound has to know of kernels whose chunks are at most `chunk` tokens. */
export function chunkRounding({ chunk = 32, forward, backward }: {
  readonly chunk?: number;
  /** By model. */
  readonly forward: (model: AnyAffineModel) => ForwardForm;
  readonly backward: TileForm;
}): Rounding {
  const floorsOf = ({ mode }: TileForm): Tiles | undefined =>
    mode === "f32" ? undefined : { floor: CHUNK_FLOOR, chunk, rows: true };
  return {
    unit: UNIT,
    rightCombines(_steps, model, { sizes }) {
      const form = forward(model);
      if (form === "walk") {
        return WALK_ROUNDINGS + (chunkModelOf(model)?.decay.kind === "scalar" ? WAITING_ROUNDINGS : 0);
      }
      const { mode, hardware } = form;
      return chunkRoundings({ K: sizes.K ?? 1, chunk, mode, hardware });
    },
    accuracy: "wgsl",
    denseChunk: () => 1,
    tiles(model) {
      const form = forward(model);
      return form === "walk" ? undefined : floorsOf(form);
    },
    gradient(model, { sizes: { K = 1, V = 1 } }) {
      const form = model.action === "scaled" ? plain : backward;
      const { mode, hardware } = form;
      return { late: chunkGradientRoundings({ K, V, mode, hardware }), tiles: floorsOf(form) };
    },
  };
}
