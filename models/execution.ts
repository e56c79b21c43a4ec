/**
 * Executions: the ways to run a model, as values. Each takes checked inputs to outputs and a final state, and
 * publishes the rounding constants that its error bound is derived from.
 *
 * @module
 */
import type { Analytic } from "./arith.ts";
import { type AnyAffineModel, outputColumns } from "./affine.ts";
import {
  type Batch,
  type Dims,
  type Inputs,
  microSteps,
  prepare,
  prepareState,
  stateLength,
  stateWidth,
} from "./inputs.ts";
import { f32, f64 } from "./number.ts";
import type { Rounding } from "./rounding.ts";
import { type LaneState, readOut, readState, scanStates } from "./run.ts";
import { type Operator, rightCombines, type Schedule } from "../scan/mod.ts";
import { activate, type FieldValues, rawValues } from "./token.ts";

export type { ChunkRounding, GradientRounding, LogSums, Rounding, Telescoped, Tiles } from "./rounding.ts";

/** What to start from, and what to return besides outputs and the final state. */
export interface RunOptions {
  /** `[B, H, rows, columns, width]`; zero where not given. */
  readonly initialState?: ArrayLike<number>;
  /** Return the state after every step too. */
  readonly states?: boolean;
  /** Return the states at chunk starts too, from an execution of chunks (`Rounding.chunk`). */
  readonly chunkStates?: boolean;
}

/** The result of a run. */
export interface RunResult {
  /** `[B, T, H, columns]`. */
  readonly outputs: Float32Array | Float64Array;
  /** `[B, H, rows, columns, width]`. */
  readonly finalState: Float32Array | Float64Array;
  /** `[B, steps, H, rows, columns, width]` where asked for. */
  readonly states?: Float32Array | Float64Array;
  /** `[B, ⌈steps / chunk⌉, H, rows, columns]` where asked for: the state at every chunk's start, as the kernel had it. */
  readonly chunkStates?: Float32Array | Float64Array;
}

/**
 * Faults that every check must see, planted on purpose: results off by 2^−10, every chunk but the first started from
 * nothing, operands of the scan's combine swapped.
 */
export type Fault = "relative" | "dropped-carry" | "swapped-operands";
export const faults: readonly Fault[] = ["relative", "dropped-carry", "swapped-operands"];

/** A way to run a model. */
export interface Execution {
  readonly name: string;
  readonly rounding: Rounding;
  /** Whether it combines elements (a scan) rather than stepping from state to state. */
  readonly scans?: boolean;
  /** Fast enough for the harness's larger sizes; default false. */
  readonly accelerated?: boolean;
  /** Whether it runs a model; absent where it runs every one. */
  supports?(model: AnyAffineModel): boolean;
  /** Throws {@link InputError} on inputs outside the model's contract, before anything is computed. */
  run(model: AnyAffineModel, dims: Dims, inputs: Inputs, options?: RunOptions): Promise<RunResult>;
  /** Gradients of Σ dO·o + Σ dS·S_T; absent where the execution has none. */
  gradients?(model: AnyAffineModel, dims: Dims, inputs: Inputs, options: GradientOptions): Promise<GradientResult>;
  /** States of activated fields over a finite ring, bit for bit; absent where the execution has none. */
  residues?(model: AnyAffineModel, dims: Dims, fields: ResidueFields, ring: FiniteRing): Promise<Uint32Array>;
  /** The faults that can be planted; default: all in a scan, `swapped-operands` in no other, `dropped-carry` where accelerated. */
  readonly faults?: readonly Fault[];
  /** The same execution with a fault; absent where none can be planted. */
  planted?(fault: Fault): Execution;
}

/** Cotangents of outputs `[B, T, H, columns]` and final state, and where to start. */
export interface GradientOptions {
  readonly outputs: ArrayLike<number>;
  readonly finalState?: ArrayLike<number>;
  readonly initialState?: ArrayLike<number>;
}

/** Gradients by input, each in that input's shape, and of the initial state. */
export interface GradientResult {
  readonly inputs: { readonly [name: string]: Float32Array | Float64Array };
  readonly initialState: Float32Array | Float64Array;
}

/** Activated fields `[B, steps, H, …axes]` as residues. */
export type ResidueFields = { readonly [name: string]: Uint32Array };
/** F_65521, or the integers modulo 2^32. */
export type FiniteRing = "prime" | "wrap";

/** A named number type for CPU executions. */
export interface Precision {
  readonly name: string;
  readonly unit: number;
  readonly algebra: Analytic<number>;
}

export const single: Precision = { name: "f32", unit: 2 ** -24, algebra: f32 };
export const double: Precision = { name: "f64", unit: 2 ** -53, algebra: f64 };

/** The activated tokens of one batch row and head, one after the other. */
export function* eachToken<N>(A: Analytic<N>, batch: Batch, b: number, h: number): Generator<FieldValues<N>> {
  for (let s = 0; s < batch.steps; s++) yield activate(A, batch.model, batch.dims.sizes, rawValues(A, batch, b, s, h));
}

