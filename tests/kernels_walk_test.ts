/** Walks, forward and in reverse, against f64 with a derived bound; faults seen. */
import { after, test } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Gpu } from "../kernels/device.ts";
import type { Fault } from "../kernels/faults.ts";
import { runPlans } from "../kernels/plan.ts";
import { Tensor } from "../kernels/tensor.ts";
import { planWalk, type WalkOptions } from "../kernels/walk/walk.ts";
import { InputError } from "../models/error.ts";
import { POISON32 } from "../oracle/ulp.ts";
import { gpuForTests } from "./gpu.ts";
import { type Case, type Data, dataOf, decays, left, ran, truthOf, UNIT, wrong } from "./walk_cases.ts";

const gpu = await gpuForTests("walks on the GPU");
after(() => gpu?.close());

function gpuTest(name: string, body: (device: Gpu) => Promise<void>): void {
  test(name, { skip: gpu === null }, () => body(gpu!));
}

/** States before chunks of 16 tokens. */
async function chunkStatesOf(
  device: Gpu,
  { B, T, H, R, C, decay, reverse }: Case,
  { x, y, z, g }: Data,
  options: WalkOptions,
): Promise<Float32Array> {
  const states = Tensor.from(device, new Float32Array(B * Math.ceil(T / 16) * H * R * C).fill(POISON32), [
    B,
    Math.ceil(T / 16),
    H,
    R,
    C,
  ]);
  const made = [
    Tensor.from(device, x, [B, T, H, R]),
    Tensor.from(device, y, [B, T, H, C]),
    Tensor.from(device, z, [B, T, H, R]),
    Tensor.from(device, g!, [B, T, H]),
    Tensor.empty(device, [B, T, H, C]),
  ] as const;
  const tensors = { x: made[0], y: made[1], z: made[2], g: made[3], out: made[4], chunkStates: states };
  const plan = await planWalk(device, tensors, { decay, reverse, chunk: 16, ...options });
  await runPlans(device, "walk", [plan]);
  const read = await states.read();
  plan.release();
  [...made, states].forEach((tensor) => tensor.destroy());
  return read;
}

// The last in blocks that are all whole, which have no text for others.
const tilings: readonly WalkOptions[] = [
  { unchecked: true },
  { rows: 4, columns: 1, block: 8 },
  { rows: 8, columns: 4, subgroups: false },
  { rows: 4, columns: 4, block: 4, unchecked: true },
];

for (const decay of decays) {
  for (const reverse of [false, true]) {
    gpuTest(`walk ${reverse ? "in reverse" : "forward"}, decay ${decay}: within the derived bound`, async (device) => {
      for (const [n, [T, R, C]] of ([[37, 16, 32], [1, 3, 5], [65, 20, 7], [12, 16, 16]] as const).entries()) {
        const size: Case = { B: 2, T, H: 2, R, C, decay, reverse };
        for (const kind of ["gentle", "fast", "adversarial"] as const) {
          const data = dataOf(size, kind);
          const truth = truthOf(size, data, 0.25);
          const { outputs, final } = await ran(device, size, data, { scale: 0.25, ...tilings[n] });
          assertEquals(wrong(outputs, truth.outputs, truth.outputsAllowed), undefined, `T ${T} ${kind} outputs`);
          assertEquals(wrong(final, truth.final, truth.finalAllowed), undefined, `T ${T} ${kind} final`);
        }
      }
    });
  }
}

for (const decay of decays) {
  gpuTest(`a walk that reads before it adds, decay ${decay}: within the derived bound`, async (device) => {
    type Way = readonly [T: number, R: number, C: number, options: WalkOptions];
    const small: Way = [45, 7, 6, { segments: 3, rows: 4, columns: 2, block: 4 }];
    // Several tokens together, with a text for whole blocks, and one by one; fours of u that change with what an invocation stages.
    const ways: readonly Way[] = decay === "rows"
      ? [small, [37, 16, 32, { unchecked: true }], [16, 8, 8, { rows: 4, block: 4, unchecked: true }], [5, 132, 4, {
        rows: 12,
        columns: 2,
        threads: 32,
        block: 2,
        subgroups: false,
      }]]
      : [small];
    for (const [T, R, C, options] of ways) {
      const size: Case = { B: 2, T, H: 2, R, C, decay, reverse: false, bonus: true };
      for (const kind of ["gentle", "fast", "adversarial"] as const) {
        const data = dataOf(size, kind);
        const truth = truthOf(size, data, 0.25, false);
        const { outputs, final } = await ran(device, size, data, { scale: 0.25, ...options });
        assertEquals(wrong(outputs, truth.outputs, truth.outputsAllowed), undefined, `T ${T} ${kind} outputs`);
        assertEquals(wrong(final, truth.final, truth.finalAllowed), undefined, `T ${T} ${kind} final`);
      }
    }
  });
}

