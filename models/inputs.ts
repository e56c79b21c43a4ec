/**
 * The door: raw inputs are checked, clamped and brought into one layout before anything is computed.
 *
 * Layout, everywhere: `[B, T, H, …axes]` per token (`[B, T, …axes]` without heads), `[H, …axes]` per parameter,
 * state `[B, H, rows, columns, width]` with width 1, or 2 for complex states (re, im) and scaled ones (s, m).
 *
 * @module
 */
import { type AnyAffineModel, type Axis, type InputSpec, type Sizes, stateColumns, stateRows } from "./affine.ts";
import { laneActions } from "./action.ts";
import type { InputClass } from "./domain.ts";
import { InputError } from "./error.ts";
import { seeded } from "./random.ts";

/** The extent of a run. Element-wise models have H = 1. */
export interface Dims {
  readonly B: number;
  /** Tokens. */
  readonly T: number;
  readonly H: number;
  readonly sizes: Sizes;
}

/** Raw inputs by name, as a caller gives them. */
export type Inputs = { readonly [name: string]: ArrayLike<number> };

/** Checked inputs at micro-step rate: every token input is `[B, steps, H, …axes]`, every parameter `[H, …axes]`. */
export interface Batch {
  readonly model: AnyAffineModel;
  readonly dims: Dims;
  /** T times the model's micro-steps. */
  readonly steps: number;
  readonly inputs: { readonly [name: string]: Float32Array };
}

/** Micro-steps a token. */
export function microSteps(model: AnyAffineModel): number {
  return model.microSteps ?? 1;
}

/** Numbers per entry of the state. */
export function stateWidth(model: AnyAffineModel): 1 | 2 {
  return model.action === "matrix" ? 1 : laneActions[model.action as keyof typeof laneActions].stateWidth;
}

/** Length of a state array, `[B, H, rows, columns, width]`. */
export function stateLength(model: AnyAffineModel, { B, H, sizes }: Dims): number {
  return B * H * stateRows(model, sizes) * stateColumns(model, sizes) * stateWidth(model);
}

/** The inputs of a model, name and contract. */
export function inputEntries(model: AnyAffineModel): readonly (readonly [string, InputSpec])[] {
  return Object.entries(model.inputs as { readonly [name: string]: InputSpec });
}

/** Numbers of one input at one token and head. */
export function inputWidth(spec: InputSpec, sizes: Sizes): number {
  return spec.axes.reduce((product: number, axis: Axis) => product * sizes[axis]!, 1);
}

/** Rows of an input before micro-steps are expanded: B·T·H (times n where given for every micro-step), or H. */
function inputRows(model: AnyAffineModel, spec: InputSpec, { B, T, H }: Dims): number {
  if (spec.per === "parameter") return H;
  return B * T * H * (spec.micro === undefined || spec.micro === "every" ? microSteps(model) : 1);
}

/** Checks an extent against a model; throws an {@link InputError}. */
export function checkDims(model: AnyAffineModel, dims: Dims): void {
  const whole = (what: string, value: number | undefined, least: number): void => {
    if (value === undefined || !Number.isSafeInteger(value) || value < least) {
      throw new InputError(`Cannot run ${model.name}: ${what} must be a whole number ≥ ${least}, got ${value}`);
    }
  };
  whole("B", dims.B, 1);
  whole("T", dims.T, 0);
  whole("H", dims.H, 1);
  if (!model.heads && dims.H !== 1) {
    throw new InputError(`Cannot run ${model.name}: it has no heads, so H must be 1, got ${dims.H}`);
  }
  const axes = new Set<Axis>([...model.state, ...inputEntries(model).flatMap(([, spec]) => [...spec.axes])]);
  for (const axis of axes) whole(`size ${axis}`, dims.sizes[axis], 1);
}

/** Where in its array a flat index is, in the words of the layout: `k[b=0, t=3, h=1, 2]`. */
function place(model: AnyAffineModel, name: string, spec: InputSpec, dims: Dims, index: number): string {
  const width = inputWidth(spec, dims.sizes);
  const row = Math.floor(index / width);
  const inner = index % width;
  const second = spec.axes.length === 2 ? dims.sizes[spec.axes[1]]! : 1;
  const entry = spec.axes.length === 0
    ? []
    : spec.axes.length === 1
    ? [`${inner}`]
    : [`${Math.floor(inner / second)}`, `${inner % second}`];
  if (spec.per === "parameter") return `${name}[${[`h=${row}`, ...entry].join(", ")}]`;
  const steps = inputRows(model, spec, { ...dims, B: 1, H: 1 });
  const h = row % dims.H;
  const t = Math.floor(row / dims.H) % Math.max(steps, 1);
  const b = Math.floor(row / dims.H / Math.max(steps, 1));
  return `${name}[${[`b=${b}`, `t=${t}`, ...(model.heads ? [`h=${h}`] : []), ...entry].join(", ")}]`;
}

