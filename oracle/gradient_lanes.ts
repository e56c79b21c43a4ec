/**
 * Radii of states and of their cotangents λ, for actions whose lanes are independent.
 *
 * λ obeys an affine recurrence in reverse time with the same gates, `λ_t = local_t + a_{t+1} λ_{t+1}`, so its bound has the
 * form of the states' (bound.ts), with the radius of `local` for that of the input. Where decays are exponentials of sums, those
 * of λ reach to the end of the sums, so the whole sum counts.
 *
 * @module
 */
import type { Ball } from "./ball.ts";
import type { LanePromise } from "./bound.ts";
import { closed, type LaneGate } from "./lane_gate.ts";
import type { Accuracy } from "../models/accuracy.ts";

/** Radii of λ, as a backward pass goes. */
export interface CotangentRadii {
  /** One per lane: of λ as the step before it sees it; `step` is that step, −1 for the initial state's. */
  radii(step: number): Float64Array;
  /** Adds what a read-out gives; `values` is the sum. */
  add(local: readonly Ball[], values: readonly number[], state: number): void;
  /**
   * Goes back over a step: from λ of the state after it, `seen`, to λ of the state before it. `rounded` is that, by balls from
   * exact `seen`.
   */
  pull(step: number, seen: readonly number[], rounded: () => readonly Ball[]): void;
}

/** What tiles add with every token, which no decay within a chunk makes less. */
export interface TokenFloor {
  readonly size: number;
  readonly chunk: number;
}

/** Moduli of lanes from `parts` numbers each. */
export function moduli(values: readonly number[], lanes: number, parts: number): Float64Array {
  return Float64Array.from(
    { length: lanes },
    (_, lane) => Math.hypot(...values.slice(lane * parts, (lane + 1) * parts)),
  );
}

/**
 * λ of the lanes of one sequence, from λ_T of modulus `final`.
 *
 * @param unscale of a state after so many steps and lane: radii are over 2^m of a shared exponent
 * @param reach the largest 2^m: what is flushed of a mantissa's λ is flushed at one m and may be read at another
 */
export function laneCotangents(
  gates: readonly (readonly LaneGate[])[],
  growth: number,
  final: Float64Array,
  parts: number,
  unscale: (state: number, lane: number) => number,
  machine: Accuracy,
  { late: roundings, logSums }: LanePromise,
  floor: TokenFloor | undefined,
  reach: number,
): CotangentRadii {
  const lanes = final.length;
  const late = (1 + machine.unit) ** roundings - 1;
  const error = new Float64Array(lanes);
  const majorant = Float64Array.from(final);
  let pending = 0;
  // Per chunk of sums and lane: what a decay within it may be off by.
  const length = logSums?.chunk ?? Infinity;
  const off: Float64Array[] = [];
  gates.forEach((row, step) => {
    const at = Math.floor(step / length);
    const sums = off[at] ??= new Float64Array(lanes);
    row.forEach(({ a }, lane) => sums[lane]! += closed(a));
  });
  const per = logSums === undefined ? 0 : 2 * (logSums.additions + 2) * machine.unit;
  for (const sums of off) sums.forEach((sum, lane) => sums[lane] = Math.expm1(per * sum));
  const offAt = (step: number): Float64Array | undefined => off[Math.floor(Math.max(step, 0) / length)];
  return {
    radii: (step) =>
      error.map((e, lane) => {
        const x = logSums === undefined ? 0 : offAt(step)?.[lane] ?? 0;
        return e + (late + x + late * x) * majorant[lane]! + pending;
      }),
    add(local, _values, state) {
      const r = moduli(local.map(({ r }) => r), lanes, parts);
      const size = moduli(local.map(({ x }) => x), lanes, parts);
      pending += floor?.size ?? 0;
      for (let lane = 0; lane < lanes; lane++) {
        const scale = unscale(state, lane);
        error[lane]! += r[lane]! * scale;
        majorant[lane]! += (size[lane]! + r[lane]!) * scale;
      }
    },
    pull(step) {
      const chunkStarts = floor !== undefined && step % floor.chunk === 0;
      for (let lane = 0; lane < lanes; lane++) {
        const { a, ra } = gates[step]![lane]!;
        error[lane] = a * error[lane]! + (ra + (growth - 1) * (a + ra)) * majorant[lane]! +
          4 * machine.flush * reach * (1 + majorant[lane]!);
        majorant[lane] = (a + ra) * growth * majorant[lane]!;
        if (chunkStarts) error[lane]! += pending;
        if (logSums === undefined || step % length !== 0) continue;
        const lost = offAt(step)![lane]! * majorant[lane]!;
        error[lane]! += lost;
        majorant[lane]! += lost;
      }
      if (chunkStarts) pending = 0;
    },
  };
}
