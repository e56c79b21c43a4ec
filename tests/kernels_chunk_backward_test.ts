/** `planChunkBackward` against an f64 reverse pass, within derived bounds: kinds of decay, lengths, faults. */

import { after, test } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { type ChunkBackwardTensors, planChunkBackward } from "../kernels/chunk/backward.ts";
import { runPlans } from "../kernels/plan.ts";
import { Tensor } from "../kernels/tensor.ts";
import { InputError } from "../models/error.ts";
import { adversarial, byHead, byToken, diagonal, holds, kinds, made, none, worst } from "./chunk_backward_cases.ts";
import { gpuForTests } from "./gpu.ts";

const gpu = await gpuForTests("chunks backward");
after(() => gpu?.close());

// A second of compiling for each of these: on software adapters the others stand for them.
const software = gpu?.adapter.software ?? true;
const asked = kinds.filter(({ decay, pre }) => !software || decay !== byHead && !pre);
if (gpu !== null && software) {
  console.warn("not run: log decays by head, and a bonus with small sizes: only on a real GPU");
}

for (const { name, decay, pre } of asked) {
  test(`planChunkBackward with ${name} is the gradient`, { skip: gpu === null }, async () => {
    await holds(gpu!, [
      ...[0, 1, 15, 17, 32, 70].map((T) => ({ decay, pre, T, K: 4, V: 3 })),
      { decay, pre, T: 33, K: 16, V: 24, initial: false },
      { decay, pre, T: 40, K: 32, V: 32, B: 1, H: 1, final: false },
      { decay, pre, T: 20, K: 7, V: 9, B: 1, H: 1, initial: false, final: false },
      { decay, pre, T: 100, K: 5, V: 6, gates: adversarial },
    ]);
  });
}

test("planChunkBackward sees planted faults", { skip: gpu === null }, async () => {
  for (
    const [decay, fault] of [[diagonal, "dropped-carry"], [diagonal, "swapped-operands"], [none, "dropped-carry"], [
      none,
      {
        relative: 2 ** -10,
      },
    ]] as const
  ) {
    const [result] = await worst(gpu!, [await made(gpu!, { decay, T: 70, K: 4, V: 3, fault })]);
    assert(result!.share > 1, `${JSON.stringify(fault)} is ${result!.share} of the bound: ${result!.where}`);
  }
});

test("planChunkBackward from a split on is the whole run", { skip: gpu === null }, async () => {
  const given = { decay: byToken, T: 70, K: 4, V: 3, B: 1, H: 1 };
  const whole = await made(gpu!, given);
  const { data, tensors } = whole;
  const cut = 41;
  await runPlans(gpu!, "whole", [whole.plan]);
  const later = { ...given, T: given.T - cut };
  const widths: { readonly [name: string]: number } = { q: 4, k: 4, v: 3, dO: 3, g: 1 };
  const rest = await made(gpu!, later);
  for (const [name, width] of Object.entries(widths)) rest.tensors[name]!.write(data[name]!.subarray(cut * width));
  rest.tensors["dFinal"]!.write(data["dFinal"]!);
  const first = await made(gpu!, { ...given, T: cut });
  for (const [name, width] of Object.entries(widths)) first.tensors[name]!.write(data[name]!.subarray(0, cut * width));
  first.tensors["initial"]!.write(data["initial"]!);
  // dk and dv do not depend on the state that the later part starts from.
  await runPlans(gpu!, "the later part", [rest.plan]);
  first.tensors["dFinal"]!.write(await rest.tensors["dInitial"]!.read());
  await runPlans(gpu!, "the earlier part", [first.plan]);
  for (const name of ["dk", "dv", "dInitial"]) {
    const want = await tensors[name]!.read();
    const got = name === "dInitial"
      ? await first.tensors[name]!.read()
      : Float32Array.from([...await first.tensors[name]!.read(), ...await rest.tensors[name]!.read()]);
    const most = want.reduce((x, y) => Math.max(x, Math.abs(y)), 0);
    // Each part is within its own roundings of the truth: less than 2^8 of them, of terms that hardly cancel.
    got.forEach((x, n) => assert(Math.abs(x - want[n]!) <= 2 ** -16 * most, `${name}[${n}]: ${x}, not ${want[n]}`));
  }
  for (const work of [whole, rest, first]) {
    work.plan.release();
    for (const tensor of Object.values(work.tensors)) tensor.destroy();
  }
});

test("planChunkBackward takes the states of a forward pass", { skip: gpu === null }, async () => {
  const given = { decay: diagonal, T: 70, K: 4, V: 3 };
  const first = await made(gpu!, given);
  const chunk = Number(/chunk (\d+),/.exec(first.plan.variant)![1]);
  const [B, H, chunks] = [2, 2, Math.ceil(given.T / chunk)];
  const states = new Float32Array(B * chunks * H * 12);
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < H; h++) {
      const S = Float64Array.from(first.data["initial"]!.subarray((b * H + h) * 12, (b * H + h + 1) * 12));
      for (let t = 0; t < given.T; t++) {
        if (t % chunk === 0) states.set(S, ((b * chunks + t / chunk) * H + h) * 12);
        const row = (b * given.T + t) * H + h;
        for (let n = 0; n < 12; n++) {
          S[n] = Math.exp(first.data["g"]![row * 4 + Math.floor(n / 3)]!) * S[n]! +
            first.data["k"]![row * 4 + Math.floor(n / 3)]! * first.data["v"]![row * 3 + n % 3]!;
        }
      }
    }
  }
  first.plan.release();
  const chunkStates = Tensor.from(gpu!, states, [B, chunks, H, 4, 3]);
  const tensors = { ...first.tensors, chunkStates };
  const plan = await planChunkBackward(gpu!, tensors as unknown as ChunkBackwardTensors, {
    decay: diagonal,
    scale: Math.fround(4 ** -0.5),
    chunk,
  });
  assertEquals(plan.dispatches.length, first.plan.dispatches.length - 1);
  const [result] = await worst(gpu!, [{ ...first, tensors, plan }]);
  assert(result!.share <= 1, result!.where);
});

test("planChunkBackward refuses what does not fit", { skip: gpu === null }, async () => {
  const given = { decay: diagonal, T: 5, K: 4, V: 3 };
  await assertRejects(() => made(gpu!, { ...given, tuning: { chunk: 24 } }), InputError, "chunk must be 16, 32 or 64");
  await assertRejects(
    () => made(gpu!, { ...given, tuning: { columns: 8 } }),
    InputError,
    "columns must be 16, 32 or 64",
  );
  await assertRejects(() => made(gpu!, { ...given, K: 257 }), InputError, "K must be in 1 … 256, got 257");
  await assertRejects(
    () => made(gpu!, { ...given, decay: byToken, pre: true }),
    InputError,
    "a bonus u needs a diagonal",
  );
});

test("planChunkBackward frees what it holds", { skip: gpu === null }, async () => {
  const before = gpu!.bytes.live;
  const work = await made(gpu!, { decay: none, T: 5, K: 4, V: 3 });
  work.plan.release();
  for (const tensor of Object.values(work.tensors)) tensor.destroy();
  assertEquals(gpu!.bytes.live, before);
});
