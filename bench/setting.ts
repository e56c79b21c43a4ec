/**
 * Seeded inputs of a model and the judge of a run on them. A batch of equal rows needs one truth: its bound is derived
 * once, and every row is held to it.
 *
 * @module
 */
import { type AnyAffineModel, outputColumns, type Sizes } from "../models/affine.ts";
import type { Rounding, RunResult } from "../models/execution.ts";
import { type Dims, inputEntries, type Inputs, microSteps, sampleInputs, stateLength } from "../models/inputs.ts";
import { seeded } from "../models/random.ts";
import { judgeOf } from "../oracle/allowance.ts";
import { joined, type Verdict } from "../oracle/compare.ts";
import { reference } from "../oracle/reference.ts";

const SEED = 1;

/** What a kernel is run on. */
export interface Setting {
  readonly model: AnyAffineModel;
  readonly dims: Dims;
  readonly inputs: Inputs;
  readonly initialState: Float32Array;
  /** `B=1 T=1024 H=1 K=16 V=16` */
  readonly shape: string;
  /** Bytes of all inputs, in f32. */
  readonly inputBytes: number;
  /** Bytes of all outputs. */
  readonly outputBytes: number;
  /** Bytes of all states after one step. */
  readonly stateBytes: number;
  /** Holds every row of a result to the derived bound of the given rounding. */
  judge(result: RunResult): Verdict;
}

/** The sizes that a model uses, in words. */
export function shapeOf(model: AnyAffineModel, { B, T, H, sizes }: Dims): string {
  const axes = new Set<string>([...model.state, ...inputEntries(model).flatMap(([, { axes }]) => [...axes])]);
  const used = Object.entries(sizes).filter(([axis]) => axes.has(axis)).map(([axis, n]) => `${axis}=${n}`);
  return [`B=${B}`, `T=${T}`, ...(model.heads ? [`H=${H}`] : []), ...used].join(" ");
}

function repeated(values: Float32Array, times: number): Float32Array {
  const out = new Float32Array(values.length * times);
  for (let n = 0; n < times; n++) out.set(values, n * values.length);
  return out;
}

/** Row b of a result. */
function row(result: RunResult, B: number, b: number): RunResult {
  const part = <A extends Float32Array | Float64Array>(x: A): A =>
    x.subarray(b * x.length / B, (b + 1) * x.length / B) as A;
  const { outputs, finalState, states } = result;
  return {
    outputs: part(outputs),
    finalState: part(finalState),
    ...(states === undefined ? {} : { states: part(states) }),
  };
}

/** Long-memory inputs (1 − gate ≤ 1/T, so that what comes first is still seen at the end) and a state to start from. */
export function settingOf(
  model: AnyAffineModel,
  { T, B = 1, sizes, start = true }: {
    readonly T: number;
    readonly B?: number;
    readonly sizes: Sizes;
    /** Whether to start from a state other than zero. */
    readonly start?: boolean;
  },
  rounding: Rounding,
): Setting {
  const dims: Dims = { B, T, H: 1, sizes };
  const one: Dims = { ...dims, B: 1 };
  const single = sampleInputs(model, one, "long-memory", SEED);
  const inputs = Object.fromEntries(
    inputEntries(model).map(([name, { per }]) => [
      name,
      per === "parameter" ? single[name]! : repeated(single[name]!, B),
    ]),
  );
  const random = seeded(SEED, "initial state", model.name);
  const state = Float32Array.from({ length: stateLength(model, one) }, () => start ? 2 * random() - 1 : 0);
  const judge = judgeOf(reference(model, one, single, state), rounding);
  const outputs = B * T * outputColumns(model, sizes);
  return {
    model,
    dims,
    inputs,
    initialState: repeated(state, B),
    shape: shapeOf(model, dims),
    inputBytes: 4 * Object.values(inputs).reduce((sum, { length }) => sum + length, 0),
    outputBytes: 4 * outputs,
    stateBytes: 4 * B * state.length,
    judge(result) {
      if (result.outputs.length !== outputs || result.finalState.length !== B * state.length) {
        throw new TypeError(
          `Cannot judge ${model.name}: ${outputs} outputs and ${B * state.length} numbers of state were asked for, ` +
            `got ${result.outputs.length} and ${result.finalState.length}`,
        );
      }
      return joined(Array.from({ length: B }, (_, b) => judge.judge(row(result, B, b), T)));
    },
  };
}

/** A matrix action is judged by its states. */
export function needsStates({ model }: Setting): boolean {
  return model.action === "matrix";
}

/** Numbers of all states of one token of one sequence: one state per micro-step. */
export function statesPerToken({ model, dims }: Setting): number {
  return microSteps(model) * stateLength(model, { ...dims, B: 1, H: 1 });
}
