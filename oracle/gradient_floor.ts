/**
 * What products of tiles add to gradients (`Tiles` in models/rounding.ts): absolute errors, as shares of peaks (peak.ts).
 *
 * A gradient is a sum of monomials of at most four operands (inputs, states, cotangents). Each is off by φ of its peak wherever
 * it is an operand, at most twice; so are the products and sums on the way that are operands again (scores, updates), at most
 * as many: 16 φ of the monomial's peak. States of a chunk are sums over its C tokens: their peak is
 * `max|S| + C (b* + n* max|S|)`, with b* the peak of what a token adds and n* that of what a matrix action's keys take; λ's is alike.
 *
 * @module
 */
import type { Scope } from "../models/evaluate.ts";
import { outputCotangent } from "../models/gradient.ts";
import { f64 } from "../models/number.ts";
import type { Tiles } from "../models/rounding.ts";
import { rawValues } from "../models/token.ts";
import type { GradientRun } from "./gradient_run.ts";
import { type Peaked, peaked, peaks } from "./peak.ts";

/** Of a monomial's peak. */
const SHARE = 16;

/** Absolute errors of a sequence's gradients. */
export interface GradientFloors {
  /** Of λ, by each token. */
  readonly cotangent: number;
  /** Of a lane's summand in a telescoped sum. */
  readonly summand: number;
  /** Of the gradients of one raw input at a step, entry by entry. */
  input(name: string, step: number): number[];
}

/** Prepares the floors of a run whose states and cotangents are at most `most`, cancellation aside. */
export function gradientFloors(
  { gradient, batch, expressions: { at, perLane, entries, cotangents }, states, outputs, seen, early }: GradientRun,
  most: { readonly state: number; readonly cotangent: number },
  { floor, chunk }: Tiles,
): GradientFloors {
  const all = Array.from({ length: batch.steps }, (_, s) => rawValues(f64, batch, 0, s, 0));
  const inputs = Object.fromEntries(
    Object.keys(gradient.loads).map((name) => [name, largest(all.flatMap((raw) => raw[name]!))]),
  );
  const output = largest(outputs.flatMap((row) => row ?? []));
  const seeds = (s: number): { [name: string]: readonly Peaked[] } =>
    Object.fromEntries(
      Object.entries(all[s]!).map(([name, values]) => [name, values.map((x) => peaked(x, inputs[name]))]),
    );
  const peakOf = (values: readonly Peaked[]): number => values.reduce((x, { p }) => Math.max(x, p), 0);
  const overSteps = (peak: (s: number) => number): number => all.reduce((x, _, s) => Math.max(x, peak(s)), 0);
  const next = (s: number, p: number): number =>
    peakOf(perLane(at(peaks, s, states[s]!.map(() => ({ x: 0, p })), seeds(s)), gradient.next));
  const added = overSteps((s) => next(s, 0));
  const taken = batch.model.action === "matrix" ? overSteps((s) => next(s, 1)) : 0;
  // A tile holds the tokens that there are.
  const tokens = Math.min(chunk, batch.steps);
  const S = most.state + tokens * (added + taken * most.state);
  const reading = (s: number): Scope<Peaked> =>
    at(peaks, s, states[s + early]!.map((x) => peaked(x, S)), {
      ...seeds(s),
      [outputCotangent]: outputs[s]!.map((x) => peaked(x, output)),
    });
  const local = overSteps((s) => outputs[s] === undefined ? 0 : peakOf(perLane(reading(s), gradient.local)));
  const L = most.cotangent + tokens * (local + taken * most.cotangent);
  const share = SHARE * floor;
  return {
    cotangent: share * local,
    summand: share * (S * (L + local) + L * added),
    input(name, s) {
      const { update, read } = gradient.inputs[name]!;
      const here = at(peaks, s, states[s]!.map((x) => peaked(x, S)), {
        ...seeds(s),
        ...cotangents((x) => peaked(x), seen[s]!.map((x) => peaked(x, L)), states[s + 1]!),
      });
      const terms = entries(name, [[here, update], ...(outputs[s] === undefined ? [] : [[reading(s), read] as const])]);
      return terms.map((values) => share * values.reduce((sum, { p }) => sum + p, 0));
    },
  };
}

function largest(values: readonly number[]): number {
  return values.reduce((x, y) => Math.max(x, Math.abs(y)), 0);
}
