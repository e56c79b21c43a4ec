/**
 * Gradient rows: an execution's reverse mode within its derived bound of exact forward-mode derivatives.
 *
 * Every argument is compared at short lengths; at longer ones a seeded choice of {@link SAMPLED} per row, those of the
 * first and last tokens and on both sides of chunk boundaries among them.
 *
 * @module
 */
import { wgslAccuracy } from "../../models/accuracy.ts";
import type { Execution, GradientOptions, GradientResult } from "../../models/execution.ts";
import { type TracedGradient, traceGradient } from "../../models/gradient.ts";
import { type Batch, type Inputs, prepare, sliceInputs, stateLength, stateWidth } from "../../models/inputs.ts";
import { outputColumns } from "../../models/affine.ts";
import { seeded } from "../../models/random.ts";
import type { InputSource } from "../../models/source.ts";
import { type Verdict, withinRadius } from "../compare.ts";
import { type Argument, argumentPlace, argumentsOf, sequenceGradient } from "../gradient.ts";
import { gradientBound } from "../gradient_bound.ts";
import type { Row } from "../report.ts";
import { type CheckContext, CROSSING, exactDims, GRADIENT_LENGTHS, longest, rowOf, verdictFields } from "./context.ts";

/** Arguments compared at lengths with more of them. */
const SAMPLED = 24;

/** The lengths of gradient rows, among those asked for. */
export function gradientLengths({ lengths }: CheckContext): readonly number[] {
  return lengths.filter((T) => GRADIENT_LENGTHS.includes(T));
}

/** Cotangents of ordinary size and an initial state. */
function optionsOf(context: CheckContext, T: number): Required<GradientOptions> {
  const { model } = context;
  const dims = exactDims(context, T);
  const random = seeded(context.seed, "cotangents", model.name, T);
  const width = stateWidth(model);
  const numbers = (length: number): Float32Array => Float32Array.from({ length }, () => 2 * random() - 1);
  // A scaled state comes with exponents: 0 here, so that the pairs are plain values.
  const state = (): Float32Array =>
    numbers(stateLength(model, dims)).map((x, n) => model.action === "scaled" && n % width === 1 ? 0 : x);
  return {
    outputs: numbers(T * outputColumns(model, dims.sizes)),
    finalState: state(),
    initialState: state(),
  };
}

/** Which arguments a row compares. */
function chosen(all: readonly Argument[], T: number, seed: number): readonly Argument[] {
  if (all.length <= 2 * SAMPLED) return all;
  const random = seeded(seed, "arguments", T);
  const edges = new Set([0, 63, 64, T - 1]);
  const atEdge = all.filter((argument) => argument.kind === "input" && edges.has(argument.step));
  const picked = (from: readonly Argument[], count: number): Argument[] =>
    Array.from({ length: Math.min(count, from.length) }, () => from[Math.floor(random() * from.length)]!);
  const few = SAMPLED / 4;
  return [
    ...new Set([
      ...picked(all, few),
      ...picked(atEdge, few),
      ...picked(all.filter(({ kind }) => kind === "parameter"), few),
      ...picked(all.filter(({ kind }) => kind === "state"), few),
    ]),
  ];
}

/** Truth and allowance of one row. */
interface GradientTruth {
  readonly wanted: readonly Argument[];
  readonly want: readonly number[];
  readonly allowed: readonly number[];
}

function truthOf(
  batch: Batch,
  traced: TracedGradient,
  options: Required<GradientOptions>,
  seed: number,
): GradientTruth {
  const wanted = chosen(argumentsOf(batch), batch.dims.T, seed);
  const bound = gradientBound(traced, batch, options.initialState, options, wgslAccuracy);
  return {
    wanted,
    want: sequenceGradient(batch, 0, 0, options.initialState, options, wanted),
    allowed: wanted.map((argument) => {
      const { name, index } = argumentPlace(batch.model, batch, argument);
      return (name === undefined ? bound.initial : bound.inputs[name]!)[index]!.r;
    }),
  };
}

