/**
 * WGSL of what a normaliser and a shared exponent take: divisors, and states as pairs (s, m) of s·2^m. In the texts `id` is the
 * place of the number that is made.
 *
 * @module
 */
import { f32Profile } from "../profile.ts";
import type { Normaliser } from "./family.ts";

/** The divisor of the outputs of token and head `row`, from their last column `z`; m is read from `exponent_of[row]`. */
export function divisor(normaliser: Normaliser, z: string, row: string): string {
  return divisorOf(normaliser, z, least(normaliser, row));
}

/** The same from a number `power`, 2^−m; of no matter where there is no shared exponent. */
export function divisorOf(normaliser: Normaliser, z: string, power: string): string {
  if (normaliser.form === "exponent") return `max(abs(${z}), ${power})`;
  const epsilon = f32Profile.constant(normaliser.epsilon);
  return normaliser.form === "plus" ? `(${z} + ${epsilon})` : `max(${z}, ${epsilon})`;
}

/** What a divisor is at least, or is more than its z. */
function least(normaliser: Normaliser, row: string): string {
  return normaliser.form === "exponent"
    ? `ds_scale2(1.0, -exponent_of[${row}])`
    : f32Profile.constant(normaliser.epsilon);
}

/** The derivative of the divisor by z, as a factor. */
export function slope(normaliser: Normaliser, z: string, row: string): string {
  if (normaliser.form === "plus") return "1.0";
  const floor = least(normaliser, row);
  if (normaliser.form === "max") return `select(0.0, 1.0, ${z} >= ${floor})`;
  return `select(0.0, select(-1.0, 1.0, ${z} >= 0.0), abs(${z}) >= ${floor})`;
}

/** Numbers of `pairs`, `lanes` a batch row and head, at the exponent of `exponent_of` instead of their own. */
export function mantissa(lanes: number): string {
  return `ds_scale2(pairs[2u * id], pairs[2u * id + 1u] - exponent_of[id / ${lanes}u])`;
}

/** Pairs of `raw_of` and `exponent_of`. */
export function pairOf(lanes: number): string {
  return `select(exponent_of[id / ${2 * lanes}u], raw_of[id / 2u], id % 2u == 0u)`;
}

/** Cotangents of mantissas, from `pairs` (λ, m) of states s·2^m: λ 2^(exponent_of − m). */
export function mantissaCotangent(lanes: number): string {
  return `ds_scale2(pairs[2u * id], exponent_of[id / ${lanes}u] - pairs[2u * id + 1u])`;
}

/** And back: pairs with the exponents of `pairs`, from cotangents `raw_of` of mantissas at `exponent_of`. */
export function pairCotangent(lanes: number): string {
  const own = "pairs[id / 2u * 2u + 1u]";
  return `select(${own}, ds_scale2(raw_of[id / 2u], ${own} - exponent_of[id / ${2 * lanes}u]), id % 2u == 0u)`;
}
