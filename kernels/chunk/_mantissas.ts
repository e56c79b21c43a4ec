/**
 * States with a shared exponent, S = s·2^m, as the kernels of the family take them: mantissas at one exponent, with the gates
 * that go with it, and back. A model without one runs on its own inputs and states.
 *
 * @module
 */
import { assertShape, type Tensor } from "../tensor.ts";
import type { Named, Work } from "../_work.ts";
import type { ChunkModel } from "./family.ts";
import { mantissa, mantissaCotangent, pairCotangent, pairOf } from "./_shared_exponent.ts";
import { stabilise, type Stabilised } from "./stabilise.ts";

/** What kernels run a model on. */
export interface Mantissas {
  /** Those of the model, with f′ and i′ in the place of f̃ and ĩ. */
  readonly inputs: Named;
  /** `[B, H, K, V′]`. */
  readonly initial: Tensor | undefined;
  /** `[B, H, K, V′]`. */
  readonly state: readonly number[];
  /** Absent where the model has no shared exponent. */
  readonly shared: Stabilised | undefined;
}

/** Brings inputs, and an initial state of pairs `[B, H, K, V′, 2]`, to one exponent a token and head. */
export async function mantissasOf(
  work: Work,
  { stabilised }: ChunkModel,
  { inputs, initial }: { readonly inputs: Named; readonly initial: Tensor | undefined },
  state: readonly number[],
): Promise<Mantissas> {
  if (stabilised === undefined) return { inputs, initial, state, shared: undefined };
  const { forget, input } = stabilised;
  if (initial !== undefined) assertShape("initial", initial, [...state, 2]);
  const shared = await stabilise(work, { forget: inputs[forget]!, input: inputs[input]!, initial });
  const start = initial === undefined ? undefined : await work.map(
    "mantissas of the initial state",
    state,
    { pairs: initial, exponent_of: shared.first },
    mantissa(lanesOf(state)),
  );
  return { inputs: { ...inputs, [forget]: shared.forget, [input]: shared.input }, initial: start, state, shared };
}

/** Where kernels write a state, or its cotangent, that goes to `into` in the end. */
export function roomOf(
  work: Work,
  { state, shared }: Mantissas,
  what: string,
  into: Tensor | undefined,
): Tensor | undefined {
  if (into === undefined || shared === undefined) return into;
  assertShape(what, into, [...state, 2]);
  return work.room(`mantissas of ${what}`, state);
}

/** Pairs of the final state from its mantissas; nothing where it was written in place. */
export async function writeFinal(
  work: Work,
  { state, shared }: Mantissas,
  mantissas: Tensor | undefined,
  into: Tensor | undefined,
): Promise<void> {
  if (mantissas === undefined || into === undefined || shared === undefined) return;
  const sources = { raw_of: mantissas, exponent_of: shared.last };
  await work.map("pairs of the final state", into.shape, sources, pairOf(lanesOf(state)), { into });
}

/** The cotangent of the final mantissas from that of the final state, pairs (λ, m). */
export async function finalCotangent(
  work: Work,
  { state, shared }: Mantissas,
  dFinal: Tensor | undefined,
): Promise<Tensor | undefined> {
  if (dFinal === undefined || shared === undefined) return dFinal;
  assertShape("dFinal", dFinal, [...state, 2]);
  const sources = { pairs: dFinal, exponent_of: shared.last };
  return await work.map("cotangent of the final mantissas", state, sources, mantissaCotangent(lanesOf(state)));
}

/** Pairs of the initial state's cotangent, with that state's exponents; nothing where it was written in place. */
export async function writeInitialCotangent(
  work: Work,
  { state, shared }: Mantissas,
  mantissas: Tensor | undefined,
  { initial, dInitial }: { readonly initial: Tensor | undefined; readonly dInitial: Tensor | undefined },
): Promise<void> {
  if (mantissas === undefined || dInitial === undefined || shared === undefined) return;
  const pairs = initial ?? work.room("no initial state", dInitial.shape);
  const sources = { raw_of: mantissas, pairs, exponent_of: shared.first };
  await work.map("pairs of the initial cotangent", dInitial.shape, sources, pairCotangent(lanesOf(state)), {
    into: dInitial,
  });
}

/** Makes gradients of f̃ and ĩ of those of log f′ and i′, in place: m is a constant to them. */
export async function throughPreactivations(
  work: Work,
  { stabilised }: ChunkModel,
  preactivations: Named,
  { shared }: Mantissas,
  gradients: Named,
): Promise<void> {
  if (stabilised === undefined) return;
  const { forget, input } = stabilised;
  for (
    const [name, gate, value] of [
      [forget, preactivations[forget]!, "ds_sigmoid(-gate_of[id])"],
      [input, shared!.input, "gate_of[id]"],
    ] as const
  ) {
    const into = gradients[name];
    if (into === undefined) continue;
    await work.map(`gradient of ${name}`, gate.shape, { gate_of: gate }, value, { into, how: "multiply" });
  }
}

/** Numbers a batch row and head. */
function lanesOf(state: readonly number[]): number {
  return state[2]! * state[3]!;
}