gpuTest("a walk that reads before it adds: faults seen, whole and in segments", async (device) => {
  const size: Case = { B: 1, T: 40, H: 2, R: 8, C: 8, decay: "rows", reverse: false, bonus: true };
  const data = dataOf(size, "fast");
  const truth = truthOf(size, data, 1);
  const faulty = async (options: WalkOptions, given = data): Promise<string | undefined> => {
    const { outputs } = await ran(device, size, given, { block: 8, ...options });
    return wrong(outputs, truth.outputs, truth.outputsAllowed);
  };
  const faults: readonly Fault[] = [{ relative: 2 ** -10 }, "dropped-carry", "swapped-operands"];
  for (const fault of faults) {
    for (const segments of [1, 2]) {
      assert(await faulty({ fault, segments }) !== undefined, `${JSON.stringify(fault)}, ${segments} segments`);
    }
  }
  const { u } = data;
  assertEquals(await faulty({}), undefined);
  assert(await faulty({}, { ...data, u: u!.map((x) => x * (1 + 2 ** -10)) }) !== undefined, "another bonus");
  assert(await faulty({}, { ...data, u: u!.map((_, n) => u![(n + 8) % 16]!) }) !== undefined, "another head's bonus");
});

for (const decay of decays) {
  gpuTest(`a walk in segments, decay ${decay}: within the bound of the whole`, async (device) => {
    for (const [reverse, kind] of [[false, "gentle"], [true, "adversarial"]] as const) {
      const size: Case = { B: 2, T: 45, H: 2, R: 7, C: 6, decay, reverse };
      const columns = decay === "rows" || decay === "scalar" ? 2 : 1;
      const data = dataOf(size, kind);
      const truth = truthOf(size, data, 1);
      const { outputs, final } = await ran(device, size, data, { segments: 3, rows: 4, columns, block: 4 });
      assertEquals(wrong(outputs, truth.outputs, truth.outputsAllowed), undefined, `reverse ${reverse} outputs`);
      assertEquals(wrong(final, truth.final, truth.finalAllowed), undefined, `reverse ${reverse} final`);
    }
    // In blocks that are all whole, of segments too.
    const size: Case = { B: 1, T: 24, H: 2, R: 8, C: 8, decay, reverse: decay === "columns" };
    const data = dataOf(size, "fast");
    const truth = truthOf(size, data, 1);
    const { outputs, final } = await ran(device, size, data, { segments: 3, rows: 4, block: 4, unchecked: true });
    assertEquals(wrong(outputs, truth.outputs, truth.outputsAllowed), undefined, "whole blocks, outputs");
    assertEquals(wrong(final, truth.final, truth.finalAllowed), undefined, "whole blocks, final");
  });
}

// Tokens that are taken together and are not all there: a factor of 0 would end what follows, which the final state is.
for (const decay of ["scalar", "rows", "columns"] as const) {
  gpuTest(`a walk by factors, decay ${decay}: whole and in segments: within the bound`, async (device) => {
    for (const [reverse, segments, kind] of [[false, 1, "adversarial"], [true, 3, "gentle"]] as const) {
      const size: Case = { B: 2, T: 45, H: 2, R: 7, C: 6, decay, form: "factor", reverse };
      const data = dataOf(size, kind);
      const truth = truthOf(size, data, 1);
      const { outputs, final } = await ran(device, size, data, {
        segments,
        rows: 4,
        columns: 2,
        block: 4,
      });
      assertEquals(wrong(outputs, truth.outputs, truth.outputsAllowed), undefined, `reverse ${reverse} outputs`);
      assertEquals(wrong(final, truth.final, truth.finalAllowed), undefined, `reverse ${reverse} final`);
      assert(left(truth) > 0, "what is left at the end");
    }
  });
}

