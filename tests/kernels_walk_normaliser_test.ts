/** Walks that divide their outputs by those of one more column, whose y is 1: against f64 with a derived bound; faults seen. */
import { after, test } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Gpu } from "../kernels/device.ts";
import { runPlans } from "../kernels/plan.ts";
import { Tensor } from "../kernels/tensor.ts";
import { planWalk, WAITING_ROUNDINGS, type WalkNormaliser, type WalkOptions } from "../kernels/walk/walk.ts";
import { wgslAccuracy } from "../models/accuracy.ts";
import { InputError } from "../models/error.ts";
import { seeded } from "../models/random.ts";
import { POISON32 } from "../oracle/ulp.ts";
import { gpuForTests } from "./gpu.ts";

const gpu = await gpuForTests("walks that divide");
after(() => gpu?.close());

function gpuTest(name: string, body: (device: Gpu) => Promise<void>): void {
  test(name, { skip: gpu === null }, () => body(gpu!));
}

const UNIT = 2 ** -24;
const [B, T, H, R, C] = [2, 77, 2, 7, 6];
const SCALE = Math.fround(0.3);

/** `swinging`: factors above 1, whose products stay below 2, as a shared exponent has them. */
type Kind = "none" | "head" | "gentle" | "fast" | "swinging";

interface Data {
  readonly decay: "none" | "scalar" | "head";
  readonly x: Float32Array;
  readonly y: Float32Array;
  readonly z: Float32Array;
  readonly g: Float32Array;
  readonly factor: Float32Array | undefined;
  readonly least: Float32Array;
  readonly initial: Float32Array;
  readonly sums: Float32Array;
}

function dataOf(kind: Kind): Data {
  const random = seeded(5, "divided", kind);
  const numbers = (n: number, low: number, high: number): Float32Array =>
    Float32Array.from({ length: n }, () => low + (high - low) * random());
  const rows = B * T * H;
  const decay = kind === "none" || kind === "head" ? kind : "scalar";
  const gate = (t: number): number => {
    if (kind === "swinging") {
      return t % 20 === 7 ? 1.9 * (1 - 0.01 * random()) : t % 20 === 15 ? 0.5 : 1 - 0.01 * random();
    }
    return Math.exp((kind === "fast" ? -4 : -0.05) * random());
  };
  return {
    decay,
    // Of one sign, so that divisors are not small next to their terms.
    x: numbers(rows * R, 0, 1),
    y: numbers(rows * C, -1, 1),
    z: numbers(rows * R, 0, 1),
    g: Float32Array.from({ length: decay === "head" ? H : rows }, (_, n) => gate(Math.floor(n / H) % T)),
    factor: decay === "scalar" ? numbers(rows, 0.1, 1.4) : undefined,
    least: numbers(rows, 0, 2),
    initial: numbers(B * H * R * C, -1, 1),
    sums: numbers(B * H * R, 0, 1),
  };
}

interface Numbers<A> {
  readonly outputs: A;
  readonly final: A;
  readonly sums: A;
}

/**
 * The recurrence in f64, n as a last column, and the bounds of all: as in walk_cases.ts, without an exponential (gates are
 * factors). Where x has a factor its product with x is one more. A quotient is off by its own division, and by what its parts are.
 */
function truthOf(
  data: Data,
  waiting: boolean,
): { readonly truth: Numbers<Float64Array>; readonly allowed: Numbers<Float64Array> } {
  const made = (): Numbers<Float64Array> => ({
    outputs: new Float64Array(B * T * H * C),
    final: new Float64Array(B * H * R * C),
    sums: new Float64Array(B * H * R),
  });
  const [truth, allowed] = [made(), made()];
  const own = (waiting && data.decay !== "none" ? WAITING_ROUNDINGS : 0) + 1;
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < H; h++) {
      const read = new Float64Array(T * (C + 1)), radius = new Float64Array(T * (C + 1));
      for (let i = 0; i < R; i++) {
        for (let j = 0; j <= C; j++) {
          const at = (b * H + h) * R + i;
          let s: number = j < C ? data.initial[at * C + j]! : data.sums[at]!;
          let size = Math.abs(s);
          let error = 0;
          for (let t = 0; t < T; t++) {
            const row = (b * T + t) * H + h;
            const a = data.decay === "none" ? 1 : data.g[data.decay === "head" ? h : row]!;
            error = a * (error + 2 * UNIT * size) + 2 ** -119;
            const term = data.x[row * R + i]! * (data.factor?.[row] ?? 1) * (j < C ? data.y[row * C + j]! : 1);
            [s, size] = [a * s + term, a * size + Math.abs(term)];
            error += 2 * UNIT * size + own * UNIT * Math.abs(term);
            const weight = SCALE * data.z[row * R + i]!;
            read[t * (C + 1) + j]! += weight * s;
            radius[t * (C + 1) + j]! += weight * (error + (R + 3) * UNIT * size);
          }
          if (j < C) [truth.final[at * C + j], allowed.final[at * C + j]] = [s, error];
          else [truth.sums[at], allowed.sums[at]] = [s, error];
        }
      }
      for (let t = 0; t < T; t++) {
        const row = (b * T + t) * H + h;
        const off = radius[t * (C + 1) + C]!;
        const divisor = Math.max(Math.abs(read[t * (C + 1) + C]!), data.least[row]!);
        for (let j = 0; j < C; j++) {
          const quotient = read[t * (C + 1) + j]! / divisor;
          const parts = (radius[t * (C + 1) + j]! + Math.abs(quotient) * off) / (divisor - off);
          truth.outputs[row * C + j] = quotient;
          allowed.outputs[row * C + j] = parts + wgslAccuracy.div.units * UNIT * (Math.abs(quotient) + parts);
        }
      }
    }
  }
  return { truth, allowed };
}

