/**
 * The backward pass of a model in any algebra, on the CPU: the definition of what the GPU computes.
 *
 * Forward states are those of `lift` and the model's action, one token after the other; then λ runs backwards (see
 * gradient.ts) and every raw input collects its gradient. It uses only an Analytic, so the same program gives
 * f64 gradients, certified ones, and running error bounds of them.
 *
 * Gradients are taken with respect to the checked inputs: one that the contract clamps (a log gate of −∞, taken as
 * −104) has the gradient at the clamped value.
 *
 * @module
 */
import type { Analytic, Index, SymbolicIndex } from "./arith.ts";
import { type AnyAffineModel, outputColumns, stateColumns, stateRows } from "./affine.ts";
import { InputError } from "./error.ts";
import { evaluator, type Scope } from "./evaluate.ts";
import {
  outputCotangent,
  p,
  q,
  stateCotangents,
  stateExponent,
  type TracedGradient,
  traceGradient,
} from "./gradient.ts";
import { type Batch, type Dims, inputEntries, inputWidth, microSteps, stateLength, stateWidth } from "./inputs.ts";
import type { Expr } from "./symbolic.ts";
import { fieldShape, type FieldValues, rawValues } from "./token.ts";
import { k, v } from "./traced.ts";

/** What the loss's derivatives are at the results of a run. */
export interface Cotangents {
  /** `[B, T, H, columns]`, as the outputs. */
  readonly outputs: ArrayLike<number>;
  /**
   * `[B, H, rows, columns, width]`, as the final state; zero where not given. For a state with a shared exponent an entry
   * is a pair `(λ, m)`: λ is the derivative with respect to s where the state is written s·2^m, whichever exponent
   * the run itself ended with. m must be a whole number.
   */
  readonly finalState?: ArrayLike<number>;
}

/** Gradients with respect to everything a run was given. */
export interface Gradients<N> {
  /** By name, each in the shape the caller gives that input in; parameters are summed over B and T. */
  readonly inputs: { readonly [name: string]: N[] };
  /**
   * `[B, H, rows, columns, width]`. For a state with a shared exponent a pair `(λ, m)` with the exponent m the initial
   * state was given with: the form {@link Cotangents.finalState} takes.
   */
  readonly initialState: N[];
}

/** Gradients of one sequence (a batch row and head). */
export interface SequenceGradients<N> {
  /** By step, then by name. */
  readonly tokens: readonly FieldValues<N>[];
  /** λ_0: `[rows, columns, cotangents]`, flat. */
  readonly initial: readonly N[];
}

/**
 * The stages of the backward pass of one sequence. `backwardSequence` runs them in order; an error bound may put
 * states or cotangents of its own between them. States are flat `[rows, columns, width]`, their cotangents
 * `[rows, columns, cotangents]`; of T steps there are T + 1 of each.
 */
export interface SequenceStages<N> {
  /** S_0 … S_T, one step after the other. */
  states(initial: readonly N[]): (readonly N[])[];
  /** What the read-outs give to the cotangent of each state; `outputs[step]` is undefined where nothing is read. */
  locals(states: readonly (readonly N[])[], outputs: readonly (readonly N[] | undefined)[]): (readonly N[])[];
  /** The factor of λ at each step, per lane (`TracedGradient.factor`); for a lane action only. */
  factors(states: readonly (readonly N[])[]): (readonly N[])[];
  /** λ_0 … λ_T from what each state is given directly: λ_t = locals_t + pull(λ_{t+1}). */
  cotangents(states: readonly (readonly N[])[], locals: readonly (readonly N[])[]): (readonly N[])[];
  /** The gradients of the raw inputs, by step. */
  inputs(
    states: readonly (readonly N[])[],
    cotangents: readonly (readonly N[])[],
    outputs: readonly (readonly N[] | undefined)[],
  ): FieldValues<N>[];
}

