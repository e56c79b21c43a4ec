/**
 * The judge of a matrix action whose execution returns every state: each step from the execution's own state before it
 * (defect.ts), read-outs from its own states.
 *
 * @module
 */
import type { Accuracy } from "../models/accuracy.ts";
import type { Index } from "../models/arith.ts";
import { outputColumns, stateColumns, stateRows } from "../models/affine.ts";
import { tokensOf } from "../models/execution.ts";
import { microSteps } from "../models/inputs.ts";
import { f64 } from "../models/number.ts";
import { allSizes, tokenAccessors } from "../models/token.ts";
import { type Ball, ball, ballAlgebra } from "./ball.ts";
import { identical, joined, type Judge, withinRadius } from "./compare.ts";
import { type DefectBound, defectBound, defects, matrixSteps } from "./defect.ts";
import type { Reference } from "./reference.ts";

/** What is known of a sequence: its tokens as a read-out takes them, and the bound of its steps. */
interface Prepared {
  readonly tokens: readonly { readonly [name: string]: unknown }[];
  readonly exact: readonly { readonly [name: string]: unknown }[];
  readonly bound: DefectBound;
}

/** The judge of an execution that forms dense products of `chunk` tokens, 1 if none. */
export function defectJudge(reference: Reference, machine: Accuracy, chunk: number): Judge {
  const { batch, sequences } = reference;
  const { model, dims } = batch;
  const A = ballAlgebra(machine);
  const full = allSizes(dims.sizes);
  const V = stateColumns(model, dims.sizes);
  const prepared = sequences.map((_, sequence): Prepared => {
    const [b, h] = [Math.floor(sequence / dims.H), sequence % dims.H];
    const tokens = tokensOf(A, batch, b, h);
    const steps = matrixSteps(model, dims.sizes, tokens, machine);
    return {
      tokens: tokens.map((token) => tokenAccessors(model, dims.sizes, token)),
      exact: tokensOf(f64, batch, b, h).map((token) => tokenAccessors(model, dims.sizes, token)),
      bound: defectBound(model, dims.sizes, steps, chunk, machine),
    };
  });
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
          const value = (k: Index, v: Index): number => seen[(k as number) * V + (v as number)]!;
          const entry = (k: Index, v: Index): Ball => ball(value(k, v));
          for (let v = 0; v < columns; v++) {
            read[t * columns + v] = model.read(f64, value, exact[s]!, v, full) as number;
            radius[t * columns + v] = (model.read(A, entry, tokens[s]!, v, full) as Ball).r;
          }
          const at = ((b * T + t) * dims.H + h) * columns;
          got.set(result.outputs.subarray(at, at + columns), t * columns);
        }
        const last = own[steps - 1] ?? initial;
        const end = result.finalState.subarray(sequence * lanes, (sequence + 1) * lanes);
        return joined([verdict, withinRadius(got, read, radius), identical(end, last)]);
      });
      return joined(verdicts);
    },
  };
}
