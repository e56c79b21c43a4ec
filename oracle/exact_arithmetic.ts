/**
 * Exact numbers under the interface of an `Analytic`: what has no exact value is refused rather than rounded. It tells a
 * text that stays inside exact arithmetic from one that does not, by running it.
 *
 * @module
 */
import { type Aggregator, aggregatorLeaves, aggregatorOperator } from "../models/aggregator.ts";
import type { Analytic } from "../models/arith.ts";
import { type Dyadic, fromNumber, roundedDyadicField } from "./dyadic.ts";

/** Asked for a value that is not exact. */
class Inexact extends Error {
  override readonly name = "Inexact";
}

function refuse(): never {
  throw new Inexact("Cannot compute exactly: division and the exponential functions must not be used");
}

/** Dyadics: `div`, `exp`, `expm1`, `sqrt`, `sigmoid`, `softplus` and `expParts` throw. */
export const exactArithmetic: Analytic<Dyadic> = {
  ...roundedDyadicField(),
  div: refuse,
  exp: refuse,
  expm1: refuse,
  sqrt: refuse,
  sigmoid: refuse,
  softplus: refuse,
  expParts: refuse,
};

/** Whether `agg` uses exact operations only. One call tells: a text over an algebra cannot branch on a value. */
export function staysExact(aggregator: Aggregator, seed: number): boolean {
  const [a, b] = aggregatorLeaves(aggregator, 2, seed).map((leaf) => leaf.map(fromNumber));
  try {
    aggregatorOperator(exactArithmetic, aggregator).combine(a!, b!);
    return true;
  } catch (error) {
    if (error instanceof Inexact) return false;
    throw error;
  }
}
