/** The truth a gradient is held to: the derivative of a loss over `gates`, `step` and `read`, by other means. */

import { assertEquals } from "@std/assert";
import type { Analytic } from "../models/arith.ts";
import { backward } from "../models/backward.ts";
import { type AnyAffineModel, outputColumns, type Sizes } from "../models/affine.ts";
import {
  type Dims,
  inputEntries,
  inputWidth,
  microSteps,
  prepare,
  sampleInputs,
  stateLength,
  stateWidth,
} from "../models/inputs.ts";
import type { InputClass } from "../models/domain.ts";
import { f64 } from "../models/number.ts";
import { readOut, readState } from "../models/run.ts";
import { seeded } from "../models/random.ts";
import { activate, type FieldValues } from "../models/token.ts";
import { stepState, stepStates } from "../oracle/run.ts";

/** Everything a loss depends on, and its coefficients. */
export interface Case {
  readonly model: AnyAffineModel;
  readonly dims: Dims;
  readonly inputs: { readonly [name: string]: Float32Array };
  readonly initialState: Float32Array;
  readonly outputs: Float32Array;
  readonly finalState: Float32Array;
}

/** Sizes at which every axis differs. */
const smallSizes: Sizes = { K: 3, V: 2, D: 2, N: 3 };

/** A seeded case. */
export function gradientCase(
  model: AnyAffineModel,
  T: number,
  { kind = "random", B = 2, sizes = smallSizes }: { kind?: InputClass; B?: number; sizes?: Sizes } = {},
): Case {
  const dims: Dims = { B, T, H: model.heads ? 2 : 1, sizes };
  const random = seeded("gradient", model.name, T);
  const numbers = (length: number): Float32Array => Float32Array.from({ length }, () => 2 * random() - 1);
  const sequence = stateLength(model, { ...dims, B: 1, H: 1 });
  // Exponents are whole numbers, and all lanes of a state share theirs.
  const state = (): Float32Array => {
    const values = numbers(stateLength(model, dims));
    return model.action === "scaled"
      ? values.map((x, n) => n % 2 === 0 ? x : Math.floor(n / sequence) % 3 + 1)
      : values;
  };
  return {
    model,
    dims,
    inputs: sampleInputs(model, dims, kind, 7),
    initialState: state(),
    outputs: numbers(B * T * dims.H * outputColumns(model, sizes)),
    finalState: state(),
  };
}

/** The arguments of a loss, in the shapes the caller gives them in. */
export interface Arguments<N> {
  readonly inputs: { readonly [name: string]: readonly N[] };
  readonly initialState: readonly N[];
}

/** A case's own arguments, clamped as the contract says, in an algebra. */
export function argumentsOf<N>(of: (x: number) => N, { model, inputs, initialState }: Case): Arguments<N> {
  return {
    inputs: Object.fromEntries(
      inputEntries(model).map(([name, { domain }]) => [
        name,
        Array.from(inputs[name]!, (x) => of(domain.clamp?.(x) ?? x)),
      ]),
    ),
    initialState: Array.from(initialState, of),
  };
}

