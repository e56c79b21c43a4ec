/**
 * Accuracy rows: every execution, in floating point, within its derived bound of the truth; whole, and resumed.
 *
 * @module
 */
import type { Execution, RunResult } from "../../models/execution.ts";
import { faults } from "../../models/execution.ts";
import { type Dims, type Inputs, sliceInputs, stateLength, stateWidth } from "../../models/inputs.ts";
import { seeded } from "../../models/random.ts";
import type { InputSource } from "../../models/source.ts";
import { type Judge, judgeOf, measuredUlps } from "../allowance.ts";
import { type Reference, reference } from "../reference.ts";
import type { Row } from "../report.ts";
import {
  CERTIFIED,
  type CheckContext,
  CROSSING,
  exactDims,
  largeDims,
  longest,
  rowOf,
  verdictFields,
} from "./context.ts";

/** Inputs, initial state and truths of one source at one size. */
interface Setting {
  readonly dims: Dims;
  readonly inputs: Inputs;
  readonly initialState: Float32Array;
  /** The truth for a run of T tokens. */
  truth(T: number): Reference;
  judge(execution: Execution, T: number): Judge;
}

/** A state of ordinary f32 numbers; exponents 0. */
function initialStateOf(context: CheckContext, dims: Dims): Float32Array {
  const random = seeded(context.seed, "initial state", context.model.name);
  const width = stateWidth(context.model);
  return Float32Array.from(
    { length: stateLength(context.model, dims) },
    (_, n) => context.model.action === "scaled" && n % width === 1 ? 0 : Math.fround(2 * random() - 1),
  );
}

/** One source at one size; truths are computed when first asked for, certified up to {@link CERTIFIED} tokens. */
function setting(
  context: CheckContext,
  source: InputSource,
  dims: Dims,
  exact: boolean,
  scale: number = longest(context),
): Setting {
  const { model, seed } = context;
  const inputs = source.inputs(model, dims, seed, scale);
  const initialState = initialStateOf(context, dims);
  const near = Math.min(dims.T, CERTIFIED);
  const once = <V>(make: () => V): () => V => {
    let made: V | undefined;
    return () => made ??= make();
  };
  const certified = once(() =>
    reference(model, { ...dims, T: near }, sliceInputs(model, dims, inputs, 0, near), initialState, "certified")
  );
  const plain = once(() => reference(model, dims, inputs, initialState));
  const truth = (T: number): Reference => exact && T <= CERTIFIED ? certified() : plain();
  const judges = new Map<string, Judge>();
  return {
    dims,
    inputs,
    initialState,
    truth,
    judge(execution, T) {
      const against = truth(T);
      const key = `${execution.name} ${against.precision}`;
      const judge = judges.get(key) ?? judgeOf(against, execution.rounding);
      judges.set(key, judge);
      return judge;
    },
  };
}

function run(
  context: CheckContext,
  execution: Execution,
  { dims, inputs, initialState }: Setting,
  T: number,
): Promise<RunResult> {
  const { model } = context;
  const options = { initialState, states: model.action === "matrix" };
  return execution.run(model, { ...dims, T }, sliceInputs(model, dims, inputs, 0, T), options);
}

/** Runs to a split, then on from the state that was returned, and joins the results. */
async function resumed(
  context: CheckContext,
  execution: Execution,
  place: Setting,
  T: number,
  split: number,
): Promise<RunResult> {
  const { model } = context;
  const { dims, inputs } = place;
  const first = await run(context, execution, place, split);
  const rest = await execution.run(model, { ...dims, T: T - split }, sliceInputs(model, dims, inputs, split, T), {
    initialState: first.finalState,
    states: model.action === "matrix",
  });
  const join = (x: Float32Array | Float64Array, y: Float32Array | Float64Array): Float64Array => {
    const [a, b] = [x.length / dims.B, y.length / dims.B];
    const out = new Float64Array(x.length + y.length);
    for (let row = 0; row < dims.B; row++) {
      out.set(x.subarray(row * a, (row + 1) * a), row * (a + b));
      out.set(y.subarray(row * b, (row + 1) * b), row * (a + b) + a);
    }
    return out;
  };
  return {
    outputs: join(first.outputs, rest.outputs),
    finalState: rest.finalState,
    ...(first.states === undefined || rest.states === undefined ? {} : { states: join(first.states, rest.states) }),
  };
}

/**
 * Whether a bound exists. A matrix action is judged by its own steps, which a tree of dense products does not take;
 * and the unstabilised step of a model with a shared exponent leaves the range of f32.
 */
export function judged(context: CheckContext, execution: Execution): boolean {
  const { model } = context;
  const { rounding } = execution;
  if (model.action === "scaled" && execution.scans !== true && rounding.unit === 2 ** -24) return false;
  return model.action !== "matrix" || rounding.denseChunk(model, exactDims(context, CROSSING)) < CROSSING;
}

