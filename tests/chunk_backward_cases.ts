/** Cases of `planChunkBackward`, and an f64 reverse pass to hold them to, within bounds that are derived from its terms. */

import { assert, assertEquals } from "@std/assert";
import { type Bounded, type Machine, type SequenceTruth, sequenceTruth } from "../bench/fused/chunk_backward_truth.ts";
import {
  type ChunkBackwardOptions,
  type ChunkBackwardTensors,
  type ChunkBackwardTuning,
  planChunkBackward,
} from "../kernels/chunk/backward.ts";
import type { Decay } from "../kernels/chunk/family.ts";
import type { Gpu } from "../kernels/device.ts";
import type { Fault } from "../kernels/faults.ts";
import { type Plan, runPlans } from "../kernels/plan.ts";
import { Tensor } from "../kernels/tensor.ts";
import type { Random } from "../models/domain.ts";
import { seeded } from "../models/random.ts";
import { POISON32 } from "../oracle/ulp.ts";

/** One run of the kernels. */
export interface Case {
  readonly decay: Decay;
  readonly pre?: boolean;
  readonly T: number;
  readonly K: number;
  readonly V: number;
  readonly B?: number;
  readonly H?: number;
  readonly initial?: boolean;
  readonly final?: boolean;
  readonly gates?: (random: Random) => number;
  readonly tuning?: ChunkBackwardTuning;
  readonly fault?: Fault;
}

export const diagonal: Decay = { kind: "diagonal" };
export const byToken: Decay = { kind: "scalar" };
export const byHead: Decay = { kind: "scalar", per: "head" };
export const factors: Decay = { kind: "scalar", per: "head", form: "factor" };
export const none: Decay = { kind: "none" };

const ordinary = (random: Random): number => Math.log(1 - 0.95 * random());
export const adversarial = (random: Random): number =>
  random() < 0.6 ? [-104, 0, -0, -1e-30, -1e-7, -50, -1][Math.floor(7 * random())]! : -4 * random();

/** A case's data, tensors and plan. */
export interface Made {
  readonly given: Case;
  readonly data: { readonly [name: string]: Float32Array };
  readonly tensors: { readonly [name: string]: Tensor };
  readonly plan: Plan;
}

/** Makes a case's plan on random data; outputs are poisoned. */
export async function made(gpu: Gpu, given: Case): Promise<Made> {
  const { decay, T, K, V, B = 2, H = 2 } = given;
  const random = seeded("chunks backward", decay.kind, T, K, V);
  const numbers = (n: number, one: (random: Random) => number = (r) => 2 * r() - 1): Float32Array =>
    Float32Array.from({ length: n }, () => one(random));
  const gates = given.gates ?? ordinary;
  const shapes: { [name: string]: readonly number[] } = {
    q: [B, T, H, K],
    k: [B, T, H, K],
    v: [B, T, H, V],
    dO: [B, T, H, V],
    ...(decay.kind === "none"
      ? {}
      : { g: decay.kind === "diagonal" ? [B, T, H, K] : decay.per === "head" ? [H] : [B, T, H] }),
    ...(given.pre === true ? { u: [H, K] } : {}),
    ...(given.initial === false ? {} : { initial: [B, H, K, V] }),
    ...(given.final === false ? {} : { dFinal: [B, H, K, V] }),
  };
  const data: { [name: string]: Float32Array } = {};
  const tensors: { [name: string]: Tensor } = {};
  for (const [name, shape] of Object.entries(shapes)) {
    const n = shape.reduce((x, y) => x * y, 1);
    data[name] = name === "g" ? numbers(n, decay.form === "factor" ? (r) => Math.exp(gates(r)) : gates) : numbers(n);
    tensors[name] = Tensor.from(gpu, data[name], shape);
  }
  for (const [name, like] of [["dq", "q"], ["dk", "k"], ["dv", "v"], ["dg", "g"]] as const) {
    if (shapes[like] === undefined) continue;
    tensors[name] = Tensor.from(gpu, new Float32Array(data[like]!.length).fill(POISON32), shapes[like]);
  }
  const state = [B, H, K, V];
  tensors["dInitial"] = Tensor.from(gpu, new Float32Array(B * H * K * V).fill(POISON32), state);
  const options: ChunkBackwardOptions = {
    decay,
    scale: Math.fround(K ** -0.5),
    ...given.tuning,
    ...(given.fault === undefined ? {} : { fault: given.fault }),
  };
  const plan = await planChunkBackward(gpu, tensors as unknown as ChunkBackwardTensors, options);
  return { given, data, tensors, plan };
}

/** Roundings of a term besides its gates: operands and products (3 products), sums over keys, values and chunks. */
function machine({ K, V, tuning, T }: Case): Machine {
  const split = tuning?.mode === "split";
  const products = split ? 3 * 8 : 3 * 1;
  return { roundings: products + K + V + 3 * 64 + (T > 0 ? Math.ceil(T / 16) : 0) + 16, floor: split ? 2 ** -39 : 0 };
}

