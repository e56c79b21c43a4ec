/**
 * The judge of a matrix action whose execution keeps states at chunk starts only: every chunk on its own, from the state
 * that the execution started it with (chunk_defect.ts).
 *
 * @module
 */
import { outputColumns, stateColumns, stateRows } from "../models/affine.ts";
import { tokensOf } from "../models/execution.ts";
import { microSteps } from "../models/inputs.ts";
import { f64 } from "../models/number.ts";
import { readOut } from "../models/run.ts";
import { ball, ballAlgebra } from "./ball.ts";
import { type ChunkPromise, chunkWalk, placeOf } from "./chunk_defect.ts";
import { chunkSteps, largest } from "./chunk_step.ts";
import { identical, joined, type Judge, type Verdict, withinRadius } from "./compare.ts";
import type { Reference } from "./reference.ts";
import { stepLanes } from "./run.ts";

/** The judge of an execution of chunks, against a reference (of which only inputs and initial state are used). */
export function chunkJudge(reference: Reference, promise: ChunkPromise): Judge {
  const { batch, sequences } = reference;
  const { model, dims } = batch;
  const { sizes } = dims;
  const K = stateRows(model, sizes);
  const lanes = K * stateColumns(model, sizes);
  const columns = outputColumns(model, sizes);
  const n = microSteps(model);
  const early = model.reads === "pre" ? 0 : 1;
  const A = ballAlgebra(promise.machine);
  const prepared = sequences.map((_, sequence) => {
    const [b, h] = [Math.floor(sequence / dims.H), sequence % dims.H];
    return {
      b,
      h,
      exact: tokensOf(f64, batch, b, h),
      balls: tokensOf(A, batch, b, h),
      chunks: chunkSteps(batch, b, h, promise.machine),
    };
  });

  /** Outputs and end of the chunk of steps `from … to − 1` of one sequence: what they should be, and the radii. */
  function chunkOf(sequence: typeof prepared[number], from: number, to: number, start: ArrayLike<number>): {
    readonly outputs: readonly (readonly [want: number[], allowed: number[]])[];
    readonly end: readonly [want: ArrayLike<number>, allowed: Float64Array];
  } {
    const { exact, balls, chunks } = sequence;
    const peak = chunks.peak(from, to);
    const walk = chunkWalk(start, new Float64Array(lanes / K), peak, K, promise);
    const outputs: [number[], number[]][] = [];
    const updates: Float64Array[] = [];
    let state = Array.from(start, (x) => [x]);
    let entries: Float64Array = new Float64Array(lanes);
    for (let s = from; s < to; s++) {
      const step = chunks.steps[s]!;
      const before = { state, entries };
      state = stepLanes(f64, model, sizes, exact[s]!, state).map(([x]) => [x!]);
      updates.push(walk.advance(step, before.state.map(([x]) => x!), placeOf(s - from, promise)));
      entries = walk.entries();
      if (s % n !== n - 1) continue;
      const seen = early === 0 ? before : { state, entries };
      const read = readOut(A, model, sizes, seen.state.map(([x], lane) => [ball(x!, seen.entries[lane]!)]), balls[s]!);
      const drift = drifted(step.q, sequence, updates, from, s - from + early, columns);
      outputs.push([readOut(f64, model, sizes, seen.state, exact[s]!), read.map(({ r }, v) => r + drift[v]!)]);
    }
    // Tiles hold the whole chunk, so their largest entries are known at its end.
    outputs.forEach(([, allowed], i) => {
      const q = promise.tiles?.rows === true
        ? largest(chunks.steps[(Math.floor(from / n) + i + 1) * n - 1]!.q)
        : peak.q;
      allowed.forEach((r, v) => allowed[v] = r + walk.floor(q));
    });
    const allowed = entries.map((r) => r + walk.floor(1));
    for (let k = 0; k < K; k++) {
      const unit = Float64Array.from({ length: K }, (_, i) => i === k ? 1 : 0);
      const V = lanes / K;
      drifted(unit, sequence, updates, from, to - from, V).forEach((r, v) => allowed[k * V + v]! += r);
    }
    return { outputs, end: [state.map(([x]) => x!), allowed] };
  }

  /** `Σ_{i<seen} |qᵀ M_{seen,i}| |Δ_i|` by column. */
  function drifted(
    q: Float64Array,
    { chunks: { steps } }: typeof prepared[number],
    updates: readonly Float64Array[],
    from: number,
    seen: number,
    columns: number,
  ): Float64Array {
    const V = lanes / K;
    const out = new Float64Array(columns);
    let row = q;
    for (let i = seen - 1; i >= 0; i--) {
      const update = updates[i]!;
      for (let k = 0; k < K; k++) {
        const weight = Math.abs(row[k]!);
        if (weight === 0) continue;
        for (let v = 0; v < columns; v++) out[v]! += weight * update[k * V + v]!;
      }
      const { E } = steps[from + i]!;
      const moved = new Float64Array(K);
      for (let k = 0; k < K; k++) {
        const weight = row[k]!;
        if (weight === 0) continue;
        for (let j = 0; j < K; j++) moved[j]! += weight * E[k * K + j]!;
      }
      row = moved;
    }
    return out;
  }

  return {
    judge(result, T, starts = [0]) {
      const steps = T * n;
      // A run that was stopped and gone on with has chunks from every start.
      const runs = starts.map((start) => start * n);
      const chunks = runs.flatMap((run, i) => {
        const end = runs[i + 1] ?? steps;
        const count = Math.ceil((end - run) / promise.chunk.steps);
        return Array.from({ length: count }, (_, c): readonly [number, number] => {
          const from = run + c * promise.chunk.steps;
          return [from, Math.min(from + promise.chunk.steps, end)];
        });
      });
      const { chunkStates } = result;
      if (chunkStates === undefined || chunkStates.length !== dims.B * chunks.length * dims.H * lanes) {
        throw new TypeError(
          `Cannot judge ${model.name} by chunks: states at ${chunks.length} chunk starts must be returned, got ${
            chunkStates === undefined ? "none" : chunkStates.length / (dims.B * dims.H * lanes)
          }`,
        );
      }
      return joined(prepared.flatMap((sequence, index): Verdict[] => {
        const { b, h } = sequence;
        const initial = Float64Array.from(sequences[index]!.initial, ([s]) => s!);
        const startOf = (c: number): ArrayLike<number> => {
          const at = ((b * chunks.length + c) * dims.H + h) * lanes;
          return chunkStates.subarray(at, at + lanes);
        };
        const final = result.finalState.subarray((b * dims.H + h) * lanes, (b * dims.H + h + 1) * lanes);
        if (chunks.length === 0) return [identical(final, initial)];
        const verdicts = [identical(startOf(0), initial)];
        const [got, want, allowed]: [number[], number[], number[]] = [[], [], []];
        let t = 0;
        chunks.forEach(([from, to], c) => {
          const { outputs, end } = chunkOf(sequence, from, to, startOf(c));
          for (const [values, radii] of outputs) {
            const at = ((b * T + t++) * dims.H + h) * columns;
            got.push(...result.outputs.subarray(at, at + columns));
            want.push(...values);
            allowed.push(...radii);
          }
          verdicts.push(withinRadius(c + 1 < chunks.length ? startOf(c + 1) : final, ...end));
        });
        return [withinRadius(got, want, allowed), ...verdicts];
      }));
    },
  };
}
