/**
 * The forward pass of a model with a normaliser as one walk that divides (kernels/walk/_normaliser.ts): the canonical column of
 * ones, and where its decay waits the keys times their gate, are then never made.
 *
 * @module
 */
import { queryScale } from "../../models/affine.ts";
import type { Plan } from "../plan.ts";
import { assertShape, type Tensor } from "../tensor.ts";
import { decayWaits } from "../walk/walk.ts";
import type { Work } from "../_work.ts";
import { complement, type ModelExtent } from "./_backward_chain.ts";
import { canonicalKey } from "./_canonical.ts";
import type { ChunkModel, Decay, Normaliser } from "./family.ts";
import type { ChunkForwardOptions } from "./_options.ts";
import type { Mantissas } from "./_mantissas.ts";
import { divisorOf } from "./_shared_exponent.ts";
import { planWalked, walkDecay, walks, walkSegments } from "./_walked.ts";

type Options = Omit<ChunkForwardOptions, "decay" | "scale">;

const complete = (decay: Decay): Required<Decay> => ({ form: "log", per: "token", ...decay });

/** Columns of a state at most, that of the normaliser among them (_checked.ts): what one design takes, all take. */
const MOST_COLUMNS = 256;

/**
 * Whether a model is walked through so: in one segment, as segments know nothing of n, and if the device binds as many buffers as
 * that takes.
 */
export function divides(
  { gpu }: Work,
  { decay, normaliser, v }: ChunkModel,
  { inputs, initial, shared }: Mantissas,
  final: Tensor | undefined,
  options: Options,
): boolean {
  const value = inputs[v]!;
  const [, T, , V] = value.shape as readonly [number, number, number, number];
  if (normaliser === undefined || decay.kind === "diagonal" || T === 0 || V + 1 > MOST_COLUMNS) return false;
  // q, k, v and o; decays; a state and n at either end; what the divisor is told.
  const buffers = 4 + [decay.kind !== "none", initial, initial, final, final, shared].filter(Boolean).length;
  return buffers <= gpu.limits.maxStorageBuffersPerShaderStage &&
    walks(gpu, { chunkStates: false, gates: "f32" }, options, complete(decay)) &&
    walkSegments(gpu, value, options.segments) === 1;
}

/** Plans it; `final`: where the state goes, `[B, H, K, V + 1]` like the initial one. What is made on the way is `work`'s. */
export async function planDivided(
  work: Work,
  entry: ChunkModel & { readonly normaliser: Normaliser },
  { inputs, initial, shared, state }: Mantissas,
  { B, T, H, K, V }: ModelExtent,
  { outputs, final }: { readonly outputs: Tensor; readonly final: Tensor | undefined },
  options: Options,
): Promise<Plan> {
  const { normaliser, q, k, v, g, scaled } = entry;
  if (initial !== undefined) assertShape("initial", initial, state);
  if (final !== undefined) assertShape("final", final, state);
  const decay = complete(entry.decay);
  const gate = k.factor && inputs[k.factor.input]!;
  const waits = decayWaits({ decay: walkDecay(decay), fault: options.fault });
  const multiplied = waits && decay.per === "token" && k.input !== undefined && gate?.shape.length === 3;
  const factor = !multiplied
    ? undefined
    : k.factor!.form === "value"
    ? gate
    : await work.map("complements of gates", [B, T, H], { factor_of: gate }, complement("factor_of[id]"));
  const column = `id / ${V}u * ${V + 1}u`;
  const parts = initial === undefined ? undefined : {
    state: await work.map("state", [B, H, K, V], { whole_of: initial }, `whole_of[${column} + id % ${V}u]`),
    sums: await work.map(
      "state of the normaliser",
      [B, H, K],
      { whole_of: initial },
      `whole_of[id * ${V + 1}u + ${V}u]`,
    ),
  };
  const ends = final === undefined ? undefined : {
    state: work.room("final state", [B, H, K, V]),
    sums: work.room("final state of the normaliser", [B, H, K]),
  };
  const key = multiplied ? inputs[k.input!]! : await canonicalKey(work, entry, inputs, { B, T, H, K, V });
  const plan = await planWalked(
    work.gpu,
    {
      q: inputs[q]!,
      k: key,
      v: inputs[v]!,
      o: outputs,
      ...(decay.kind === "none" ? {} : { g: inputs[g!.input]! }),
      ...(parts === undefined ? {} : { initial: parts.state }),
      ...(ends === undefined ? {} : { final: ends.state }),
    },
    { ...options, decay, scale: scaled ? queryScale(K) : 1 },
    decay,
    {
      ...(factor === undefined ? {} : { factor }),
      normaliser: {
        divisor: (sum, least) => divisorOf(normaliser, sum, least),
        least: shared?.least,
        initial: parts?.sums,
        final: ends?.sums,
      },
    },
  );
  work.plan(plan);
  if (ends !== undefined) {
    const sources = { state_of: ends.state, sum_of: ends.sums };
    const before = `let row = id / ${V + 1}u;\n  let column = id % ${V + 1}u;
  var value = 0.0;
  if (column < ${V}u) { value = state_of[row * ${V}u + column]; } else { value = sum_of[row]; }`;
    await work.map("state and normaliser", state, sources, "value", { before, into: final });
  }
  return plan;
}
