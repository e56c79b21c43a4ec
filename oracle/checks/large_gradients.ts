/**
 * Gradient rows at the larger sizes, for accelerated executions: every number of every gradient, within its derived bound of
 * reverse mode in f64 (which the rows at small sizes, and tests, hold to exact forward-mode derivatives).
 *
 * @module
 */
import { outputColumns } from "../../models/affine.ts";
import type { Execution, GradientOptions, GradientResult } from "../../models/execution.ts";
import { traceGradient } from "../../models/gradient.ts";
import {
  type Dims,
  inputEntries,
  type Inputs,
  inputWidth,
  microSteps,
  prepare,
  stateLength,
  stateWidth,
} from "../../models/inputs.ts";
import { seeded } from "../../models/random.ts";
import { joined, type Verdict, withinRadius } from "../compare.ts";
import { type GradientBound, gradientBound } from "../gradient_bound.ts";
import type { Row } from "../report.ts";
import { type CheckContext, lengthsOf, longest, rowOf, verdictFields } from "./context.ts";
import { gradientMachine, gradientPromise, offGradients } from "./gradient_promise.ts";

/** The one length: a chunk and a token. */
const LENGTH = 65;

/** The executions that have a row. */
export function largeGraded(context: CheckContext): readonly Execution[] {
  return context.executions.filter((execution) =>
    execution.gradients !== undefined && execution.accelerated === true &&
    lengthsOf(context, execution).includes(LENGTH)
  );
}

/** Two sequences: of two heads, or of two batch rows where there are none. */
function dimsOf({ model, largeSizes: sizes }: CheckContext): Dims {
  return model.heads ? { B: 1, T: LENGTH, H: 2, sizes } : { B: 2, T: LENGTH, H: 1, sizes };
}

/** One sequence of an array `[B, rows, H, width]`. */
function sequenceOf(values: ArrayLike<number>, { B, H }: Dims, width: number, b: number, h: number): Float32Array {
  const rows = values.length / (B * H * width);
  const out = new Float32Array(rows * width);
  for (let row = 0; row < rows; row++) {
    for (let n = 0; n < width; n++) out[row * width + n] = values[((b * rows + row) * H + h) * width + n]!;
  }
  return out;
}

/** One row for each of {@link largeGraded}, on the first source. */
export async function* largeGradientRows(context: CheckContext): AsyncGenerator<Row> {
  const executions = largeGraded(context);
  const [source] = context.sources;
  if (executions.length === 0 || source === undefined) return;
  const { model, seed } = context;
  const dims = dimsOf(context);
  const inputs = source.inputs(model, dims, seed, longest(context));
  const random = seeded(seed, "large cotangents", model.name);
  const numbers = (length: number): Float32Array => Float32Array.from({ length }, () => 2 * random() - 1);
  const state = (): Float32Array =>
    numbers(stateLength(model, dims)).map((x, n) => model.action === "scaled" && n % stateWidth(model) === 1 ? 0 : x);
  const columns = outputColumns(model, dims.sizes);
  const options = { outputs: numbers(LENGTH * 2 * columns), finalState: state(), initialState: state() };
  const bounds = new Map<string, readonly GradientBound[]>();
  for (const execution of executions) {
    // Executions that promise the same have the same bound.
    const key = JSON.stringify([gradientPromise(execution, model, dims), gradientMachine(execution, model, dims)]);
    const bound = bounds.get(key) ?? boundsOf(context, execution, dims, inputs, options);
    bounds.set(key, bound);
    const result = await execution.gradients!(model, dims, inputs, options);
    yield rowOf(context, {
      check: "gradient",
      execution: `${execution.name} large`,
      inputs: source.name,
      length: LENGTH,
      ...verdictFields(verdictOf(context, dims, bound, context.plant === undefined ? result : offGradients(result))),
    });
  }
}

/** The bounds of both sequences. */
function boundsOf(
  { model }: CheckContext,
  execution: Execution,
  dims: Dims,
  inputs: Inputs,
  options: Required<GradientOptions>,
): GradientBound[] {
  const one: Dims = { ...dims, B: 1, H: 1 };
  const traced = traceGradient(model, dims.sizes);
  const stateNumbers = stateLength(model, one);
  return [0, 1].map((n) => {
    const [b, h] = dims.H === 2 ? [0, n] : [n, 0];
    const own = Object.fromEntries(
      inputEntries(model).filter(([name]) => inputs[name] !== undefined).map(([name, spec]) => {
        const width = inputWidth(spec, dims.sizes);
        const values = inputs[name]!;
        return [
          name,
          spec.per === "parameter"
            ? Float32Array.from({ length: width }, (_, i) => values[h * width + i]!)
            : sequenceOf(values, dims, width, b, h),
        ];
      }),
    );
    const statePart = (values: ArrayLike<number>): Float32Array => sequenceOf(values, dims, stateNumbers, b, h);
    const given = {
      outputs: sequenceOf(options.outputs, dims, outputColumns(model, dims.sizes), b, h),
      finalState: statePart(options.finalState),
    };
    return gradientBound(
      traced,
      prepare(model, one, own),
      statePart(options.initialState),
      given,
      gradientMachine(execution, model, dims),
      gradientPromise(execution, model, dims),
    );
  });
}

function verdictOf(
  { model }: CheckContext,
  dims: Dims,
  bounds: readonly GradientBound[],
  result: GradientResult,
): Verdict {
  const verdicts: Verdict[] = [];
  const stateNumbers = stateLength(model, { ...dims, B: 1, H: 1 });
  const compared = (
    got: ArrayLike<number>,
    of: (bound: GradientBound) => GradientBound["initial"],
    width: number,
  ): void => {
    bounds.forEach((bound, n) => {
      const balls = of(bound);
      const [b, h] = dims.H === 2 ? [0, n] : [n, 0];
      const own = sequenceValues(got, dims, width, b, h, balls.length);
      verdicts.push(withinRadius(own, balls.map(({ x }) => x), balls.map(({ r }) => r)));
    });
  };
  compared(result.initialState, ({ initial }) => initial, stateNumbers);
  for (const [name, spec] of inputEntries(model)) {
    const got = result.inputs[name] ?? [];
    const width = inputWidth(spec, dims.sizes);
    if (spec.per !== "parameter" || dims.H === 2) {
      compared(got, ({ inputs }) => inputs[name]!, width);
      continue;
    }
    // A parameter's gradient is a sum over batch rows, in any order.
    const [first, second] = bounds.map(({ inputs }) => inputs[name]!) as [
      GradientBound["initial"],
      GradientBound["initial"],
    ];
    const terms = 2 * LENGTH * microSteps(model);
    verdicts.push(withinRadius(
      got,
      first.map(({ x }, i) => x + second[i]!.x),
      first.map(({ x, r }, i) => {
        const { x: y, r: s } = second[i]!;
        return r + s + terms * 2 ** -24 * (Math.abs(x) + Math.abs(y) + r + s);
      }),
    ));
  }
  return joined(verdicts);
}

/** A sequence's numbers in f64; NaN where there are too few. */
function sequenceValues(
  values: ArrayLike<number>,
  { B, H }: Dims,
  width: number,
  b: number,
  h: number,
  length: number,
): Float64Array {
  const rows = length / width;
  const whole = values.length === B * H * length;
  return Float64Array.from(
    { length },
    (_, n) => whole ? values[((b * rows + Math.floor(n / width)) * H + h) * width + n % width]! : NaN,
  );
}
