/**
 * The models of the chunked linear attention family, and how each maps to the canonical inputs that one kernel, forward
 * or backward, computes with.
 *
 *     S_t = diag(a_t) S_{t−1} + k_t v_tᵀ        o_t = (scale · q_t)ᵀ S_t
 *
 * | canonical | shape | what |
 * |---|---|---|
 * | q, k | `[B, T, H, K]` | k already times the model's input gate |
 * | v | `[B, T, H, V′]` | V′ = V, or V + 1 with a last column of ones for a model with a normaliser |
 * | g | none, `[B, T, H]` or `[H]` (scalar), `[B, T, H, K]` (diagonal) | a = e^g (`log`), or a itself (`factor`); products ≤ 2 |
 * | u | `[H, K]` | the bonus of a model that reads before its update: o_t = q_tᵀ(S_{t−1} + diag(u) k_t v_tᵀ) |
 * | initial, final | `[B, H, K, V′]` | the state: just the model's own state array, without its shared exponent |
 * | o | `[B, T, H, V′]` | before the division by the normaliser and before the skip |
 *
 * A model's own inputs are canonical as they are where its entry says so by naming them; what has to be computed first
 * (`input gate · k`, `Δ A`, the column of ones) is an element-wise kernel before (prepare.ts), and what comes after (the
 * division, `+ D x`) one behind it; but a walk in one segment divides by itself and needs no column of ones (_divided.ts).
 * Exponential gates are brought to a shared exponent before (stabilise.ts), states to its mantissas (_mantissas.ts). Factors by
 * token may be above 1, those by head not; no product of any is above 2.
 *
 * @module
 */
import type { AnyAffineModel } from "../../models/affine.ts";
import { InputError } from "../../models/error.ts";
import { gatedRfa } from "../../models/gated_rfa.ts";
import { gla } from "../../models/gla.ts";
import { hgrn2 } from "../../models/hgrn2.ts";
import { linearAttention } from "../../models/linear_attention.ts";
import { linearAttentionNormalised } from "../../models/linear_attention_normalised.ts";
import { mamba2 } from "../../models/mamba2.ts";
import { mlstm } from "../../models/mlstm.ts";
import { retnet } from "../../models/retnet.ts";
import { rwkv6 } from "../../models/rwkv6.ts";

/** No decay; one number for all of a head's state; one for each key. */
export type DecayKind = "none" | "scalar" | "diagonal";

/** How the multipliers of the state are given. */
export interface Decay {
  readonly kind: DecayKind;
  /** `log`: g ≤ 0, a = e^g. `factor`: a in [0, 1]. Default `log`. */
  readonly form?: "log" | "factor";
  /** `token`: `[B, T, H]` (or `[B, T, H, K]`); `head`: `[H]`, the same at every token, scalar only. Default `token`. */
  readonly per?: "token" | "head";
}

/** Where the canonical g comes from: the input, times a parameter `[H]` where given, and then brought to ≥ −104. */
export interface GateSource {
  readonly input: string;
  readonly times?: string;
}

/** Where the canonical k comes from: the input times a factor; without an input, the factor itself. */
export interface KeySource {
  readonly input?: string;
  /** An input of the shape of g: its value, or the complement 1 − e^g = −expm1(g) of a log gate. */
  readonly factor?: { readonly input: string; readonly form: "value" | "complement" };
}

/**
 * How outputs are divided: `plus`: o/(z + ε); `max`: o/max(z, ε); `exponent`: o/max(|z|, 2^−m), m the state's shared
 * exponent. z is the output's last column.
 */
export type Normaliser =
  | {
    readonly form: "plus" | "max";
    /** An f32 number. */
    readonly epsilon: number;
  }
  | { readonly form: "exponent" };

