/**
 * Derived error bounds of gradients computed by reverse mode (models/gradient.ts): of every input and the initial state.
 *
 * States and their cotangents λ have radii (gradient_passes.ts). The gradient of an entry is then one
 * expression in inputs, states and λ, evaluated over balls with those radii; what it sums over time and batch may be summed
 * in any order (γ_n Σ|terms|). Where a kernel gets the gradient of a log gate by telescoping, that sum's radius is added
 * (telescoped.ts).
 *
 * The generic kernel's backward pass is chunked: per chunk a fold, a carry, an application — a term is added as the later
 * operand at most twice.
 *
 * @module
 */
import type { Accuracy } from "../models/accuracy.ts";
import type { GradientOptions } from "../models/execution.ts";
import type { Scope } from "../models/evaluate.ts";
import { outputCotangent, type TracedGradient } from "../models/gradient.ts";
import { type Batch, inputEntries, microSteps } from "../models/inputs.ts";
import { f64 } from "../models/number.ts";
import { fieldShape, type FieldValues } from "../models/token.ts";
import { type Ball, ball, ballAlgebra, gamma } from "./ball.ts";
import { gradientPasses, type GradientPromise } from "./gradient_passes.ts";
import { gradientRun } from "./gradient_run.ts";
import { telescope } from "./telescoped.ts";
import { readAlgebra } from "./tile_floor.ts";

/** The generic kernel's. */
const generic: GradientPromise = { late: 2 };

/** Value and radius of every gradient of one sequence. */
export interface GradientBound {
  /** By input: a ball for every number of its array (B = H = 1). */
  readonly inputs: { readonly [name: string]: readonly Ball[] };
  /** `[rows, columns, width]`; of a scaled state the exponents are exact. */
  readonly initial: readonly Ball[];
}

/** Bounds the gradient of a batch of one sequence. */
export function gradientBound(
  gradient: TracedGradient,
  batch: Batch,
  initialState: ArrayLike<number>,
  cotangents: GradientOptions,
  machine: Accuracy,
  promise: GradientPromise = generic,
): GradientBound {
  const { model, sizes, width, loads, cotangents: parts } = gradient;
  const balls = ballAlgebra(machine);
  const run = gradientRun(gradient, batch, initialState, cotangents);
  const { expressions: { at: scope, perLane, entries, cotangents: loadsOf }, states, early, exponent } = run;
  const passes = gradientPasses(run, machine, promise);
  const scaled = model.action === "scaled";
  const stateBalls = (s: number): Ball[] =>
    states[s]!.map((x, n) => {
      const lane = Math.floor(n / width);
      if (scaled && n % 2 === 1) return ball(x);
      return ball(x, passes.states[s]![lane]! * 2 ** -exponent(s, lane));
    });
  // The bonus of a model that reads before its update is one more term of the kernel's sums: it meets the late roundings too.
  const reading = readAlgebra(balls, machine.unit, early === 0 ? (1 + machine.unit) ** promise.late - 1 : 0, 0);
  const readAt = (s: number): { local: Ball[]; at: Scope<Ball> } | undefined => {
    const output = run.outputs[s];
    if (output === undefined) return undefined;
    const at = scope(reading, s, stateBalls(s + early), { [outputCotangent]: output.map((x) => ball(x)) });
    return { local: perLane(at, gradient.local), at };
  };
  let values: readonly number[] = run.final;
  /** λ of state s, as the step before sees it. */
  const lambdaBalls = (s: number): Ball[] => {
    const radii = passes.cotangents.radii(s - 1);
    return values.map((x, n) => {
      const lane = Math.floor(n / parts);
      return ball(x, radii[lane]! * 2 ** exponent(s, lane));
    });
  };
  const sum = promise.telescoped &&
    telescope(batch, promise.telescoped, machine.unit, passes.floors?.summand ?? 0);
  const addLocal = (local: readonly Ball[], s: number): void => {
    sum?.read(local, stateBalls(s));
    values = s === 0 ? run.initial : run.seen[s - 1]!;
    passes.cotangents.add(local, values, s);
  };
  const collected: FieldValues<readonly Ball[]>[] = [];
  for (let s = batch.steps - 1; s >= 0; s--) {
    const read = readAt(s);
    sum?.enter(s, stateBalls(s + 1), lambdaBalls(s + 1));
    if (early === 1 && read !== undefined) addLocal(read.local, s + 1);
    const lambda = lambdaBalls(s + 1);
    const here = scope(balls, s, stateBalls(s), loadsOf((x) => ball(x), lambda, states[s + 1]!));
    // Only the size of what is added to the state enters.
    const telescoped = sum?.leave(s, passes.gates![s]!.map(({ b, rb }) => ball(b, rb)), lambda);
    collected.push(Object.fromEntries(
      Object.keys(loads).map((name) => {
        const { update, read: through } = gradient.inputs[name]!;
        const terms = entries(name, [[here, update], ...(read === undefined ? [] : [[read.at, through] as const])]);
        const more = [telescoped?.[name], passes.floors?.input(name, s)].filter((radii) => radii !== undefined);
        return [name, terms.map((balls, n) => [...balls, ...more.map((radii) => ball(0, radii[n]!))])];
      }),
    ) as unknown as FieldValues<readonly Ball[]>);
    const pulled = perLane(scope(f64, s, states[s]!, loadsOf((x) => x, values, states[s + 1]!)), gradient.pull);
    passes.cotangents.pull(s, values, () => {
      const exact = loadsOf((x) => ball(x), values.map((x) => ball(x)), states[s + 1]!);
      return perLane(scope(balls, s, states[s]!.map((x) => ball(x)), exact), gradient.pull);
    });
    values = pulled;
    if (early === 0 && read !== undefined) addLocal(read.local, s);
  }
  collected.reverse();

  const inputs: { [name: string]: Ball[] } = {};
  const n = microSteps(model);
  for (const [name, spec] of inputEntries(model)) {
    const micro = spec.micro === undefined || spec.micro === "every" ? undefined : spec.micro === "first" ? 0 : n - 1;
    const terms = spec.per === "parameter"
      ? collected[0]?.[name]?.map((_, entry) => collected.flatMap((token) => token[name]![entry]!)) ??
        Array.from({ length: fieldShape(loads[name]!, sizes).reduce((x, y) => x * y, 1) }, (): Ball[] => [])
      : collected.filter((_, s) => micro === undefined || s % n === micro).flatMap((token) => token[name]!);
    inputs[name] = terms.map((summands) => summed(summands, machine.unit));
  }
  const lambda = lambdaBalls(0);
  const initial = parts === width || !scaled
    ? lambda
    : lambda.flatMap((x, lane) => [x, ball(initialState[lane * width + 1]!)]);
  return { inputs, initial };
}

/** A sum of terms in any order. */
function summed(terms: readonly Ball[], unit: number): Ball {
  const r = terms.reduce((sum, term) => sum + term.r, 0);
  const size = terms.reduce((sum, term) => sum + Math.abs(term.x), 0);
  return ball(
    terms.reduce((sum, term) => sum + term.x, 0),
    r + (terms.length < 2 ? 0 : gamma(terms.length - 1, unit) * (size + r)),
  );
}
