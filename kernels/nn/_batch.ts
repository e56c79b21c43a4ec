/** A batch of tokens, checked before a device sees it. */
import { InputError } from "../../models/error.ts";
import type { TokenBatch } from "../../models/networks/training.ts";

/** Throws an {@link InputError} unless extents are positive, arrays are B·n long, ids below the vocabulary and weights ≥ 0. */
export function checkBatch({ B, n, tokens, targets, weights }: TokenBatch, vocabulary: number): void {
  for (const [name, extent] of [["B", B], ["n", n]] as const) {
    if (!(Number.isSafeInteger(extent) && extent >= 1)) {
      throw new InputError(`Cannot take a batch: ${name} must be an integer ≥ 1, got ${extent}`);
    }
  }
  for (const [name, { length }] of [["tokens", tokens], ["targets", targets], ["weights", weights]] as const) {
    if (length !== B * n) throw new InputError(`Cannot take a batch: ${name} must be ${B}·${n} numbers, got ${length}`);
  }
  tokens.forEach((id, i) => checkId("tokens", id, i, vocabulary));
  weights.forEach((weight, i) => {
    if (!(weight >= 0 && weight < Infinity)) {
      throw new InputError(`Cannot take a batch: weights must be finite and ≥ 0, got ${weight} at ${i}`);
    }
    // What a weight of 0 leaves out may be anything.
    if (weight > 0) checkId("targets", targets[i]!, i, vocabulary);
  });
}

function checkId(name: string, id: number, at: number, vocabulary: number): void {
  if (id >= 0 && id < vocabulary) return;
  throw new InputError(`Cannot take a batch: ${name} must be ids below ${vocabulary}, got ${id} at ${at}`);
}