function checkedInput(
  model: AnyAffineModel,
  name: string,
  spec: InputSpec,
  dims: Dims,
  given: ArrayLike<number>,
): Float32Array {
  const width = inputWidth(spec, dims.sizes);
  const length = inputRows(model, spec, dims) * width;
  if (given.length !== length) {
    const shape = spec.per === "parameter"
      ? ["H"]
      : ["B", microSteps(model) > 1 && spec.micro === undefined ? "T·n" : "T", "H"];
    throw new InputError(
      `Cannot run ${model.name}: input ${name} has shape [${
        [...shape, ...spec.axes].join(", ")
      }], so ${length} numbers, ` +
        `got ${given.length}`,
    );
  }
  const out = new Float32Array(length);
  for (let i = 0; i < length; i++) {
    const x = given[i]!;
    if (!spec.domain.contains(x)) {
      throw new InputError(
        `Cannot run ${model.name}: ${place(model, name, spec, dims, i)} must be ${spec.domain.description}, got ${x}`,
      );
    }
    out[i] = spec.domain.clamp?.(x) ?? x;
    if (!Number.isFinite(out[i]!)) {
      throw new InputError(
        `Cannot run ${model.name}: ${place(model, name, spec, dims, i)} must fit f32, got ${x}`,
      );
    }
  }
  if (spec.domain.containsVector !== undefined && width > 0) {
    for (let row = 0; row < length / width; row++) {
      if (!spec.domain.containsVector(out.subarray(row * width, (row + 1) * width))) {
        throw new InputError(
          `Cannot run ${model.name}: ${place(model, name, spec, dims, row * width)} must start ` +
            `${spec.domain.description}, got [${Array.from(out.subarray(row * width, (row + 1) * width)).join(", ")}]`,
        );
      }
    }
  }
  return out;
}

/** Brings an input that is given once a token to micro-step rate; the other micro-steps hold 0. */
function expanded(values: Float32Array, spec: InputSpec, dims: Dims, n: number): Float32Array {
  if (n === 1 || spec.per === "parameter" || spec.micro === undefined || spec.micro === "every") return values;
  const row = dims.H * inputWidth(spec, dims.sizes);
  const out = new Float32Array(values.length * n);
  const offset = spec.micro === "first" ? 0 : n - 1;
  for (let t = 0; t < dims.B * dims.T; t++) out.set(values.subarray(t * row, (t + 1) * row), (t * n + offset) * row);
  return out;
}

/**
 * Checks every input against its shape and domain, clamps what the contract says to clamp, fills parameters that have
 * an initial value, and expands micro-steps. Throws an {@link InputError} that names the first bad number.
 */
export function prepare(model: AnyAffineModel, dims: Dims, given: Inputs): Batch {
  checkDims(model, dims);
  const names = new Set(inputEntries(model).map(([name]) => name));
  for (const name of Object.keys(given)) {
    if (!names.has(name)) {
      throw new InputError(
        `Cannot run ${model.name}: it has no input ${name}; its inputs are ${[...names].join(", ")}`,
      );
    }
  }
  const inputs: { [name: string]: Float32Array } = {};
  for (const [name, spec] of inputEntries(model)) {
    const values = given[name] ?? initialValues(spec, dims);
    if (values === undefined) {
      throw new InputError(
        `Cannot run ${model.name}: input ${name} is missing; given: ${Object.keys(given).join(", ") || "nothing"}`,
      );
    }
    inputs[name] = expanded(checkedInput(model, name, spec, dims, values), spec, dims, microSteps(model));
  }
  return { model, dims, steps: dims.T * microSteps(model), inputs };
}

/** Checked inputs as a caller gives them: those given once a token brought back from micro-step rate. */
export function givenInputs({ model, inputs, dims }: Batch): { readonly [name: string]: Float32Array } {
  const n = microSteps(model);
  return Object.fromEntries(
    inputEntries(model).map(([name, spec]) => {
      const values = inputs[name]!;
      if (n === 1 || spec.per === "parameter" || spec.micro === undefined || spec.micro === "every") {
        return [name, values];
      }
      const row = dims.H * inputWidth(spec, dims.sizes);
      const out = new Float32Array(values.length / n);
      const offset = spec.micro === "first" ? 0 : n - 1;
      for (let t = 0; t < dims.B * dims.T; t++) {
        out.set(values.subarray((t * n + offset) * row, (t * n + offset + 1) * row), t * row);
      }
      return [name, out];
    }),
  );
}

