/**
 * How the gradients of chunks are checked: over a whole sequence the terms of a gradient outnumber it by far, so a bound on
 * all of them would let faults through. Instead every chunk of a sampled sequence is held to f64 from the kernels' own state
 * at its start and cotangent at its end, and so is what the chunk hands on of both: with each link right to rounding, the
 * chain is.
 *
 * @module
 */
import { backwardUnit } from "../../kernels/chunk/_backward_unit.ts";
import type { ChunkBackwardTensors, ChunkBackwardTuning } from "../../kernels/chunk/backward.ts";
import type { Decay } from "../../kernels/chunk/family.ts";
import type { Gpu } from "../../kernels/device.ts";
import type { MatrixMode } from "../../kernels/matrix_unit.ts";
import type { Tensor } from "../../kernels/tensor.ts";
import { type Bounded, sequenceTruth } from "./chunk_backward_truth.ts";
import { lineError, worstError } from "./errors.ts";
import type { LineError } from "./line.ts";

/** What the kernels read and wrote, with the states S at chunk starts and the cotangents Λ at chunk ends. */
export interface ChunkGradients extends ChunkBackwardTensors {
  readonly dInitial: Tensor;
  readonly states: Tensor;
  readonly cotangents: Tensor;
}

/** What they ran with. */
export interface ChunkRun {
  readonly decay: Decay;
  readonly scale: number;
  readonly chunk: number;
  readonly tuning: ChunkBackwardTuning;
}

/** The rows of one sequence of a tensor `[B, T, H, …]`. */
async function sequenceOf(gpu: Gpu, tensor: Tensor, b: number, h: number): Promise<Float32Array> {
  const [, T, H, ...rest] = tensor.shape as [number, number, number, ...number[]];
  const width = rest.reduce((x, y) => x * y, 1);
  const length = T * H * width;
  const batch = await gpu.read(tensor.buffer, Float32Array, { offset: b * length, length });
  const out = new Float32Array(T * width);
  for (let t = 0; t < T; t++) {
    out.set(batch.subarray((t * H + h) * width, (t * H + h + 1) * width), t * width);
  }
  return out;
}

/** Roundings of a term besides its gates, within one chunk: three products one after the other, sums, dg's running sums. */
function roundings(
  K: number,
  V: number,
  chunk: number,
  { mode, hardware }: { mode: MatrixMode; hardware: boolean },
): number {
  const sums = K + V + 3 * chunk + 16;
  if (mode === "f32") return sums + 3;
  // Split operands are 8 units a product; a tensor core adds 16 terms with at most 34 units, three times over.
  return 3 * 8 + 3 * sums + (hardware ? 3 * 34 * Math.ceil((K + V + 2 * chunk) / 16) : 0);
}

/** The first and the last sequence. */
export async function checkChunks(gpu: Gpu, tensors: ChunkGradients, run: ChunkRun): Promise<LineError> {
  const [B, , H] = tensors.q.shape as [number, number, number];
  const errors = [await checkSequence(gpu, tensors, run, 0, 0)];
  if (B * H > 1) errors.push(await checkSequence(gpu, tensors, run, B - 1, H - 1));
  return worstError(errors);
}

async function checkSequence(
  gpu: Gpu,
  tensors: ChunkGradients,
  { decay, scale, chunk, tuning }: ChunkRun,
  b: number,
  h: number,
): Promise<LineError> {
  const [, T, H, K] = tensors.q.shape as [number, number, number, number];
  const V = tensors.v.shape[3]!;
  const chunks = Math.ceil(T / chunk);
  const read = (tensor: Tensor): Promise<Float32Array> => sequenceOf(gpu, tensor, b, h);
  const [q, k, v, dO] = [await read(tensors.q), await read(tensors.k), await read(tensors.v), await read(tensors.dO)];
  const raw = tensors.g === undefined
    ? undefined
    : decay.per === "head"
    ? await tensors.g.read()
    : await read(tensors.g);
  const gate = (t: number, n: number): number =>
    raw === undefined ? 0 : raw[decay.kind === "diagonal" ? t * K + n : decay.per === "head" ? h : t]!;
  const S = await read(tensors.states);
  const L = await read(tensors.cotangents);
  const state = K * V;
  const dInitial = await gpu.read(tensors.dInitial.buffer, Float32Array, {
    offset: (b * H + h) * state,
    length: state,
  });
  const names = [
    "dq",
    "dk",
    "dv",
    ...(decay.kind === "none" || decay.per === "head" ? [] : ["dg"]),
    "S",
    "Λ",
  ] as const;
  const truths = new Map<string, Bounded>();
  const room = (n: number): Bounded => ({ x: new Float64Array(n), r: new Float64Array(n) });
  const perKey = decay.kind === "diagonal" ? K : 1;
  for (const name of names) {
    truths.set(
      name,
      room(name === "dv" ? T * V : name === "dg" ? T * perKey : name.length === 1 ? chunks * state : T * K),
    );
  }
  const unit = backwardUnit(gpu, tuning);
  const machine = { roundings: roundings(K, V, chunk, unit), floor: unit.mode === "f32" ? 0 : 2 ** -39 };
  const scaled = Float64Array.from(q, (x) => x * scale);
  for (let c = 0; c < chunks; c++) {
    const from = c * chunk;
    const tokens = Math.min(chunk, T - from);
    const part = (x: ArrayLike<number>, width: number): Float64Array =>
      Float64Array.from({ length: tokens * width }, (_, n) => x[from * width + n]!);
    const truth = sequenceTruth({
      T: tokens,
      K,
      V,
      q: part(scaled, K),
      k: part(k, K),
      v: part(v, V),
      dO: part(dO, V),
      gate: (t, n) => Math.exp(gate(from + t, n)),
      gateUnits: (t, n) => raw === undefined ? 0 : 5 + Math.abs(gate(from + t, n)) / 1024,
      initial: S.subarray(c * state, (c + 1) * state),
      dFinal: L.subarray(c * state, (c + 1) * state),
    }, machine);
    const set = (name: string, at: number, { x, r }: Bounded, by = 1): void => {
      truths.get(name)!.x.set(x.map((y) => by * y), at);
      truths.get(name)!.r.set(r.map((y) => by * y), at);
    };
    set("dq", from * K, truth.dq, scale);
    set("dk", from * K, truth.dk);
    set("dv", from * V, truth.dv);
    if (truths.has("dg")) {
      const sums = truths.get("dg")!;
      truth.dg.x.forEach((x, n) => sums.x[from * perKey + Math.floor(n * perKey / K)]! += x);
      truth.dg.r.forEach((x, n) => sums.r[from * perKey + Math.floor(n * perKey / K)]! += x);
    }
    set("Λ", c * state, truth.dInitial);
    if (c + 1 < chunks) set("S", (c + 1) * state, truth.final);
  }
  const got: { readonly [name: string]: () => Promise<Float32Array> } = {
    dq: () => read(tensors.dq),
    dk: () => read(tensors.dk),
    dv: () => read(tensors.dv),
    dg: () => read(tensors.dg!),
    S: () => Promise.resolve(S),
    // What a chunk hands back is what the one before it was given.
    "Λ": () => Promise.resolve(Float32Array.from([...dInitial, ...L.subarray(0, (chunks - 1) * state)])),
  };
  const errors: LineError[] = [];
  for (const [name, { x, r }] of truths) {
    const scale = Math.sqrt(x.reduce((sum, y) => sum + y * y, 0) / x.length) || 1;
    errors.push(
      lineError(await got[name]!(), x, r.reduce((most, y) => Math.max(most, y), 0) / scale),
    );
  }
  return worstError(errors);
}
