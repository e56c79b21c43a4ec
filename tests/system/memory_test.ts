/** What a stream holds after 2^20 tokens: as much as after 2^16. Counted in elements, in bytes of the process and the GPU. */
import { after, test } from "node:test";
import { assert, assertEquals, assertGreater, assertLess } from "@std/assert";
import { openStream } from "../../kernels/scan.ts";
import type { AnyAffineModel } from "../../models/affine.ts";
import { type Execution, scanned } from "../../models/execution.ts";
import { type Dims, sampleInputs } from "../../models/inputs.ts";
import { models } from "../../models/mod.ts";
import { modular } from "../../models/modular.ts";
import { type Element, modelMonoid } from "../../models/run.ts";
import { residueTokens } from "../../oracle/checks/exact.ts";
import { recurrent } from "../../oracle/run.ts";
import { chunked, Counter, type CounterMode, foldStream, type Operator, type Stream } from "../../scan/mod.ts";
import { gpuForTests } from "../gpu.ts";
import { held } from "./_gc.ts";

const gpu = await gpuForTests("a GPU stream's memory");
after(() => gpu?.close());

const WARM = 2 ** 16;
const LONG = 2 ** 20;
const MiB = 2 ** 20;
/** Pages of the process: the heap and a GPU's driver keep some for later. */
const MAY_RESIDE = 16 * MiB;
/** What is reachable: compiled code and the tests' own results. */
const MAY_REACH = MiB;

const sizes = { K: 2, V: 1, D: 2, N: 1 };
const extent = (T: number): Dims => ({ B: 1, T, H: 1, sizes });
const named = (name: string): AnyAffineModel => models.find((model) => model.name === name)!;
/** One of every action. */
const everyAction = ["linear-attention", "mamba2", "gla", "s4d", "mlstm", "delta-net"].map(named);
const gla = named("gla");

/** By how much what is held grows between {@link WARM} and {@link LONG} tokens. */
interface Growth {
  readonly resident: number;
  readonly reachable: number;
  /** Bytes of buffers on the GPU. */
  readonly device: number;
}

/** Calls `push`, which takes in `tokens` tokens, up to {@link LONG} of them. */
async function growth(tokens: number, push: () => void | Promise<unknown>): Promise<Growth> {
  const now = (): Growth => ({ ...held(), device: gpu?.bytes.live ?? 0 });
  let before = now();
  for (let t = 0; t < LONG; t += tokens) {
    if (t === WARM) before = now();
    await push();
  }
  const end = now();
  return {
    resident: end.resident - before.resident,
    reachable: end.reachable - before.reachable,
    device: end.device - before.device,
  };
}

function assertConstant({ resident, reachable, device }: Growth): void {
  assertLess(reachable, MAY_REACH, "reachable bytes");
  assertLess(resident, MAY_RESIDE, "bytes of the process");
  assertEquals(device, 0, "bytes on the GPU");
}

const nothing: Operator<null> = { combine: () => null };

test(`a fold holds one element at every t to ${LONG}`, () => {
  const stream = foldStream(nothing);
  for (let t = 1; t <= LONG; t++) {
    stream.push(null);
    assert(stream.held().length === 1, `t = ${t}: ${stream.held().length} elements`);
  }
});

const allowances: readonly (readonly [CounterMode, (t: number) => number])[] = [
  ["refolding", (t) => Math.ceil(Math.log2(t + 1))],
  ["cached", (t) => 2 * Math.ceil(Math.log2(t + 1))],
];

for (const [mode, allowed] of allowances) {
  test(`a ${mode} counter holds no more than its bound at every t to ${LONG}`, () => {
    const stream = new Counter<null>(nothing, { mode });
    let peak = 0;
    for (let t = 1; t <= LONG; t++) {
      stream.push(null);
      stream.prefix();
      const { length } = stream.held();
      peak = Math.max(peak, length);
      assert(length <= allowed(t), `t = ${t}: ${length} elements, allowed ${allowed(t)}`);
    }
    // At t = 2^20 − 1 every level has its root, and with cached folds all but the first root a fold.
    assertEquals(peak, mode === "cached" ? 39 : 20);
  });
}

