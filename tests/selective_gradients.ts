/** Gradients of the selective scan held to f64. */

import { assertEquals } from "@std/assert";
import { backward } from "../models/backward.ts";
import { prepare } from "../models/inputs.ts";
import { f64 } from "../models/number.ts";
import type { Case } from "./gradient_truth.ts";

/** By input, and of the "initial state". */
export type Gradients = { readonly [name: string]: ArrayLike<number> };

/** In f64, by reverse mode of the model. */
export function truthOf(given: Case): Gradients {
  const { inputs, initialState } = backward(
    f64,
    prepare(given.model, given.dims, given.inputs),
    given,
    given.initialState,
  );
  return { ...inputs, "initial state": initialState };
}

/** The largest difference as a share of the largest number of its array. */
export function worst(got: Gradients, want: Gradients): { readonly error: number; readonly where: string } {
  let [error, where] = [0, "nowhere"];
  assertEquals(Object.keys(got).sort(), Object.keys(want).sort());
  for (const [name, values] of Object.entries(want)) {
    assertEquals(got[name]!.length, values.length, `length of the gradient of ${name}`);
    const largest = Array.from(values).reduce((x, y) => Math.max(x, Math.abs(y)), 2 ** -60);
    for (let n = 0; n < values.length; n++) {
      const share = Math.abs(got[name]![n]! - values[n]!) / largest;
      if (share <= error) continue;
      [error, where] = [share, `${name}[${n}]: got ${got[name]![n]}, want ${values[n]}`];
    }
  }
  return { error, where };
}

/**
 * Roundings on the way of one term, times u, in states and in λ: a gate at |ΔA| ≤ 1 errs by 15u (rounding.ts), its product
 * and sum by 2u; a hundred for the activations, read-outs and the gradient's own sums. As a share of the largest entry, so
 * it holds where no gradient is a small difference of large terms. (The certified bound is the oracle's.)
 */
export function tolerance(steps: number): number {
  return 2 ** -24 * (2 * 17 * steps + 100);
}