/** One model as the family's kernel sees it; names are those of the model's own inputs. */
export interface ChunkModel {
  readonly model: AnyAffineModel;
  readonly decay: Decay;
  readonly q: string;
  /** Whether q is multiplied by K^−1/2 (`queryScale`). */
  readonly scaled: boolean;
  readonly k: KeySource;
  readonly v: string;
  /** Absent exactly where there is no decay. */
  readonly g?: GateSource;
  /** `pre`: the read-out sees the state before the token's own update, and the bonus. */
  readonly reads: "pre" | "post";
  /** The parameter `[H, K]` of a model that reads before its update. */
  readonly bonus?: string;
  readonly normaliser?: Normaliser;
  /** Inputs that are preactivations of gates σ(f̃) and e^ĩ: `g` and `k` take them as factors, after stabilise.ts. */
  readonly stabilised?: { readonly forget: string; readonly input: string };
  /** A parameter `[H]`: outputs get it times v. */
  readonly skip?: string;
}

const diagonal: Decay = { kind: "diagonal", form: "log", per: "token" };
const scalar: Decay = { kind: "scalar", form: "log", per: "token" };
const plain = { q: "q", scaled: true, k: { input: "k" }, v: "v", reads: "post" } as const;

/** The table. */
export const chunkModels: readonly ChunkModel[] = [
  { ...plain, model: linearAttention, decay: { kind: "none" } },
  {
    ...plain,
    model: linearAttentionNormalised,
    decay: { kind: "none" },
    normaliser: { form: "plus", epsilon: Math.fround(1e-10) },
  },
  { ...plain, model: retnet, decay: { kind: "scalar", form: "factor", per: "head" }, g: { input: "gamma" } },
  {
    ...plain,
    model: mamba2,
    decay: scalar,
    q: "C",
    scaled: false,
    k: { input: "B", factor: { input: "delta", form: "value" } },
    v: "x",
    g: { input: "delta", times: "A" },
    skip: "D",
  },
  {
    ...plain,
    model: gatedRfa,
    decay: scalar,
    k: { input: "k", factor: { input: "g", form: "complement" } },
    g: { input: "g" },
    normaliser: { form: "max", epsilon: Math.fround(1e-6) },
  },
  {
    ...plain,
    model: mlstm,
    decay: { kind: "scalar", form: "factor", per: "token" },
    k: { input: "k", factor: { input: "i", form: "value" } },
    g: { input: "f" },
    stabilised: { forget: "f", input: "i" },
    normaliser: { form: "exponent" },
  },
  { ...plain, model: gla, decay: diagonal, g: { input: "g" } },
  { ...plain, model: hgrn2, decay: diagonal, k: { factor: { input: "g", form: "complement" } }, g: { input: "g" } },
  { ...plain, model: rwkv6, decay: diagonal, scaled: false, g: { input: "w" }, reads: "pre", bonus: "u" },
];

/** The entry of a model; undefined where the family does not have it. */
export function chunkModelOf(model: AnyAffineModel): ChunkModel | undefined {
  return chunkModels.find((entry) => entry.model === model);
}

/** The entry of a model. Throws an {@link InputError} where the family does not have it. */
export function requireChunkModel(model: AnyAffineModel): ChunkModel {
  const entry = chunkModelOf(model);
  if (entry !== undefined) return entry;
  throw new InputError(
    `Cannot run ${model.name} in chunks: the model must be one of ${
      chunkModels.map(({ model: { name } }) => name).join(", ")
    }`,
  );
}

/** Columns of the canonical v and o: V, and one more for a normaliser. */
export function canonicalColumns({ normaliser }: ChunkModel, V: number): number {
  return normaliser === undefined ? V : V + 1;
}

/** The shape of the canonical g; undefined without decay. */
export function gateShape(
  { kind, per = "token" }: Decay,
  { B, T, H, K }: { readonly B: number; readonly T: number; readonly H: number; readonly K: number },
): readonly number[] | undefined {
  if (kind === "none") return undefined;
  if (kind === "diagonal") return [B, T, H, K];
  return per === "head" ? [H] : [B, T, H];
}
