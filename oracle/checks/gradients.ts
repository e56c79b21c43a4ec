/**
 * Gradient rows: an execution's reverse mode within its derived bound of exact forward-mode derivatives.
 *
 * Every argument is compared at short lengths; at longer ones a seeded choice of {@link SAMPLED} per row, those of the
 * first and last tokens and on both sides of chunk boundaries among them.
 *
 * @module
 */
import type { Execution, GradientOptions, GradientResult } from "../../models/execution.ts";
import { backward } from "../../models/backward.ts";
import { f64 } from "../../models/number.ts";
import { type TracedGradient, traceGradient } from "../../models/gradient.ts";
import { type Batch, type Inputs, prepare, sliceInputs, stateLength, stateWidth } from "../../models/inputs.ts";
import { outputColumns } from "../../models/affine.ts";
import { seeded } from "../../models/random.ts";
import type { InputSource } from "../../models/source.ts";
import { type Verdict, withinRadius } from "../compare.ts";
import { type Argument, argumentPlace, argumentsOf, sequenceGradient } from "../gradient.ts";
import { gradientBound } from "../gradient_bound.ts";
import type { Row } from "../report.ts";
import { gradientMachine, gradientPromise, offGradients } from "./gradient_promise.ts";
import {
  type CheckContext,
  CROSSING,
  exactDims,
  GRADIENT_LENGTHS,
  lengthsOf,
  longest,
  rowOf,
  verdictFields,
} from "./context.ts";

/** Arguments compared at lengths with more of them. */
const SAMPLED = 24;

/** The lengths of gradient rows, among those that an execution is run at. */
export function gradientLengths(context: CheckContext, execution: Execution): readonly number[] {
  return lengthsOf(context, execution).filter((T) => GRADIENT_LENGTHS.includes(T));
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

/** Which arguments a row compares; the largest by `size` of every input are among them: they show a fault best. */
function chosen(
  all: readonly Argument[],
  T: number,
  seed: number,
  size: (argument: Argument) => number,
): readonly Argument[] {
  if (all.length <= 2 * SAMPLED) return all;
  const random = seeded(seed, "arguments", T);
  const edges = new Set([0, 63, 64, T - 1]);
  const atEdge = all.filter((argument) => argument.kind === "input" && edges.has(argument.step));
  const picked = (from: readonly Argument[], count: number): Argument[] =>
    Array.from({ length: Math.min(count, from.length) }, () => from[Math.floor(random() * from.length)]!);
  const few = SAMPLED / 4;
  return [
    ...new Set([
      ...largestOfEach(all, size),
      ...picked(all, few),
      ...picked(atEdge, few),
      ...picked(all.filter(({ kind }) => kind === "parameter"), few),
      ...picked(all.filter(({ kind }) => kind === "state"), few),
    ]),
  ];
}

/** The largest gradient of every input, and of the initial state. */
function largestOfEach(all: readonly Argument[], size: (argument: Argument) => number): readonly Argument[] {
  const most = new Map<string, Argument>();
  for (const argument of all) {
    const name = argument.kind === "state" ? "" : argument.name;
    const before = most.get(name);
    if (before === undefined || size(argument) > size(before)) most.set(name, argument);
  }
  return [...most.values()];
}

/** The truth of one source and length; what an execution is allowed follows from what it promises. */
interface GradientTruth {
  readonly batch: Batch;
  readonly wanted: readonly Argument[];
  readonly want: readonly number[];
  allowed(execution: Execution): readonly number[];
}

function truthOf(
  batch: Batch,
  traced: TracedGradient,
  options: Required<GradientOptions>,
  seed: number,
): GradientTruth {
  const { model, dims } = batch;
  const numberOf =
    <V>(from: { readonly inputs: { readonly [name: string]: ArrayLike<V> } }, initial: ArrayLike<V>) =>
    (argument: Argument): V => {
      const { name, index } = argumentPlace(model, batch, argument);
      return (name === undefined ? initial : from.inputs[name]!)[index]!;
    };
  const plain = backward(f64, batch, options, options.initialState, traced);
  const size = numberOf(plain, plain.initialState);
  const wanted = chosen(argumentsOf(batch), dims.T, seed, (argument) => Math.abs(size(argument)));
  return {
    batch,
    wanted,
    want: sequenceGradient(batch, 0, 0, options.initialState, options, wanted),
    allowed(execution) {
      const machine = gradientMachine(execution, model, dims);
      const promise = gradientPromise(execution, model, dims);
      const bound = gradientBound(traced, batch, options.initialState, options, machine, promise);
      const radius = numberOf(bound, bound.initial);
      return wanted.map((argument) => radius(argument).r);
    },
  };
}

function verdictOf(
  { batch, wanted, want }: GradientTruth,
  allowed: readonly number[],
  result: GradientResult,
): Verdict {
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
    for (const T of context.lengths) {
      const some = executions.filter((execution) => gradientLengths(context, execution).includes(T));
      if (some.length === 0) continue;
      const { batch, inputs, options } = caseOf(context, source, T);
      const results = await Promise.all(
        some.map((execution) => execution.gradients!(context.model, batch.dims, inputs, options)),
      );
      const truth = truthOf(batch, traced, options, context.seed);
      for (const [i, execution] of some.entries()) {
        const result = context.plant === undefined ? results[i]! : offGradients(results[i]!);
        yield rowOf(context, {
          check: "gradient",
          execution: execution.name,
          inputs: source.name,
          length: T,
          ...verdictFields(verdictOf(truth, truth.allowed(execution), result)),
        });
      }
    }
  }
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
    const allowed = truth.allowed(execution);
    const faulty = offGradients(result);
    // What a dropped carry of λ leaves of the first chunk: the gradient of that chunk alone.
    const head = caseOf(context, source, 64, CROSSING);
    const alone = await execution.gradients!(context.model, head.batch.dims, head.inputs, {
      outputs: Float32Array.from(options.outputs).subarray(0, head.options.outputs.length),
      initialState: options.initialState,
    });
    const dropped: GradientResult = { ...result, initialState: alone.initialState };
    for (const [fault, gradients] of [["relative", faulty], ["dropped-carry", dropped]] as const) {
      const seen = !verdictOf(truth, allowed, gradients).ok;
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