async function ran(device: Gpu, data: Data, options: WalkOptions): Promise<Numbers<Float32Array>> {
  const made: Tensor[] = [];
  const tensor = (values: ArrayLike<number>, shape: readonly number[]): Tensor => {
    const t = Tensor.from(device, values, shape);
    made.push(t);
    return t;
  };
  const poisoned = (...shape: number[]): Tensor =>
    tensor(new Float32Array(shape.reduce((n, x) => n * x)).fill(POISON32), shape);
  const { decay, factor } = data;
  const [out, final, sums] = [poisoned(B, T, H, C), poisoned(B, H, R, C), poisoned(B, H, R)];
  const normaliser: WalkNormaliser = {
    divisor: (sum, least) => `max(abs(${sum}), ${least})`,
    least: tensor(data.least, [B, T, H]),
    initial: tensor(data.sums, [B, H, R]),
    final: sums,
  };
  const plan = await planWalk(device, {
    x: tensor(data.x, [B, T, H, R]),
    y: tensor(data.y, [B, T, H, C]),
    z: tensor(data.z, [B, T, H, R]),
    ...(decay === "none" ? {} : { g: tensor(data.g, decay === "head" ? [H] : [B, T, H]) }),
    ...(factor === undefined ? {} : { factor: tensor(factor, [B, T, H]) }),
    out,
    initial: tensor(data.initial, [B, H, R, C]),
    final,
    normaliser,
  }, { decay, form: "factor", scale: SCALE, ...options });
  await runPlans(device, "walk", [plan]);
  const result = { outputs: await out.read(), final: await final.read(), sums: await sums.read() };
  plan.release();
  made.forEach((t) => t.destroy());
  return result;
}

/** The first number outside its bound. */
function outside(got: Numbers<Float32Array>, { truth, allowed }: ReturnType<typeof truthOf>): string | undefined {
  for (const name of ["outputs", "final", "sums"] as const) {
    const bad = got[name].findIndex((x, i) => !(Math.abs(x - truth[name][i]!) <= allowed[name][i]!));
    if (bad >= 0) return `${name} at ${bad}: ${got[name][bad]}, truth ${truth[name][bad]}, ± ${allowed[name][bad]}`;
  }
  return undefined;
}

// With shuffles, all tokens of a group and half of them together, whole blocks by a text of their own as on hardware; and without.
const ways: readonly WalkOptions[] = [
  { rows: 4, columns: 2, block: 8, unchecked: true },
  { rows: 4, columns: 4, block: 8, unroll: 1, unchecked: true },
  { rows: 4, columns: 1, block: 16, subgroups: false },
];

for (const kind of ["none", "head", "gentle", "fast", "swinging"] as const) {
  gpuTest(`a walk that divides, decay ${kind}: within the derived bound, faults seen`, async (device) => {
    const data = dataOf(kind);
    const truth = truthOf(data, true);
    for (const way of device.subgroups === undefined ? ways.slice(2) : ways) {
      assertEquals(outside(await ran(device, data, way), truth), undefined, JSON.stringify(way));
    }
    if (kind !== "gentle" && kind !== "none") return;
    const way = device.subgroups === undefined ? ways[2]! : ways[0]!;
    // Texts take long to compile: one each.
    const fault = kind === "gentle" ? "dropped-carry" : { relative: 2 ** -10 };
    assert(outside(await ran(device, data, { ...way, fault }), truth) !== undefined, JSON.stringify(fault));
  });
}

gpuTest("a walk that divides, in blocks that are all whole, is within its bound", async (device) => {
  const data = dataOf("none");
  // 77 tokens are whole blocks of one.
  const way: WalkOptions = { rows: 4, columns: 2, block: 1, unchecked: true };
  assertEquals(outside(await ran(device, data, way), truthOf(data, true)), undefined);
});

gpuTest("a walk that divides and multiplies at every token is within its bound", async (device) => {
  const data: Data = { ...dataOf("gentle"), factor: undefined };
  const way: WalkOptions = { rows: 4, columns: 2, block: 8, waiting: false };
  assertEquals(outside(await ran(device, data, way), truthOf(data, false)), undefined);
});

gpuTest("what a normaliser and a factor are not for is refused in one line", async (device) => {
  const data = dataOf("gentle");
  for (
    const attempt of [
      () => ran(device, data, { segments: 2 }),
      () => ran(device, data, { reverse: true }),
      () => ran(device, data, { waiting: false }),
      () => ran(device, { ...data, decay: "none" }, {}),
      () => ran(device, { ...data, factor: undefined }, { reverse: true }),
    ]
  ) await assertRejects(attempt, InputError, "Cannot walk");
  const tensor = (shape: readonly number[], dtype: "f32" | "f16" = "f32"): Tensor =>
    Tensor.empty(device, shape, { dtype });
  const all = { x: tensor([1, 2, 1, 4]), y: tensor([1, 2, 1, 4]), z: tensor([1, 2, 1, 4]), out: tensor([1, 2, 1, 4]) };
  const halves = tensor([1, 2, 1], "f16");
  const divisor: WalkNormaliser["divisor"] = (sum) => sum;
  for (
    const [name, more] of [
      ["factor", { factor: halves, g: tensor([1, 2, 1]) }],
      ["least", { normaliser: { divisor, least: halves } }],
      ["final sums", { normaliser: { divisor, final: tensor([1, 1, 4], "f16") } }],
    ] as const
  ) {
    const options = { decay: name === "factor" ? "scalar" : "none" } as const;
    await assertRejects(
      () => planWalk(device, { ...all, ...more }, options),
      InputError,
      `Cannot walk: ${name} must be f32, got f16`,
    );
  }
});