gpuTest("a walk in segments keeps the states of chunks, and loses a carry where told to", async (device) => {
  const size: Case = { B: 1, T: 70, H: 2, R: 16, C: 4, decay: "scalar", reverse: false };
  const data = dataOf(size);
  const truth = truthOf(size, data, 1);
  const states = await chunkStatesOf(device, size, data, { waiting: false });
  const cut = await chunkStatesOf(device, size, data, { segments: 2, rows: 4 });
  // Both are off by no more than the final state may be, whose bound grows with time.
  const allowed = 2 * Math.max(...truth.finalAllowed) + 2 * UNIT * size.T;
  states.forEach((x, i) => assert(Math.abs(x - cut[i]!) <= allowed, `${i}: ${x}, in segments ${cut[i]}`));
  assert(states.some((x) => x !== 0), "states are there");
  const { outputs } = await ran(device, size, data, { segments: 2, chunk: 16, fault: "dropped-carry" });
  assert(wrong(outputs, truth.outputs, truth.outputsAllowed) !== undefined, "a dropped carry shows");
});

gpuTest("a walk with a fault is seen, in both directions", async (device) => {
  const faults: readonly Fault[] = [{ relative: 2 ** -10 }, "dropped-carry"];
  for (const fault of faults) {
    for (const reverse of [false, true]) {
      const size: Case = { B: 1, T: 40, H: 1, R: 8, C: 8, decay: "rows", reverse };
      const data = dataOf(size);
      const truth = truthOf(size, data, 1);
      const { outputs } = await ran(device, size, data, { fault, block: 8 });
      assert(wrong(outputs, truth.outputs, truth.outputsAllowed) !== undefined, JSON.stringify(fault));
    }
  }
});

gpuTest(
  "a walk resumed at a split is the whole walk, bit for bit: where decays wait, between blocks",
  async (device) => {
    const plain: Case = { B: 1, T: 23, H: 2, R: 8, C: 8, decay: "scalar", reverse: false };
    const cut = (values: Float32Array, from: number, to: number): Float32Array =>
      values.subarray(from * values.length / plain.T, to * values.length / plain.T);
    for (
      const [size, waiting, splits] of [
        [plain, false, [1, 7, 16, 22]],
        [plain, true, [8, 16]],
        [{ ...plain, decay: "rows", bonus: true }, false, [1, 7, 16, 22]],
      ] as const
    ) {
      const data = dataOf(size, "fast");
      const options = { rows: 4, block: 8, waiting };
      const whole = await ran(device, size, data, options);
      for (const split of splits) {
        const part = (from: number, to: number, initial: Float32Array): Data => ({
          x: cut(data.x, from, to),
          y: cut(data.y, from, to),
          z: cut(data.z, from, to),
          g: cut(data.g!, from, to),
          initial,
          ...(data.u === undefined ? {} : { u: data.u }),
        });
        const first = await ran(device, { ...size, T: split }, part(0, split, data.initial), options);
        const rest = await ran(device, { ...size, T: size.T - split }, part(split, size.T, first.final), options);
        assertEquals([...first.outputs, ...rest.outputs], [...whole.outputs], `split ${split}`);
        assertEquals(rest.final, whole.final);
      }
    }
  },
);

gpuTest("unusable tensors and options of a walk are refused in one line", async (device) => {
  const t = (shape: readonly number[], dtype: "f32" | "f16" = "f32"): Tensor => Tensor.empty(device, shape, { dtype });
  const [x, y, z, out] = [t([1, 4, 1, 8]), t([1, 4, 1, 3]), t([1, 4, 1, 8]), t([1, 4, 1, 3])];
  for (
    const attempt of [
      () => planWalk(device, { x, y, z, out }, { decay: "scalar" }),
      () => planWalk(device, { x, y, z, out, g: t([1, 4, 1]) }),
      () => planWalk(device, { x, y, z: y, out }),
      () => planWalk(device, { x, y, z, out: t([1, 4, 1, 3], "f16") }),
      () => planWalk(device, { x, y, z, out, g: t([1], "f16") }, { decay: "head" }),
      () => planWalk(device, { x, y, z, out }, { chunk: 48 }),
      () => planWalk(device, { x, y, z, out }, { rows: 3 }),
      () => planWalk(device, { x, y, z, out }, { segments: 0 }),
      () => planWalk(device, { x, y, z, u: t([1, 8]), out }, { reverse: true }),
      () => planWalk(device, { x, y, z, u: t([8]), out }),
      () => planWalk(device, { x, y, z, u: t([1, 8], "f16"), out }),
    ]
  ) await assertRejects(attempt, InputError, "Cannot");
  // A tile is chosen for delta rules too: the message is about what was asked for.
  await assertRejects(() => planWalk(device, { x, y, z, out }, { rows: 3 }), InputError, "Cannot walk: rows must be");
});