/** Σ dO·o + Σ dS·S_T by the definition: `gates`, `step`, `read`. */
export function loss<N>(A: Analytic<N>, given: Case, { inputs, initialState }: Arguments<N>): N {
  const { model, dims, outputs, finalState } = given;
  const { B, T, H, sizes } = dims;
  const n = microSteps(model);
  const width = stateWidth(model);
  const sequence = stateLength(model, { ...dims, B: 1, H: 1 });
  const columns = outputColumns(model, sizes);
  let total = A.of(0);
  const weigh = (weight: number, x: N): void => {
    total = A.add(total, A.mul(A.of(weight), x));
  };
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < H; h++) {
      const raw = (t: number, micro: number): FieldValues<N> =>
        Object.fromEntries(
          inputEntries(model).map(([name, spec]) => {
            const size = inputWidth(spec, sizes);
            const every = (spec.micro ?? "every") === "every";
            const given = every || micro === (spec.micro === "first" ? 0 : n - 1);
            const token = every ? (b * T + t) * n + micro : b * T + t;
            const row = spec.per === "parameter" ? h : token * H + h;
            return [
              name,
              Array.from(
                { length: size },
                (_, m) => given || spec.per === "parameter" ? inputs[name]![row * size + m]! : A.of(0),
              ),
            ];
          }),
        );
      const tokens = Array.from(
        { length: T * n },
        (_, s) => activate(A, model, sizes, raw(Math.floor(s / n), s % n)),
      );
      const start = (b * H + h) * sequence;
      const initial = Array.from(
        { length: sequence / width },
        (_, lane) => initialState.slice(start + lane * width, start + (lane + 1) * width),
      );
      const states = stepStates(A, model, sizes, tokens, initial);
      for (let t = 0; t < T; t++) {
        const s = (t + 1) * n - 1;
        readOut(A, model, sizes, readState(model, states, initial, s), tokens[s]!).forEach((x, v) =>
          weigh(outputs[((b * T + t) * H + h) * columns + v]!, x)
        );
      }
      const last = (stepState(A, model, sizes, states.at(-1) ?? initial) as unknown[][]).flat();
      last.forEach((entry, lane) => {
        const at = start + lane * width;
        if (model.action === "complex") {
          const { re, im } = entry as { re: N; im: N };
          weigh(finalState[at]!, re);
          weigh(finalState[at + 1]!, im);
        } else {
          // The derivative is by s where S = s·2^m, so the loss is λ·s = λ·2^−m S.
          weigh(finalState[at]! * (model.action === "scaled" ? 2 ** -finalState[at + 1]! : 1), entry as N);
        }
      });
    }
  }
  return total;
}

/** Calls back for every argument that a gradient is taken of. */
export function eachArgument(
  { model, inputs, initialState }: Case,
  visit: (name: string, index: number) => void,
): void {
  for (const [name, values] of Object.entries(inputs)) values.forEach((_, n) => visit(name, n));
  initialState.forEach((_, n) => {
    if (model.action !== "scaled" || n % 2 === 0) visit("initial state", n);
  });
}

/** By array: what was computed in f64. */
export function truth(given: Case): Map<string, readonly number[]> {
  const { model, dims, inputs, initialState } = given;
  const { inputs: gradients, initialState: initial } = backward(f64, prepare(model, dims, inputs), given, initialState);
  return new Map([...Object.entries(gradients), ["initial state", initial]]);
}

/** The largest difference as a share of the largest number of its array. */
export function worst(
  got: Map<string, ArrayLike<number>>,
  want: Map<string, readonly number[]>,
): { error: number; where: string } {
  let [error, where] = [0, "nowhere"];
  assertEquals([...got.keys()].sort(), [...want.keys()].sort());
  for (const [name, values] of want) {
    const found = got.get(name)!;
    assertEquals(found.length, values.length, `length of the gradient of ${name}`);
    const largest = values.reduce((x, y) => Math.max(x, Math.abs(y)), 2 ** -60);
    values.forEach((x, n) => {
      const share = Math.abs(found[n]! - x) / largest;
      if (share <= error) return;
      [error, where] = [share, `${name}[${n}]: got ${found[n]}, want ${x}`];
    });
  }
  return { error, where };
}

/**
 * Roundings on the way of one term, times u: through the forward states and back through λ two for every step's gate (a
 * product and a sum, in any grouping), some 16 for each gate's own functions, 64 for a read-out and a gradient's
 * own sums. Relative to the largest entry, so it holds where no gradient is a small difference of large terms:
 * inputs of the harness are. (The certified bound is the oracle's.)
 */
export function tolerance(steps: number): number {
  return 2 ** -24 * (2 * 2 * steps + 16 * 16 + 64);
}
