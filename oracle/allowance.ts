/**
 * What an execution's f32 run is allowed, number by number: the derived bounds of bound.ts and defect.ts, prepared
 * once for the longest length and cut to any shorter one.
 *
 * @module
 */
import { type Accuracy, wgslAccuracy } from "../models/accuracy.ts";
import { outputColumns, stateColumns, stateRows } from "../models/affine.ts";
import { InputError } from "../models/error.ts";
import { eachToken, type Rounding, type RunResult, tokensOf } from "../models/execution.ts";
import { microSteps } from "../models/inputs.ts";
import { f64 } from "../models/number.ts";
import { type LaneState, readOut } from "../models/run.ts";
import type { FieldValues } from "../models/token.ts";
import { type Ball, ball, ballAlgebra, roundedAccuracy } from "./ball.ts";
import { boundSequence, type SequenceBound } from "./bound.ts";
import { joined, type Verdict, withinRadius } from "./compare.ts";
import { type DefectBound, defectBound, defects, matrixSteps } from "./defect.ts";
import { lanesAt, type Reference, stateArrayValues, trueOutputs, trueState } from "./reference.ts";

/** The largest f32. */
const LARGEST = (2 - 2 ** -23) * 2 ** 127;

/** The arithmetic of an execution. */
export function accuracyOf(rounding: Rounding): Accuracy {
  const { accuracy, unit } = rounding;
  return accuracy === "wgsl" ? wgslAccuracy : accuracy === "rounded" ? roundedAccuracy(unit) : accuracy;
}

/** Judges runs of one execution on prefixes of one reference. */
export interface Judge {
  /** `dims.T` tokens of the reference's inputs were run from its initial state. A matrix action needs `states`. */
  judge(result: RunResult, T: number): Verdict;
}

/** The judge of an execution with the given rounding, against a reference. */
export function judgeOf(reference: Reference, rounding: Rounding): Judge {
  return reference.batch.model.action === "matrix" ? defectJudge(reference, rounding) : laneJudge(reference, rounding);
}

function laneJudge(reference: Reference, rounding: Rounding): Judge {
  const { batch, sequences } = reference;
  const { model, dims } = batch;
  const machine = accuracyOf(rounding);
  const A = ballAlgebra(machine);
  const late = rounding.rightCombines(batch.steps);
  const bounds: SequenceBound[] = sequences.map(({ states, initial }, sequence) => {
    const tokens = eachToken(A, batch, Math.floor(sequence / dims.H), sequence % dims.H);
    const truth = (s: number): LaneState<number> => lanesAt(model, states[s]!);
    const bound = boundSequence(model, dims.sizes, tokens, truth, initial, machine, late);
    if (machine.unit === 2 ** -24 && !(bound.largest < LARGEST)) {
      throw new InputError(
        `Cannot run ${model.name} in f32: intermediate values must stay below 3.4e38, and may reach ${
          bound.largest.toExponential(1)
        }`,
      );
    }
    return bound;
  });
  const columns = outputColumns(model, dims.sizes);
  const n = microSteps(model);
  const width = model.action === "complex" ? 2 : 1;
  return {
    judge(result, T) {
      const outputs = new Float64Array(dims.B * T * dims.H * columns);
      const states: number[] = [];
      bounds.forEach((bound, sequence) => {
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

/** A matrix action is held to its own previous state, step by step (defect.ts), and its read-outs to its own states. */
function defectJudge(reference: Reference, rounding: Rounding): Judge {
  const { batch, sequences } = reference;
  const { model, dims } = batch;
  const machine = accuracyOf(rounding);
  const A = ballAlgebra(machine);
  const chunk = rounding.denseChunk(model, dims);
  const prepared = sequences.map(
    (_, sequence): { tokens: FieldValues<Ball>[]; exact: FieldValues<number>[]; bound: DefectBound } => {
      const [b, h] = [Math.floor(sequence / dims.H), sequence % dims.H];
      const tokens = tokensOf(A, batch, b, h);
      const steps = matrixSteps(model, dims.sizes, tokens, machine);
      return {
        tokens,
        exact: tokensOf(f64, batch, b, h),
        bound: defectBound(model, dims.sizes, steps, chunk, machine),
      };
    },
  );
  const lanes = stateRows(model, dims.sizes) * stateColumns(model, dims.sizes);
  const columns = outputColumns(model, dims.sizes);
  const n = microSteps(model);
  return {
    judge(result, T) {
      const steps = T * n;
      const { states } = result;
      if (states === undefined || states.length !== dims.B * steps * dims.H * lanes) {
        throw new TypeError(
          `Cannot judge ${model.name}: a matrix action is judged by its states, which were not returned`,
        );
      }
      const verdicts = prepared.map(({ tokens, exact, bound }, sequence) => {
        const [b, h] = [Math.floor(sequence / dims.H), sequence % dims.H];
        const initial = Float64Array.from(sequences[sequence]!.initial, ([s]) => s!);
        const own = Array.from({ length: steps }, (_, s) => {
          const at = ((b * steps + s) * dims.H + h) * lanes;
          return states.subarray(at, at + lanes);
        });
        const { want, allowed } = defects(model, dims.sizes, bound, own, initial, machine);
        const flatten = (rows: readonly ArrayLike<number>[]): Float64Array => {
          const out = new Float64Array(rows.length * lanes);
          rows.forEach((row, s) => out.set(row, s * lanes));
          return out;
        };
        const verdict = withinRadius(flatten(own), flatten(want), flatten(allowed));
        // Read-outs of the execution's own states, and the final state, which must be the last of them.
        const got = new Float64Array(T * columns);
        const read = new Float64Array(T * columns);
        const radius = new Float64Array(T * columns);
        for (let t = 0; t < T; t++) {
          const s = (t + 1) * n - 1;
          const seen = model.reads === "pre" ? (s === 0 ? initial : own[s - 1]!) : own[s]!;
          const as = Array.from(seen, (x) => [x]);
          read.set(readOut(f64, model, dims.sizes, as, exact[s]!), t * columns);
          radius.set(
            readOut(A, model, dims.sizes, as.map(([x]) => [ball(x!)]), tokens[s]!).map(({ r }) => r),
            t * columns,
          );
          const at = ((b * T + t) * dims.H + h) * columns;
          got.set(result.outputs.subarray(at, at + columns), t * columns);
        }
        const last = own[steps - 1] ?? initial;
        const end = result.finalState.subarray(sequence * lanes, (sequence + 1) * lanes);
        return joined([verdict, withinRadius(got, read, radius), withinRadius(end, last, new Float64Array(lanes))]);
      });
      return joined(verdicts);
    },
  };
}

/** The largest error against the truth in ulps, for actions that are judged by their defect: measured, not judged. */
export function measuredUlps(reference: Reference, result: RunResult, T: number): number {
  const zero = new Float64Array(result.outputs.length).fill(Infinity);
  return withinRadius(result.outputs, trueOutputs(reference, T), zero).maxUlp;
}
