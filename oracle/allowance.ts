/**
 * What an execution's f32 run is allowed, number by number: the derived bounds of bound.ts, defect.ts and
 * chunk_defect.ts, prepared once for the longest length and cut to any shorter one.
 *
 * @module
 */
import { type Accuracy, wgslAccuracy } from "../models/accuracy.ts";
import { outputColumns } from "../models/affine.ts";
import { InputError } from "../models/error.ts";
import { eachToken, type Rounding, type RunResult } from "../models/execution.ts";
import { microSteps } from "../models/inputs.ts";
import type { LaneState } from "../models/run.ts";
import { ballAlgebra, roundedAccuracy } from "./ball.ts";
import { boundSequence, type SequenceBound } from "./bound.ts";
import { chunkJudge } from "./chunk_judge.ts";
import { joined, type Judge, withinRadius } from "./compare.ts";
import { defectJudge } from "./defect_judge.ts";
import { lanesAt, type Reference, stateArrayValues, trueOutputs, trueState } from "./reference.ts";

export type { Judge } from "./compare.ts";

/** The largest f32. */
const LARGEST = (2 - 2 ** -23) * 2 ** 127;

/** The arithmetic of an execution. */
export function accuracyOf({ accuracy, unit }: Pick<Rounding, "accuracy" | "unit">): Accuracy {
  return accuracy === "wgsl" ? wgslAccuracy : accuracy === "rounded" ? roundedAccuracy(unit) : accuracy;
}

/** The judge of an execution with the given rounding, against a reference. */
export function judgeOf(reference: Reference, rounding: Rounding): Judge {
  const { model, dims } = reference.batch;
  if (model.action !== "matrix") return laneJudge(reference, rounding);
  const machine = accuracyOf(rounding);
  const chunk = rounding.chunk?.(model, dims);
  if (chunk === undefined) return defectJudge(reference, machine, rounding.denseChunk(model, dims));
  return chunkJudge(reference, {
    machine,
    chunk,
    logSums: rounding.logSums?.(model, dims),
    tiles: rounding.tiles?.(model, dims),
  });
}

function laneJudge(reference: Reference, rounding: Rounding): Judge {
  const { batch, sequences } = reference;
  const { model, dims } = batch;
  const machine = accuracyOf(rounding);
  const A = ballAlgebra(machine);
  const promise = {
    late: rounding.rightCombines(batch.steps, model, dims),
    logSums: rounding.logSums?.(model, dims),
    tiles: rounding.tiles?.(model, dims),
  };
  const boundOf = (T: number) => (_: unknown, sequence: number): SequenceBound => {
    const { states, initial } = sequences[sequence]!;
    const all = eachToken(A, batch, Math.floor(sequence / dims.H), sequence % dims.H);
    const tokens = T === dims.T ? all : [...all].slice(0, T * microSteps(model));
    const truth = (s: number): LaneState<number> => lanesAt(model, states[s]!);
    const bound = boundSequence(model, dims.sizes, tokens, truth, initial, machine, promise);
    if (machine.unit === 2 ** -24 && !(bound.largest < LARGEST)) {
      throw new InputError(
        `Cannot run ${model.name} in f32: intermediate values must stay below 3.4e38, and may reach ${
          bound.largest.toExponential(1)
        }`,
      );
    }
    return bound;
  };
  // Bounds are those of the longest run, cut; but an operand's floor depends on all that its tile holds.
  const made = new Map<number, readonly SequenceBound[]>();
  const boundsOf = (T: number): readonly SequenceBound[] => {
    const of = promise.tiles === undefined ? dims.T : T;
    const bounds = made.get(of) ?? sequences.map(boundOf(of));
    made.set(of, bounds);
    return bounds;
  };
  boundsOf(dims.T);
  const columns = outputColumns(model, dims.sizes);
  const n = microSteps(model);
  const width = model.action === "complex" ? 2 : 1;
  return {
    judge(result, T) {
      const outputs = new Float64Array(dims.B * T * dims.H * columns);
      const states: number[] = [];
      boundsOf(T).forEach((bound, sequence) => {
        const [b, h] = [Math.floor(sequence / dims.H), sequence % dims.H];
        for (let t = 0; t < T; t++) {
          outputs.set(bound.outputs[(t + 1) * n - 1]!, ((b * T + t) * dims.H + h) * columns);
        }
        const last = T === 0 ? sequences[sequence]!.initial.map(() => 0) : [...bound.states[T * n - 1]!];
        states.push(...last.flatMap((r) => width === 2 ? [r, r] : [r]));
      });
      return joined([
        withinRadius(result.outputs, trueOutputs(reference, T), outputs),
        withinRadius(stateArrayValues(model, result.finalState), trueState(reference, T), states),
      ]);
    },
  };
}

/** The largest error against the truth in ulps, for actions that are judged by their defect: measured, not judged. */
export function measuredUlps(reference: Reference, result: RunResult, T: number): number {
  const zero = new Float64Array(result.outputs.length).fill(Infinity);
  return withinRadius(result.outputs, trueOutputs(reference, T), zero).maxUlp;
}