/** The stages for one sequence; `tokens` are its raw inputs by step. */
export function sequenceStages<N>(
  A: Analytic<N>,
  gradient: TracedGradient,
  tokens: readonly FieldValues<N>[],
): SequenceStages<N> {
  const { model, sizes, width, cotangents, loads, next, local, pull, factor } = gradient;
  const rows = stateRows(model, sizes);
  const columns = stateColumns(model, sizes);
  const early = model.reads === "pre" ? 0 : 1;
  const names = Object.keys(loads);
  const shapes = Object.fromEntries(Object.entries(loads).map(([name, axes]) => [name, fieldShape(axes, sizes)]));

  const scope = (step: number, state: readonly N[], seeds: { [name: string]: readonly N[] }): Scope<N> =>
    evaluator(A, {
      load(name, index) {
        const seed = seeds[name];
        if (seed !== undefined) return seed[flat(index, [rows, columns].slice(2 - index.length))]!;
        return tokens[step]![name]![flat(index, shapes[name]!)]!;
      },
      state: (k, v, component) => state[((k as number) * columns + (v as number)) * width + component]!,
    });
  const component = (values: readonly N[], c: number, of: number): N[] => values.filter((_, n) => n % of === c);
  /** The scope of a step with the cotangent of the state after it. */
  const updating = (step: number, states: readonly (readonly N[])[], lambda: readonly N[]): Scope<N> =>
    scope(step, states[step]!, {
      [stateExponent]: component(states[step + 1]!, width - 1, width),
      [stateCotangents[0]]: component(lambda, 0, cotangents),
      ...(cotangents === 2 ? { [stateCotangents[1]]: component(lambda, 1, cotangents) } : {}),
    });
  const lanes = (scope: Scope<N>, exprs: readonly Expr[]): N[] => {
    const out: N[] = [];
    for (let row = 0; row < rows; row++) {
      const inner = scope.bind(k as SymbolicIndex, row);
      for (let column = 0; column < columns; column++) {
        const lane = inner.bind(v as SymbolicIndex, column);
        for (const expr of exprs) out.push(lane.value(expr));
      }
    }
    return out;
  };
  const entries = (scope: Scope<N>, name: string, expr: Expr): N[] => {
    const [height = 1, depth = 1] = shapes[name]!;
    return Array.from(
      { length: height * depth },
      (_, n) => scope.bind(p, Math.floor(n / depth)).bind(q, n % depth).value(expr),
    );
  };
  const plus = (x: readonly N[], y: readonly N[]): N[] => x.map((value, n) => A.add(value, y[n]!));
  const none = Array.from({ length: rows * columns * cotangents }, () => A.of(0));

  return {
    states(initial) {
      const states = [initial];
      tokens.forEach((_, step) => states.push(lanes(scope(step, states[step]!, {}), next)));
      return states;
    },
    locals(states, outputs) {
      const locals: (readonly N[])[] = states.map(() => none);
      outputs.forEach((output, step) => {
        if (output === undefined) return;
        const at = step + early;
        locals[at] = lanes(scope(step, states[at]!, { [outputCotangent]: output }), local);
      });
      return locals;
    },
    factors(states) {
      return tokens.map((_, step) => lanes(updating(step, states, none), factor!));
    },
    cotangents(states, locals) {
      const lambdas = [...locals];
      for (let step = tokens.length - 1; step >= 0; step--) {
        lambdas[step] = plus(lanes(updating(step, states, lambdas[step + 1]!), pull), locals[step]!);
      }
      return lambdas;
    },
    inputs(states, lambdas, outputs) {
      return tokens.map((_, step) => {
        const update = updating(step, states, lambdas[step + 1]!);
        const output = outputs[step];
        const read = output && scope(step, states[step + early]!, { [outputCotangent]: output });
        return Object.fromEntries(names.map((name) => {
          const through = gradient.inputs[name]!;
          const values = entries(update, name, through.update);
          return [name, read === undefined ? values : plus(values, entries(read, name, through.read))];
        }));
      });
    },
  };
}

/**
 * The backward pass of one sequence. `tokens` are its raw inputs by step, `initial` its state, `outputs` the
 * cotangents by step (undefined where nothing is read), `final` that of the last state, with respect to the state as the
 * forward pass holds it.
 */
export function backwardSequence<N>(
  A: Analytic<N>,
  gradient: TracedGradient,
  tokens: readonly FieldValues<N>[],
  initial: readonly N[],
  outputs: readonly (readonly N[] | undefined)[],
  final: (state: readonly N[]) => readonly N[],
): SequenceGradients<N> {
  const stages = sequenceStages(A, gradient, tokens);
  const states = stages.states(initial);
  const locals = stages.locals(states, outputs);
  const last = final(states.at(-1)!);
  locals.push(locals.pop()!.map((value, n) => A.add(last[n]!, value)));
  const lambdas = stages.cotangents(states, locals);
  return { tokens: stages.inputs(states, lambdas, outputs), initial: lambdas[0]! };
}

function flat(index: readonly Index[], shape: readonly number[]): number {
  return index.reduce<number>((at, position, d) => at * (d === 0 ? 1 : shape[d]!) + (position as number), 0);
}

