/**
 * Inputs, initial states and truths that executions are run on: whole, or stopped at a token and gone on with.
 *
 * @module
 */
import type { AnyAffineModel } from "../../models/affine.ts";
import type { Execution, RunOptions, RunResult } from "../../models/execution.ts";
import { type Dims, type Inputs, sliceInputs, stateLength, stateWidth } from "../../models/inputs.ts";
import { seeded } from "../../models/random.ts";
import type { InputSource } from "../../models/source.ts";
import { type Judge, judgeOf } from "../allowance.ts";
import { type Reference, reference } from "../reference.ts";
import { CERTIFIED, type CheckContext, longest } from "./context.ts";

/** Inputs, initial state and truths of one source at one size. */
export interface Setting {
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
export function setting(
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

export function run(
  context: CheckContext,
  execution: Execution,
  { dims, inputs, initialState }: Setting,
  T: number,
): Promise<RunResult> {
  const { model } = context;
  const options = { initialState, ...kept(model, execution, dims) };
  return execution.run(model, { ...dims, T }, sliceInputs(model, dims, inputs, 0, T), options);
}

/** The states that a judge of a matrix action needs: at chunk starts where the execution promises those, or all. */
export function kept(
  model: AnyAffineModel,
  { rounding }: Execution,
  dims: Dims,
): Pick<RunOptions, "states" | "chunkStates"> {
  if (model.action !== "matrix") return {};
  return rounding.chunk?.(model, dims) === undefined ? { states: true } : { chunkStates: true };
}

/** Runs to a split, then on from the state that was returned, and joins the results. */
export async function resumed(
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
    ...kept(model, execution, dims),
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
  const both = (name: "states" | "chunkStates"): Pick<RunResult, typeof name> =>
    first[name] === undefined || rest[name] === undefined ? {} : { [name]: join(first[name], rest[name]) };
  return {
    outputs: join(first.outputs, rest.outputs),
    finalState: rest.finalState,
    ...both("states"),
    ...both("chunkStates"),
  };
}