function verdictOf(batch: Batch, { wanted, want, allowed }: GradientTruth, result: GradientResult): Verdict {
  const got = wanted.map((argument) => {
    const { name, index } = argumentPlace(batch.model, batch, argument);
    return (name === undefined ? result.initialState : result.inputs[name]!)[index] ?? NaN;
  });
  return withinRadius(got, want, allowed);
}

/** Inputs, batch and options of one source and length. */
function caseOf(
  context: CheckContext,
  source: InputSource,
  T: number,
  scale: number = longest(context),
): { inputs: Inputs; batch: Batch; options: Required<GradientOptions> } {
  const { model, seed } = context;
  const dims = exactDims(context, T);
  const whole = exactDims(context, CROSSING);
  const inputs = sliceInputs(model, whole, source.inputs(model, whole, seed, scale), 0, T);
  return { inputs, batch: prepare(model, dims, inputs), options: optionsOf(context, T) };
}

/** Every execution that has gradients, every source, the gradient lengths. */
export async function* gradientRows(context: CheckContext): AsyncGenerator<Row> {
  const executions = context.executions.filter(({ gradients }) => gradients !== undefined);
  if (executions.length === 0) return;
  const traced = traceGradient(context.model, context.exactSizes);
  for (const source of context.sources) {
    const cases = gradientLengths(context).map((T) => caseOf(context, source, T));
    const all = await Promise.all(
      cases.flatMap(({ batch, inputs, options }) =>
        executions.map((execution) => execution.gradients!(context.model, batch.dims, inputs, options))
      ),
    );
    for (const [i, T] of gradientLengths(context).entries()) {
      const { batch, options } = cases[i]!;
      const truth = truthOf(batch, traced, options, context.seed);
      for (const [j, execution] of executions.entries()) {
        const exact = all[i * executions.length + j]!;
        const result = context.plant === undefined ? exact : off(exact);
        yield rowOf(context, {
          check: "gradient",
          execution: execution.name,
          inputs: source.name,
          length: T,
          ...verdictFields(verdictOf(batch, truth, result)),
        });
      }
    }
  }
}

/** Gradients off by 2^−10. */
function off({ inputs, initialState }: GradientResult): GradientResult {
  const each = (values: Float32Array | Float64Array): Float32Array | Float64Array =>
    values.map((x) => x * (1 + 2 ** -10));
  return {
    inputs: Object.fromEntries(Object.entries(inputs).map(([name, values]) => [name, each(values)])),
    initialState: each(initialState),
  };
}

/** Gradients off by 2^−10, and gradients that stop at a chunk boundary: the row must turn red. */
export async function* gradientControlRows(context: CheckContext): AsyncGenerator<Row> {
  const executions: readonly Execution[] = context.executions.filter(({ gradients }) => gradients !== undefined);
  if (executions.length === 0) return;
  const source = context.sources.find(({ name }) => name === "long-memory") ?? context.sources[0]!;
  const traced = traceGradient(context.model, context.exactSizes);
  const { inputs, batch, options } = caseOf(context, source, CROSSING, CROSSING);
  const truth = truthOf(batch, traced, options, context.seed);
  for (const execution of executions) {
    const result = await execution.gradients!(context.model, batch.dims, inputs, options);
    const faulty = off(result);
    // What a dropped carry of λ leaves of the first chunk: the gradient of that chunk alone.
    const head = caseOf(context, source, 64, CROSSING);
    const alone = await execution.gradients!(context.model, head.batch.dims, head.inputs, {
      outputs: Float32Array.from(options.outputs).subarray(0, head.options.outputs.length),
      initialState: options.initialState,
    });
    const dropped: GradientResult = { ...result, initialState: alone.initialState };
    for (const [fault, gradients] of [["relative", faulty], ["dropped-carry", dropped]] as const) {
      const seen = !verdictOf(batch, truth, gradients).ok;
      yield rowOf(context, {
        check: "control",
        execution: `${execution.name} gradient with ${fault}`,
        inputs: source.name,
        length: CROSSING,
        ok: seen,
        detail: seen ? "seen" : "NOT seen: the gradient rows are blind to this fault",
      });
    }
  }
}