/** Checks cotangents against a run's extent; throws an {@link InputError}. */
export function checkCotangents(model: AnyAffineModel, dims: Dims, { outputs, finalState }: Cotangents): void {
  const { B, T, H, sizes } = dims;
  const check = (what: string, shape: string, given: ArrayLike<number>, length: number): void => {
    if (given.length !== length) {
      throw new InputError(
        `Cannot differentiate ${model.name}: the cotangent of ${what} is ${shape}, so ${length} numbers, got ${given.length}`,
      );
    }
    for (let n = 0; n < length; n++) {
      if (!Number.isFinite(given[n]!)) {
        throw new InputError(
          `Cannot differentiate ${model.name}: the cotangent of ${what} must be finite, got ${given[n]} at ${n}`,
        );
      }
    }
  };
  check("the outputs", "[B, T, H, columns]", outputs, B * T * H * outputColumns(model, sizes));
  if (finalState === undefined) return;
  check("the final state", "[B, H, rows, columns, width]", finalState, stateLength(model, dims));
  for (let n = 1; model.action === "scaled" && n < finalState.length; n += 2) {
    if (!Number.isInteger(finalState[n]!)) {
      throw new InputError(
        `Cannot differentiate ${model.name}: the cotangent of the final state is pairs (λ, m) for states s·2^m, and ` +
          `m must be a whole number, got ${finalState[n]} at ${n}`,
      );
    }
  }
}

/** The step at which token t is read. */
export function readStep(model: AnyAffineModel, t: number): number {
  return (t + 1) * microSteps(model) - 1;
}

/**
 * Where the gradient of an input at some step goes in the array the caller gives that input in: its row, or −1 for a
 * micro-step at which the caller gives nothing.
 */
export function gradientRow(batch: Batch, name: string, b: number, step: number, h: number): number {
  const { model, dims: { T, H }, steps } = batch;
  const spec = batch.model.inputs[name]!;
  if (spec.per === "parameter") return h;
  const n = microSteps(model);
  if (n === 1 || spec.micro === undefined || spec.micro === "every") return (b * steps + step) * H + h;
  return step % n === (spec.micro === "first" ? 0 : n - 1) ? (b * T + Math.floor(step / n)) * H + h : -1;
}

/**
 * The gradients of a checked batch, from `initialState` (zero where not given; see `prepareState`). A traced `gradient` of
 * the batch's model and sizes may be given, to trace once for many batches.
 */
export function backward<N>(
  A: Analytic<N>,
  batch: Batch,
  cotangents: Cotangents,
  initialState?: ArrayLike<number>,
  gradient: TracedGradient = traceGradient(batch.model, batch.dims.sizes),
): Gradients<N> {
  const { model, dims, steps } = batch;
  const { B, H, sizes } = dims;
  checkCotangents(model, dims, cotangents);
  const width = stateWidth(model);
  const sequence = stateLength(model, { ...dims, B: 1, H: 1 });
  const columns = outputColumns(model, sizes);
  const zero = A.of(0);
  const inputs: { [name: string]: N[] } = {};
  for (const [name, spec] of inputEntries(model)) {
    const once = spec.per === "parameter" ? H : B * dims.T * H *
      (spec.micro === undefined || spec.micro === "every" ? microSteps(model) : 1);
    inputs[name] = Array.from({ length: once * inputWidth(spec, sizes) }, () => zero);
  }
  const initialGradient: N[] = [];
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < H; h++) {
      const start = (b * H + h) * sequence;
      const slice = (array: ArrayLike<number> | undefined): N[] =>
        Array.from({ length: sequence }, (_, n) => A.of(array?.[start + n] ?? 0));
      const initial = slice(initialState);
      const outputs: (N[] | undefined)[] = Array.from({ length: steps });
      for (let t = 0; t < dims.T; t++) {
        const row = ((b * dims.T + t) * H + h) * columns;
        outputs[readStep(model, t)] = Array.from({ length: columns }, (_, n) => A.of(cotangents.outputs[row + n]!));
      }
      const given = slice(cotangents.finalState);
      const { tokens, initial: lambda } = backwardSequence(
        A,
        gradient,
        Array.from({ length: steps }, (_, step) => rawValues(A, batch, b, step, h)),
        initial,
        outputs,
        (state) => model.action === "scaled" ? rescaled(A, given, state) : given,
      );
      initialGradient.push(
        ...(gradient.cotangents === width
          ? lambda
          : lambda.flatMap((value, lane) => [value, initial[lane * width + 1]!])),
      );
      tokens.forEach((token, step) => {
        for (const [name, spec] of inputEntries(model)) {
          const row = gradientRow(batch, name, b, step, h);
          if (row < 0) continue;
          const size = inputWidth(spec, sizes);
          token[name]!.forEach((value, n) => {
            const out = inputs[name]!;
            out[row * size + n] = A.add(out[row * size + n]!, value);
          });
        }
      });
    }
  }
  return { inputs, initialState: initialGradient };
}

/** Pairs (λ, m) as λ with respect to the exponents the state has: λ·2^(own − m). */
function rescaled<N>(A: Analytic<N>, given: readonly N[], state: readonly N[]): N[] {
  return Array.from(
    { length: given.length / 2 },
    (_, lane) => A.scale2(given[2 * lane]!, A.sub(state[2 * lane + 1]!, given[2 * lane + 1]!)),
  );
}
