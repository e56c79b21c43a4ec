/**
 * Element-wise scans against f64: sampled rows (or channels) whole; a very long row in windows, each from the run's own
 * output before it.
 *
 * Bounds are those of oracle/bound.ts for one lane, first order being far below a planted fault: with the majorant
 * `h̄_t = |a_t|(1+u)² h̄_{t−1} + |b_t|` and d roundings that no gate pays for,
 * `E_t = |a_t| E_{t−1} + ((1+u)² − 1)|a_t| h̄_{t−1}` and `|ĥ_t − h_t| ≤ E_t + ((1+u)^d − 1) h̄_t`.
 *
 * @module
 */
import type { Gpu } from "../../kernels/device.ts";
import { unpackHalves } from "../../kernels/half.ts";
import type { ScanLayout } from "../../kernels/elementwise/scan.ts";
import type { Tensor } from "../../kernels/tensor.ts";
import { lineError, worstError } from "./errors.ts";
import type { LineError } from "./line.ts";

/** The tensors of one part of a line, after a run. */
export interface PartTensors {
  readonly layout: ScanLayout;
  readonly B: number;
  readonly D: number;
  readonly T: number;
  readonly a: Tensor | undefined;
  readonly b: Tensor;
  readonly h: Tensor;
  /** Roundings that no gate pays for, forward. */
  readonly late: number;
  readonly gradient:
    | { readonly dh: Tensor; readonly da: Tensor; readonly db: Tensor; readonly late: number }
    | undefined;
}

const u = 2 ** -24;

/** A stretch of a tensor's numbers. */
async function stretch(gpu: Gpu, { buffer, dtype }: Tensor, offset: number, length: number): Promise<Float32Array> {
  if (dtype === "f32") return await gpu.read(buffer, Float32Array, { offset, length });
  return unpackHalves(await gpu.read(buffer, Uint16Array, { offset, length }));
}

/** Reads one sequence of a tensor after another; of columns a batch row at a time is kept. */
function sequenceReader(gpu: Gpu, { layout, D, T }: PartTensors) {
  const kept = new Map<Tensor, { readonly b: number; readonly numbers: Float32Array }>();
  return async (tensor: Tensor, b: number, d: number): Promise<Float32Array> => {
    if (layout === "rows") return await stretch(gpu, tensor, (b * D + d) * T, T);
    let row = kept.get(tensor);
    if (row?.b !== b) {
      row = { b, numbers: await stretch(gpu, tensor, b * T * D, T * D) };
      kept.set(tensor, row);
    }
    return Float32Array.from({ length: T }, (_, t) => row.numbers[t * D + d]!);
  };
}

/** A lane in f64 with its radii: `h_t = a_t h_{t−1} + b_t`. */
function lane(
  a: (t: number) => number,
  b: ArrayLike<number>,
  h0: number,
  late: number,
): { readonly truth: Float64Array; readonly radii: Float64Array } {
  const truth = new Float64Array(b.length);
  const radii = new Float64Array(b.length);
  let [h, error, majorant] = [h0, 0, Math.abs(h0)];
  for (let t = 0; t < b.length; t++) {
    const gate = a(t);
    error = gate * error + ((1 + u) ** 2 - 1) * gate * majorant;
    majorant = gate * (1 + u) ** 2 * majorant + Math.abs(b[t]!);
    h = gate * h + b[t]!;
    truth[t] = h;
    radii[t] = error + ((1 + u) ** late - 1) * majorant;
  }
  return { truth, radii };
}

/** The error of numbers with radii of their own, stored in a type of unit roundoff `unit`. */
function judged(got: Float32Array, truth: Float64Array, radii: Float64Array, stored: number): LineError {
  let squares = 0;
  let allowed = 0;
  truth.forEach((x, t) => {
    squares += x * x;
    allowed = Math.max(allowed, radii[t]! + stored * (Math.abs(x) + radii[t]!));
  });
  return lineError(got, truth, allowed / Math.sqrt(squares / Math.max(truth.length, 1)));
}