/** The shape of an input: `[B, T, H, …axes]`, `[B, T·n, H, …axes]` where given for n micro-steps, `[H, …axes]`. */
export function inputShape(model: AnyAffineModel, spec: InputSpec, { B, T, H, sizes }: Dims): number[] {
  const axes = spec.axes.map((axis: Axis) => sizes[axis]!);
  if (spec.per === "parameter") return [H, ...axes];
  return [B, spec.micro === undefined || spec.micro === "every" ? T * microSteps(model) : T, H, ...axes];
}

/** The shape of a state: `[B, H, rows, columns]`, and `width` where an entry is more than one number. */
export function stateShape(model: AnyAffineModel, { B, H, sizes }: Dims): number[] {
  const width = stateWidth(model);
  return [B, H, stateRows(model, sizes), stateColumns(model, sizes), ...(width === 1 ? [] : [width])];
}

function initialValues(spec: InputSpec, { H, sizes }: Dims): Float32Array | undefined {
  if (spec.initial === undefined) return undefined;
  const second = spec.axes.length === 2 ? sizes[spec.axes[1]]! : 1;
  const width = inputWidth(spec, sizes);
  return Float32Array.from(
    { length: H * width },
    (_, n) => spec.initial!(Math.floor(n / width), Math.floor((n % width) / second), n % second),
  );
}

/** Checks a state array `[B, H, rows, columns, width]`; zero where none is given. */
export function prepareState(model: AnyAffineModel, dims: Dims, given?: ArrayLike<number>): Float64Array {
  const length = stateLength(model, dims);
  if (given === undefined) return new Float64Array(length);
  if (given.length !== length) {
    throw new InputError(
      `Cannot run ${model.name}: the initial state is [B, H, rows, columns, width], so ${length} numbers, ` +
        `got ${given.length}`,
    );
  }
  for (let i = 0; i < length; i++) {
    if (!Number.isFinite(given[i]!)) {
      throw new InputError(`Cannot run ${model.name}: the initial state must be finite, got ${given[i]} at ${i}`);
    }
  }
  checkSharedExponents(model, dims, given);
  return Float64Array.from(given);
}

/** A scaled state has one whole exponent per batch row and head: read-outs take it from any of its entries. */
function checkSharedExponents(model: AnyAffineModel, dims: Dims, state: ArrayLike<number>): void {
  if (model.action !== "scaled") return;
  const sequence = stateLength(model, { ...dims, B: 1, H: 1 });
  for (let i = 1; i < state.length; i += 2) {
    const shared = state[i - (i % sequence) + 1]!;
    if (state[i] !== shared || !Number.isInteger(shared)) {
      throw new InputError(
        `Cannot run ${model.name}: the exponents of a state must be one whole number per batch row and head, got ` +
          `${state[i]} at ${i} beside ${shared}`,
      );
    }
  }
}

/**
 * Seeded inputs of one class. Streams are drawn per batch row, so the inputs at `dims.T` are a prefix of those at any
 * longer T with the same `longest` — which long-memory gates are scaled by (1 − gate ≤ 1/longest).
 */
export function sampleInputs(
  model: AnyAffineModel,
  dims: Dims,
  kind: InputClass,
  seed: number,
  longest: number = dims.T,
): { [name: string]: Float32Array } {
  checkDims(model, dims);
  const out: { [name: string]: Float32Array } = {};
  for (const [name, spec] of inputEntries(model)) {
    const width = inputWidth(spec, dims.sizes);
    const vector = new Float64Array(width);
    const rows = inputRows(model, spec, dims);
    const streams = spec.per === "parameter" ? 1 : dims.B;
    const values = new Float32Array(rows * width);
    for (let stream = 0; stream < streams; stream++) {
      const random = seeded(seed, kind, model.name, name, stream);
      for (let row = (rows / streams) * stream; row < (rows / streams) * (stream + 1); row++) {
        spec.domain.sample(kind, random, vector, longest);
        values.set(vector, row * width);
      }
    }
    out[name] = values;
  }
  return out;
}

/** The inputs of tokens `from … to − 1`. */
export function sliceInputs(model: AnyAffineModel, dims: Dims, inputs: Inputs, from: number, to: number): {
  [name: string]: Float32Array;
} {
  const out: { [name: string]: Float32Array } = {};
  for (const [name, spec] of inputEntries(model)) {
    const values = inputs[name];
    if (values === undefined) continue;
    if (spec.per === "parameter") {
      out[name] = Float32Array.from(values);
      continue;
    }
    const row = inputRows(model, spec, { ...dims, B: 1, T: 1 }) * inputWidth(spec, dims.sizes);
    const slice = new Float32Array(dims.B * (to - from) * row);
    for (let b = 0; b < dims.B; b++) {
      for (let i = 0; i < (to - from) * row; i++) {
        slice[b * (to - from) * row + i] = values[(b * dims.T + from) * row + i]!;
      }
    }
    out[name] = slice;
  }
  return out;
}
