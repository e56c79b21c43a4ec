/**
 * The radii of states and cotangents in an execution's backward pass, by what it promises.
 *
 * @module
 */
import type { Accuracy } from "../models/accuracy.ts";
import { stateColumns, stateRows } from "../models/affine.ts";
import { tokensOf } from "../models/execution.ts";
import { f64 } from "../models/number.ts";
import type { GradientRounding } from "../models/rounding.ts";
import { type Ball, ball, ballAlgebra } from "./ball.ts";
import { boundSequence } from "./bound.ts";
import type { ChunkPromise } from "./chunk_defect.ts";
import { chunkSteps } from "./chunk_step.ts";
import { matrixSteps } from "./defect.ts";
import { type GradientFloors, gradientFloors } from "./gradient_floor.ts";
import { type CotangentRadii, laneCotangents, moduli } from "./gradient_lanes.ts";
import {
  chunkedCotangents,
  chunkedStates,
  type MatrixExtent,
  serialCotangents,
  serialStates,
} from "./gradient_matrix.ts";
import type { GradientRun } from "./gradient_run.ts";
import { growthOf, type LaneGate, laneGates } from "./lane_gate.ts";

/** What an execution's backward pass promises; its accuracy is given apart. */
export type GradientPromise = Omit<GradientRounding, "accuracy">;

/** The radii of one backward pass. */
export interface GradientPasses {
  /** Of S_0 … S_T, one per lane: of values (a scaled lane's is over 2^m). */
  readonly states: readonly ArrayLike<number>[];
  readonly cotangents: CotangentRadii;
  /** Where lanes are independent. */
  readonly gates?: readonly (readonly LaneGate[])[];
  /** Where the pass promises tiles. */
  readonly floors: GradientFloors | undefined;
}

/** Prepares the radii of a run. */
export function gradientPasses(run: GradientRun, machine: Accuracy, promise: GradientPromise): GradientPasses {
  return run.batch.model.action === "matrix" ? matrixPasses(run, machine, promise) : lanePasses(run, machine, promise);
}

const largest = (values: readonly (readonly number[])[]): number =>
  values.reduce((most, row) => row.reduce((x, y) => Math.max(x, Math.abs(y)), most), 0);

function lanePasses(run: GradientRun, machine: Accuracy, promise: GradientPromise): GradientPasses {
  const { gradient, batch, states, exponent } = run;
  const { model, sizes, width, cotangents: parts } = gradient;
  const { lanes } = run.expressions;
  const plain = (s: number): number[][] =>
    Array.from({ length: lanes }, (_, lane) => {
      const entry = states[s]!.slice(lane * width, (lane + 1) * width);
      return model.action === "scaled" ? [f64.scale2(entry[0]!, entry[1]!), 0] : entry;
    });
  const tokens = tokensOf(ballAlgebra(machine), batch, 0, 0);
  const gates = laneGates(model, sizes, tokens, machine);
  const bound = boundSequence(model, sizes, tokens, (s) => plain(s + 1), plain(0), machine, promise);
  const unscale = (state: number, lane: number): number => 2 ** -exponent(state, lane);
  const final = moduli(run.final, lanes, parts).map((x, lane) => x * unscale(batch.steps, lane));
  const floors = promise.tiles &&
    gradientFloors(run, { state: bound.largest, cotangent: largestCotangent(run, gates) }, promise.tiles);
  return {
    states: [new Float64Array(lanes), ...bound.states],
    cotangents: laneCotangents(
      gates,
      growthOf(model, machine.unit),
      final,
      parts,
      unscale,
      machine,
      promise,
      floors && { size: floors.cotangent, chunk: promise.tiles!.chunk },
      model.action === "scaled" ? 2 ** largest(states.map((state) => state.filter((_, n) => n % 2 === 1))) : 1,
    ),
    gates,
    floors,
  };
}

/** The largest |λ| of any lane without cancellation. */
function largestCotangent(
  { gradient: { cotangents: parts }, final, locals, early }: GradientRun,
  gates: readonly (readonly LaneGate[])[],
): number {
  let lambda = final.map(Math.abs);
  let most = largest([lambda]);
  const add = (local: readonly number[] | undefined): void => {
    if (local !== undefined) lambda = lambda.map((x, n) => x + Math.abs(local[n]!));
    most = Math.max(most, largest([lambda]));
  };
  for (let s = gates.length - 1; s >= 0; s--) {
    if (early === 1) add(locals[s]);
    lambda = lambda.map((x, n) => gates[s]![Math.floor(n / parts)]!.a * x);
    if (early === 0) add(locals[s]);
  }
  return most;
}

function matrixPasses(run: GradientRun, machine: Accuracy, promise: GradientPromise): GradientPasses {
  const { gradient, batch, states, locals, final, expressions: { at, perLane } } = run;
  const { model, dims: { sizes } } = batch;
  const extent = (norms: readonly number[]): MatrixExtent => ({
    rows: stateRows(model, sizes),
    columns: stateColumns(model, sizes),
    norms,
  });
  const { chunk, logSums, tiles } = promise;
  const balls = ballAlgebra(machine);
  const floors = tiles &&
    gradientFloors(run, { state: largest(states), cotangent: largest([final, ...run.seen]) }, tiles);
  if (chunk === undefined) {
    const serial = extent(matrixSteps(model, sizes, tokensOf(balls, batch, 0, 0), machine).map(({ norm }) => norm));
    const rounded = (s: number): Ball[] => perLane(at(balls, s, states[s]!.map((x) => ball(x)), {}), gradient.next);
    return { states: serialStates(serial, rounded, machine), cotangents: serialCotangents(serial, machine), floors };
  }
  const chunked: ChunkPromise = { machine, chunk, logSums, tiles };
  const given = chunkSteps(batch, 0, 0, machine);
  const all = extent(given.steps.map(({ norm }) => norm));
  const most = largest(locals.filter((local) => local !== undefined));
  return {
    states: chunkedStates(all, given, states, chunked),
    cotangents: chunkedCotangents(all, given, final, most, chunked),
    floors,
  };
}
