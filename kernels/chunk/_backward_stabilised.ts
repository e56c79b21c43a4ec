/**
 * What gradients of a model with a shared exponent take before and behind the kernels: states and cotangents of mantissas, and
 * the chain rule through stabilise.ts, to which the exponents are constants.
 *
 * @module
 */
import type { Tensor } from "../tensor.ts";
import type { Named } from "./_backward_chain.ts";
import type { Work } from "./_backward_work.ts";
import type { ChunkModel } from "./family.ts";
import { mantissa, mantissaCotangent, pairCotangent } from "./_shared_exponent.ts";
import { stabilise } from "./stabilise.ts";

/** Where a model with a shared exponent has it, and the gradient of its initial state as pairs. */
export interface Shared {
  readonly exponents: Tensor;
  cotangent(dInitial: Tensor): Promise<Tensor>;
}

/**
 * States and their cotangents without a shared exponent, and inputs with stabilised gates in the place of their
 * preactivations.
 */
export async function statesOf(
  work: Work,
  { stabilised }: ChunkModel,
  given: Named,
  state: readonly number[],
  { initial, dFinal }: {
    readonly initial: ArrayLike<number> | undefined;
    readonly dFinal: ArrayLike<number> | undefined;
  },
): Promise<{
  readonly initial: Tensor | undefined;
  readonly dFinal: Tensor | undefined;
  readonly own: Named;
  readonly shared: Shared | undefined;
}> {
  const width = stabilised === undefined ? [] : [2];
  const filled = (label: string, data: ArrayLike<number> | undefined): Tensor | undefined =>
    data && work.filled(label, data, [...state, ...width]);
  const start = filled("initial state", initial);
  const end = filled("cotangent of the final state", dFinal);
  if (stabilised === undefined) return { initial: start, dFinal: end, own: given, shared: undefined };
  const { forget, input, exponents, first, last, plan } = await stabilise(work.gpu, {
    forget: given[stabilised.forget]!,
    input: given[stabilised.input]!,
    ...(start === undefined ? {} : { initial: start }),
  });
  work.plan(plan);
  const lanes = state[2]! * state[3]!;
  const plain = (
    label: string,
    pairs: Tensor | undefined,
    exponent_of: Tensor,
    value: string,
  ): Promise<Tensor> | undefined => pairs && work.map(label, state, { pairs, exponent_of }, value);
  return {
    initial: await plain("canonical initial", start, first, mantissa(lanes)),
    dFinal: await plain("cotangent of the canonical final", end, last, mantissaCotangent(lanes)),
    own: { ...given, [stabilised.forget]: forget, [stabilised.input]: input },
    shared: {
      exponents,
      cotangent: (raw_of) => {
        const pairs = start ?? work.room("no initial state", [...state, 2]);
        return work.map(
          "pairs of cotangents",
          pairs.shape,
          { raw_of, pairs, exponent_of: first },
          pairCotangent(lanes),
        );
      },
    },
  };
}

/** Gradients of f̃ and ĩ from those of log f′ and i′: those are f̃'s by σ(−f̃), and ĩ's by i′. */
export async function preactivations(
  work: Work,
  { stabilised }: ChunkModel,
  given: Named,
  own: Named,
  chain: Named,
): Promise<Named> {
  const { forget, input } = stabilised!;
  const through = (name: string, of: Tensor, value: string): Promise<Tensor> =>
    work.map(`gradient of ${name}`, of.shape, { d_gate: chain[name]!, gate_of: of }, `d_gate[id] * ${value}`);
  return {
    ...chain,
    [forget]: await through(forget, given[forget]!, "ds_sigmoid(-gate_of[id])"),
    [input]: await through(input, own[input]!, "gate_of[id]"),
  };
}