function truthOf({ given, data }: Made, b: number, h: number): SequenceTruth {
  const { decay, T, K, V, H = 2 } = given;
  const scale = Math.fround(K ** -0.5);
  const rows = (name: string, width: number, by = 1): Float64Array =>
    Float64Array.from(
      { length: T * width },
      (_, n) => by * data[name]![((b * T + Math.floor(n / width)) * H + h) * width + n % width]!,
    );
  const raw = (t: number, k: number): number =>
    decay.kind === "none" ? 0 : data["g"]![
      decay.kind === "diagonal" ? ((b * T + t) * H + h) * K + k : decay.per === "head" ? h : (b * T + t) * H + h
    ]!;
  const isFactor = decay.form === "factor";
  const state = (name: string): Float32Array | undefined =>
    data[name]?.subarray((b * H + h) * K * V, (b * H + h + 1) * K * V);
  const [initial, dFinal] = [state("initial"), state("dFinal")];
  return sequenceTruth({
    T,
    K,
    V,
    q: rows("q", K, scale),
    k: rows("k", K),
    v: rows("v", V),
    dO: rows("dO", V),
    gate: (t, k) => decay.kind === "none" ? 1 : isFactor ? raw(t, k) : Math.exp(raw(t, k)),
    gateUnits: (t, k) => decay.kind === "none" ? 1 : isFactor ? 2 : 5 + Math.abs(raw(t, k)) / 1024,
    ...(data["u"] === undefined ? {} : { u: data["u"].subarray(h * K, (h + 1) * K) }),
    ...(initial === undefined ? {} : { initial }),
    ...(dFinal === undefined ? {} : { dFinal }),
  }, machine(given));
}

/** The truth of every array, in the arrays' own shapes. */
function truths(work: Made): Map<string, Bounded> {
  const { given, data } = work;
  const { decay, T, K, V, B = 2, H = 2 } = given;
  const scale = Math.fround(K ** -0.5);
  const room = (n: number): Bounded => ({ x: new Float64Array(n), r: new Float64Array(n) });
  const out = new Map<string, Bounded>([
    ["dq", room(B * T * H * K)],
    ["dk", room(B * T * H * K)],
    ["dv", room(B * T * H * V)],
    ["dInitial", room(B * H * K * V)],
  ]);
  if (decay.kind !== "none") out.set("dg", room(data["g"]!.length));
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < H; h++) {
      const truth = truthOf(work, b, h);
      const copy = (name: "dq" | "dk" | "dv", width: number, by: number): void => {
        for (let n = 0; n < T * width; n++) {
          const at = ((b * T + Math.floor(n / width)) * H + h) * width + n % width;
          out.get(name)!.x[at] = by * truth[name].x[n]!;
          out.get(name)!.r[at] = by * truth[name].r[n]!;
        }
      };
      copy("dq", K, scale);
      copy("dk", K, 1);
      copy("dv", V, 1);
      out.get("dInitial")!.x.set(truth.dInitial.x, (b * H + h) * K * V);
      out.get("dInitial")!.r.set(truth.dInitial.r, (b * H + h) * K * V);
      for (let n = 0; n < (decay.kind === "none" ? 0 : T * K); n++) {
        const t = Math.floor(n / K);
        const at = decay.kind === "diagonal"
          ? ((b * T + t) * H + h) * K + n % K
          : decay.per === "head"
          ? h
          : (b * T + t) * H + h;
        // Of a factor, not its logarithm.
        const by = decay.form === "factor" ? 1 / data["g"]![h]! : 1;
        out.get("dg")!.x[at]! += by * truth.dg.x[n]!;
        out.get("dg")!.r[at]! += by * (truth.dg.r[n]! + 2 ** -24 * Math.abs(truth.dg.x[n]!));
      }
    }
  }
  return out;
}

/** The largest share of its bound that any number is off by, and where. */
export async function worst(
  gpu: Gpu,
  works: readonly Made[],
): Promise<{ readonly share: number; readonly where: string }[]> {
  await runPlans(gpu, "chunks backward", works.map(({ plan }) => plan));
  const out: { readonly share: number; readonly where: string }[] = [];
  for (const work of works) {
    let [share, where] = [0, "nowhere"];
    for (const [name, { x, r }] of truths(work)) {
      const got = await work.tensors[name]!.read();
      assertEquals(got.length, x.length, name);
      for (let n = 0; n < x.length; n++) {
        const off = got[n] === POISON32 || !Number.isFinite(got[n]!) ? Infinity : Math.abs(got[n]! - x[n]!) / r[n]!;
        if (off > share) [share, where] = [off, `${name}[${n}]: got ${got[n]}, want ${x[n]} ± ${r[n]}`];
      }
    }
    out.push({ share, where: `${JSON.stringify(work.given)} (${work.plan.variant}): ${where}` });
    work.plan.release();
    for (const tensor of Object.values(work.tensors)) tensor.destroy();
  }
  return out;
}

/** Runs cases in one submit and asserts that every number is within its bound. */
export async function holds(gpu: Gpu, cases: readonly Case[]): Promise<void> {
  const works: Made[] = [];
  for (const given of cases) works.push(await made(gpu, given));
  for (const { share, where } of await worst(gpu, works)) assert(share <= 1, `off by ${share} of the bound: ${where}`);
}

/** Every kind of decay. */
export const kinds: readonly { readonly name: string; readonly decay: Decay; readonly pre: boolean }[] = [
  { name: "no decay", decay: none, pre: false },
  { name: "a decay by token", decay: byToken, pre: false },
  { name: "a decay by head", decay: byHead, pre: false },
  { name: "a factor by head", decay: factors, pre: false },
  { name: "a decay by key", decay: diagonal, pre: false },
  { name: "a decay by key and a bonus", decay: diagonal, pre: true },
];