function accuracyRow(
  context: CheckContext,
  execution: Execution,
  source: InputSource,
  place: Setting,
  T: number,
  size: string,
  result: RunResult,
): Row {
  const fields = verdictFields(place.judge(execution, T).judge(result, T));
  const measured = context.model.action === "matrix" ? measuredUlps(place.truth(T), result, T) : undefined;
  return rowOf(context, {
    check: "accuracy",
    execution: `${execution.name}${size}`,
    inputs: source.name,
    length: T,
    ...fields,
    ...(measured === undefined || fields.detail !== undefined
      ? {}
      : { detail: `by its defect; ${measured.toPrecision(3)} ulp from the truth` }),
  });
}

/** The rows of one execution at every length. A device is given all runs at once: each is mostly waiting. */
async function* lengthRows(
  context: CheckContext,
  execution: Execution,
  source: InputSource,
  place: Setting,
  lengths: readonly number[],
  size: string,
): AsyncGenerator<Row> {
  const at = (T: number): Promise<RunResult> => run(context, execution, place, T);
  const ahead = execution.accelerated === true ? await Promise.all(lengths.map(at)) : [];
  for (const [n, T] of lengths.entries()) {
    yield accuracyRow(context, execution, source, place, T, size, ahead[n] ?? await at(T));
  }
}

/** Every execution, source and length; accelerated ones at both sizes. */
export async function* accuracyRows(context: CheckContext): AsyncGenerator<Row> {
  const executions = context.executions.filter((execution) => judged(context, execution));
  const fast = executions.filter(({ accelerated }) => accelerated === true);
  for (const source of context.sources) {
    const small = setting(context, source, exactDims(context, longest(context)), true);
    for (const execution of executions) {
      yield* lengthRows(context, execution, source, small, context.lengths, "");
    }
    if (fast.length === 0) continue;
    const large = setting(context, source, largeDims(context, longest(context)), false);
    for (const execution of fast) {
      yield* lengthRows(context, execution, source, large, context.lengths, " large");
    }
  }
  for (const source of context.realSources) {
    const T = longest(context);
    const dims = fast.length === 0 ? exactDims(context, T) : largeDims(context, T);
    const place = setting(context, source, dims, fast.length === 0);
    for (const execution of fast.length === 0 ? executions : fast) {
      yield* lengthRows(context, execution, source, place, [T], fast.length === 0 ? "" : " large");
    }
  }
}

/** Where resumed runs stop: a multiple of every chunk size, so that the chunks of a defect's allowance stay where they are. */
const SPLIT = 64;

/** Every execution stopped at a token and gone on with from the state it returned: within the same bound. */
export async function* resumeRows(context: CheckContext): AsyncGenerator<Row> {
  for (const source of context.sources) {
    const place = setting(context, source, exactDims(context, CROSSING), true);
    for (const execution of context.executions) {
      if (!judged(context, execution)) continue;
      const T = CROSSING;
      const judge = place.judge(execution, T);
      const verdict = judge.judge(await resumed(context, execution, place, T, SPLIT), T);
      yield rowOf(context, {
        check: "resume",
        execution: execution.name,
        inputs: source.name,
        length: T,
        ...verdictFields(verdict),
      });
    }
  }
}

/** Every execution that can plant a fault, each fault, on long memory: the row must turn red. */
export async function* accuracyControlRows(context: CheckContext): AsyncGenerator<Row> {
  const source = context.sources.find(({ name }) => name === "long-memory") ?? context.sources[0]!;
  // Gates of 1 − 1/129, not of the longest run's: inputs as small as 1/4096 would hide what comes before them.
  const place = setting(context, source, exactDims(context, CROSSING), true, CROSSING);
  for (const execution of context.executions) {
    if (execution.planted === undefined || !judged(context, execution)) continue;
    for (const fault of plantable(context, execution)) {
      const faulty = execution.planted(fault);
      const result = await run(context, faulty, place, CROSSING).catch((error: unknown) => error as Error);
      const verdict = result instanceof Error ? undefined : place.judge(execution, CROSSING).judge(result, CROSSING);
      const seen = verdict === undefined || !verdict.ok;
      yield rowOf(context, {
        check: "control",
        execution: `${execution.name} with ${fault}`,
        inputs: source.name,
        length: CROSSING,
        ok: seen,
        detail: seen
          ? "seen"
          : "NOT seen: the accuracy rows are blind to this fault; do the long-memory samples of its inputs remember?",
      });
    }
  }
}

/** The faults that exist for an execution: a recurrence has no scan, a sum no order. */
export function plantable(context: CheckContext, execution: Execution): readonly typeof faults[number][] {
  return faults.filter((fault) =>
    fault === "relative" ||
    execution.scans === true && !(fault === "swapped-operands" && context.model.action === "identity")
  );
}