async function checkSequence(
  read: (tensor: Tensor, b: number, d: number) => Promise<Float32Array>,
  { T, a, b, h, late, gradient }: PartTensors,
  row: number,
  channel: number,
): Promise<LineError[]> {
  const of = (tensor: Tensor): Promise<Float32Array> => read(tensor, row, channel);
  const gates = a === undefined ? undefined : await of(a);
  // Halves: half an ulp of 11 bits, and of the least subnormal.
  const stored = h.dtype === "f16" ? 2 ** -11 : 0;
  const forward = lane((t) => gates?.[t] ?? 1, await of(b), 0, late);
  const outputs = await of(h);
  const errors = [judged(outputs, forward.truth, forward.radii, stored)];
  if (gradient === undefined || gates === undefined) return errors;
  const dh = await of(gradient.dh);
  const back = lane((i) => i === 0 ? 0 : gates[T - i]!, dh.toReversed(), 0, gradient.late);
  const lambda = back.truth.toReversed();
  const radii = back.radii.toReversed();
  const previous = (t: number): number => t === 0 ? 0 : outputs[t - 1]!;
  const ofGates = lambda.map((x, t) => x * previous(t));
  const ofGatesRadii = radii.map((r, t) => (r + u * (Math.abs(lambda[t]!) + r)) * Math.abs(previous(t)));
  return [
    ...errors,
    judged(await of(gradient.db), lambda, radii, stored),
    judged(await of(gradient.da), ofGates, ofGatesRadii, stored),
  ];
}

/** The first, a middle and the last sequence of every part. */
export async function checkSequences(gpu: Gpu, parts: readonly PartTensors[]): Promise<LineError> {
  const errors: LineError[] = [];
  for (const part of parts) {
    const read = sequenceReader(gpu, part);
    const { B, D } = part;
    const sampled = new Set([0, Math.floor(B / 2) * D + Math.floor(D / 2), B * D - 1]);
    for (const n of sampled) errors.push(...await checkSequence(read, part, Math.floor(n / D), n % D));
  }
  return worstError(errors);
}

/** Windows of a long row, and their tokens. */
const WINDOWS = 17;
const WINDOW = 2 ** 16;
/** See {@linkcode checkLong}. */
const ROUNDINGS = 512;

/**
 * The first and last tokens of a row, and windows between, each from the output before it as the run wrote it. A window
 * is many tiles long, so what a carry is off by shows where it enters.
 *
 * Roundings from one end of a window to the other: a tile's own, at both ends (4 in a unit, 5 over the lanes, 16 units, 32
 * groups: at most 57 each), one for each tile between (at most 64 of 1024 tokens or more), and, where time is cut, those of a
 * chunk's tiles (at most 256), because the state behind it was computed apart.
 */
export async function checkLong(gpu: Gpu, { T, a, b, h }: PartTensors): Promise<LineError> {
  const errors: LineError[] = [];
  const length = Math.min(T, WINDOW);
  for (let n = 0; n < WINDOWS; n++) {
    const from = Math.floor(n * (T - length) / (WINDOWS - 1));
    const gates = a === undefined ? undefined : await stretch(gpu, a, from, length);
    const before = from === 0 ? 0 : (await stretch(gpu, h, from - 1, 1))[0]!;
    const numbers = await stretch(gpu, b, from, length);
    const { truth, radii } = gates === undefined
      ? sums(numbers, before)
      : lane((t) => gates[t]!, numbers, before, ROUNDINGS);
    errors.push(judged(await stretch(gpu, h, from, length), truth, radii, 0));
  }
  return worstError(errors);
}

/**
 * Sums: an addition errs by u times its result, and no result is larger than what the window has seen, |before| + Σ|b| of a
 * tile on the way to it.
 */
function sums(
  b: Float32Array,
  before: number,
): { readonly truth: Float64Array; readonly radii: Float64Array } {
  let h = before;
  let size = Math.abs(before);
  const radii = new Float64Array(b.length);
  const truth = Float64Array.from(b, (x, t) => {
    h += x;
    size += Math.abs(x);
    radii[t] = ((1 + u) ** ROUNDINGS - 1) * size;
    return h;
  });
  return { truth, radii };
}
