/**
 * Accuracy rows: every execution, in floating point, within its derived bound of the truth; whole, and resumed.
 *
 * @module
 */
import type { Execution, RunResult } from "../../models/execution.ts";
import { type Fault, faults } from "../../models/execution.ts";
import type { Dims } from "../../models/inputs.ts";
import type { InputSource } from "../../models/source.ts";
import { measuredUlps } from "../allowance.ts";
import type { Row } from "../report.ts";
import { type CheckContext, CROSSING, exactDims, largeDims, lengthsOf, rowOf, verdictFields } from "./context.ts";
import { resumed, run, type Setting, setting } from "./setting.ts";

/**
 * Whether a bound exists. A matrix action is judged by its own steps, which a tree of dense products does not take;
 * and the unstabilised step of a model with a shared exponent leaves the range of f32.
 */
export function judged(context: CheckContext, execution: Execution): boolean {
  const { model } = context;
  const { rounding } = execution;
  const kept = execution.scans === true || execution.accelerated === true;
  if (model.action === "scaled" && !kept && rounding.unit === 2 ** -24) return false;
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
    for (const [size, of, dims] of [["", executions, exactDims], [" large", fast, largeDims]] as const) {
      const at = settings(context, source, dims, size === "");
      for (const execution of of) {
        const lengths = lengthsOf(context, execution);
        yield* lengthRows(context, execution, source, at(Math.max(0, ...lengths)), lengths, size);
      }
    }
  }
  const [some, size, dims] = fast.length === 0
    ? [executions, "", exactDims] as const
    : [fast, " large", largeDims] as const;
  for (const source of context.realSources) {
    const at = settings(context, source, dims, fast.length === 0);
    for (const execution of some) {
      const T = Math.max(0, ...lengthsOf(context, execution));
      yield* lengthRows(context, execution, source, at(T), [T], size);
    }
  }
}

/** Settings of one source by their longest run: executions of as many lengths share one. */
function settings(
  context: CheckContext,
  source: InputSource,
  dims: (context: CheckContext, T: number) => Dims,
  exact: boolean,
): (T: number) => Setting {
  const made = new Map<number, Setting>();
  return (T) => {
    const place = made.get(T) ?? setting(context, source, dims(context, T), exact);
    made.set(T, place);
    return place;
  };
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
      const verdict = judge.judge(await resumed(context, execution, place, T, SPLIT), T, [0, SPLIT]);
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

/** The faults that exist for an execution: its own list, or those of a scan, a fused kernel, a recurrence; a sum has no order. */
export function plantable({ model }: CheckContext, execution: Execution): readonly Fault[] {
  const own = execution.faults ??
    (execution.scans === true ? faults : execution.accelerated === true ? ["relative", "dropped-carry"] : ["relative"]);
  return faults.filter((fault) =>
    own.includes(fault) && !(fault === "swapped-operands" && model.action === "identity")
  );
}