/** The activated tokens of one batch row and head. */
export function tokensOf<N>(A: Analytic<N>, batch: Batch, b: number, h: number): FieldValues<N>[] {
  return [...eachToken(A, batch, b, h)];
}

/** The lanes of one batch row and head out of a state array. */
export function lanesOf(
  state: ArrayLike<number>,
  model: AnyAffineModel,
  dims: Dims,
  b: number,
  h: number,
): LaneState<number> {
  const width = stateWidth(model);
  const length = stateLength(model, { ...dims, B: 1, H: 1 });
  const start = (b * dims.H + h) * length;
  return Array.from(
    { length: length / width },
    (_, lane) => Array.from({ length: width }, (_, c) => state[start + lane * width + c]!),
  );
}

/** Runs every sequence of a batch with `states`, which gives the state after each step, and collects the arrays. */
export function collect(
  A: Analytic<number>,
  model: AnyAffineModel,
  dims: Dims,
  inputs: Inputs,
  options: RunOptions,
  states: (tokens: readonly FieldValues<number>[], initial: LaneState<number>) => readonly LaneState<number>[],
): RunResult {
  const batch = prepare(model, dims, inputs);
  const initialState = prepareState(model, dims, options.initialState);
  const { B, T, H, sizes } = dims;
  const columns = outputColumns(model, sizes);
  const n = microSteps(model);
  const laneNumbers = stateLength(model, { ...dims, B: 1, H: 1 });
  const outputs = new Float64Array(B * T * H * columns).fill(NaN);
  const finalState = new Float64Array(B * H * laneNumbers).fill(NaN);
  const all = options.states === true ? new Float64Array(B * batch.steps * H * laneNumbers).fill(NaN) : undefined;
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < H; h++) {
      const tokens = tokensOf(A, batch, b, h);
      const initial = lanesOf(initialState, model, dims, b, h);
      const visited = states(tokens, initial);
      finalState.set((visited.at(-1) ?? initial).flat(), (b * H + h) * laneNumbers);
      visited.forEach((state, s) => all?.set(state.flat(), ((b * batch.steps + s) * H + h) * laneNumbers));
      for (let t = 0; t < T; t++) {
        const s = (t + 1) * n - 1;
        outputs.set(
          readOut(A, model, sizes, readState(model, visited, initial, s), tokens[s]!),
          ((b * T + t) * H + h) * columns,
        );
      }
    }
  }
  return all === undefined ? { outputs, finalState } : { outputs, finalState, states: all };
}

/** The parallel form on the CPU: `lift` and a schedule, in f32 or f64. */
export function scanned(schedule: Schedule, precision: Precision = single): Execution {
  return {
    name: `${schedule.name} ${precision.name}`,
    scans: true,
    rounding: {
      unit: precision.unit,
      // One more where a prefix is applied to the initial state.
      rightCombines: (steps) => rightCombines(schedule, steps) + 1,
      accuracy: "rounded",
      denseChunk: (_model, { T }) => Math.max(T, 1),
    },
    run: (model, dims, inputs, options = {}) =>
      Promise.resolve().then(() =>
        collect(
          precision.algebra,
          model,
          dims,
          inputs,
          options,
          (tokens, initial) => scanStates(precision.algebra, model, dims.sizes, tokens, schedule, initial),
        )
      ),
    planted: (fault) =>
      fault === "relative"
        ? withRelativeFault(scanned(schedule, precision))
        : scanned(faultySchedule(schedule, fault), precision),
  };
}

/** Steps of a chunk in the faulty schedules. */
const FAULTY_CHUNK = 64;

/** A schedule with a fault: for controls only. */
export function faultySchedule(schedule: Schedule, fault: "dropped-carry" | "swapped-operands"): Schedule {
  return {
    ...schedule,
    inclusive<M>(op: Operator<M>, xs: readonly M[]): M[] {
      if (fault === "swapped-operands") {
        return schedule.inclusive<M>({ combine: (earlier, later) => op.combine(later, earlier) }, xs);
      }
      const out: M[] = [];
      for (let from = 0; from < xs.length; from += FAULTY_CHUNK) {
        out.push(...schedule.inclusive(op, xs.slice(from, from + FAULTY_CHUNK)));
      }
      return out;
    },
  };
}

/** An execution whose outputs are off by 2^−10, relative: for controls only. */
export function withRelativeFault(execution: Execution): Execution {
  const off = (x: Float32Array | Float64Array): Float32Array | Float64Array => x.map((value) => value * (1 + 2 ** -10));
  const { gradients } = execution;
  return {
    ...execution,
    async run(model, dims, inputs, options) {
      const result = await execution.run(model, dims, inputs, options);
      return { ...result, outputs: off(result.outputs) };
    },
    ...(gradients === undefined ? {} : {
      async gradients(model, dims, inputs, options): Promise<GradientResult> {
        const result = await gradients(model, dims, inputs, options);
        return {
          inputs: Object.fromEntries(Object.entries(result.inputs).map(([name, values]) => [name, off(values)])),
          initialState: off(result.initialState),
        };
      },
    }),
  };
}