/** A model's elements over a finite ring, where products neither die out nor overflow: `push` takes in 1024. */
function streaming(
  model: AnyAffineModel,
  open: (op: Operator<Element<number>>) => Stream<Element<number>>,
): { readonly stream: Stream<Element<number>>; push(): void } {
  const monoid = modelMonoid(modular(65521), model, sizes);
  const pool = residueTokens(model, sizes, 1024, 1).map((token) => monoid.lift(token));
  const stream = open(monoid);
  return {
    stream,
    push() {
      for (const x of pool) {
        stream.push(x);
        stream.prefix();
      }
    },
  };
}

for (const model of everyAction) {
  test(`a fold of ${model.name}'s elements is constant in memory`, async () => {
    const { stream, push } = streaming(model, foldStream);
    assertConstant(await growth(1024, push));
    assertEquals([stream.size, stream.held().length], [LONG, 1]);
  });
}

for (const [mode] of allowances) {
  test(`a ${mode} counter of gla's elements is constant in memory`, async () => {
    const { stream, push } = streaming(gla, (op) => new Counter(op, { mode }));
    assertConstant(await growth(1024, push));
    assertEquals(stream.size, LONG);
  });
}

test("control: a fold that keeps its prefixes is seen", async () => {
  const { stream, push } = streaming(gla, foldStream);
  const kept: unknown[] = [];
  const { reachable, resident } = await growth(1024, () => {
    push();
    for (let i = 0; i < 1024; i++) kept.push([...stream.held()]);
  });
  assertEquals(kept.length, LONG);
  assertGreater(reachable, MAY_REACH);
  assertGreater(resident, MAY_RESIDE);
});

const onCpu: readonly Execution[] = [recurrent(), scanned(chunked(64))];
for (const execution of onCpu) {
  test(`gla run block by block, ${execution.name}, is constant in memory`, async () => {
    const dims = extent(1024);
    const inputs = sampleInputs(gla, dims, "random", 1);
    let state: ArrayLike<number> = new Float64Array(2);
    assertConstant(
      await growth(dims.T, async () => {
        state = (await execution.run(gla, dims, inputs, { initialState: state })).finalState;
      }),
    );
  });
}

// A call to a GPU is mostly waiting, so the streams take turns and their tokens come 4096 at once.
const PUSH = 4096;

test("streams on the GPU, one of every action, are constant in memory", { skip: gpu === null }, async () => {
  const start = gpu!.bytes.live;
  const dims = extent(PUSH);
  const streams = await Promise.all(everyAction.map(async (model) => ({
    stream: await openStream(gpu!, model, dims, { tokens: PUSH }),
    inputs: sampleInputs(model, dims, "random", 1),
  })));
  assertConstant(
    await growth(PUSH, () => Promise.all(streams.map(({ stream, inputs }) => stream.push(inputs, PUSH)))),
  );
  for (const { stream } of streams) stream.close();
  assertEquals(gpu!.bytes.live, start);
});

test("control: a stream that keeps its inputs on the GPU is seen", { skip: gpu === null }, async () => {
  const dims = extent(PUSH);
  const inputs = sampleInputs(gla, dims, "random", 1);
  const stream = await openStream(gpu!, gla, dims, { tokens: PUSH });
  const kept: GPUBuffer[] = [];
  const { device, resident } = await growth(PUSH, () => {
    kept.push(...Object.values(inputs).map((values) => gpu!.upload(values)));
    return stream.push(inputs, PUSH);
  });
  stream.close();
  for (const buffer of kept) buffer.destroy();
  assertGreater(device, MAY_RESIDE);
  if (/llvmpipe/.test(gpu!.adapter.description)) assertGreater(resident, MAY_RESIDE);
});
