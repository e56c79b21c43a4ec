/**
 * Streams 2^20 tokens and prints by how many bytes that grew what is held, as JSON: the script of memory_test.ts, a
 * process of its own for every case, so that no other test's garbage is in the figures. Argument: a name of
 * {@link cases}. Wants V8's `gc` (`--expose-gc`).
 */
import process from "node:process";
import { pathToFileURL } from "node:url";
import { type Gpu, openDevice } from "../../kernels/device.ts";
import { openStream } from "../../kernels/scan.ts";
import type { AnyAffineModel } from "../../models/affine.ts";
import { type Execution, scanned } from "../../models/execution.ts";
import { type Dims, sampleInputs } from "../../models/inputs.ts";
import { models } from "../../models/mod.ts";
import { modular } from "../../models/modular.ts";
import { type Element, modelMonoid } from "../../models/run.ts";
import { residueTokens } from "../../oracle/checks/exact.ts";
import { recurrent } from "../../oracle/run.ts";
import { chunked, Counter, foldStream, type Operator, type Stream } from "../../scan/mod.ts";

const WARM = 2 ** 16;
const LONG = 2 ** 20;
const sizes = { K: 2, V: 1, D: 2, N: 1 };
const extent = (T: number): Dims => ({ B: 1, T, H: 1, sizes });
const named = (name: string): AnyAffineModel => models.find((model) => model.name === name)!;
/** One of every action. */
const everyAction = ["linear-attention", "mamba2", "gla", "s4d", "mlstm", "delta-net"];

/** By how many bytes what is held grows between 2^16 and 2^20 tokens. */
export interface Growth {
  /** Pages of the process: with what a GPU's driver holds, and what the heap keeps for later. */
  readonly resident: number;
  /** Objects and array buffers. */
  readonly reachable: number;
  /** Buffers on the GPU. */
  readonly device: number;
}

const collectGarbage = (globalThis as unknown as { gc(): void }).gc;

/** Calls `push`, which takes in `tokens` tokens, up to {@link LONG} of them. */
async function growth(tokens: number, push: () => unknown, gpu?: Gpu): Promise<Growth> {
  const now = (): Growth => {
    collectGarbage();
    const { rss, heapUsed, external } = process.memoryUsage();
    return { resident: rss, reachable: heapUsed + external, device: gpu?.bytes.live ?? 0 };
  };
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

/** A stream of a model's elements over a finite ring, where products neither die out nor overflow. */
function elements(
  name: string,
  open: (op: Operator<Element<number>>) => Stream<Element<number>>,
  visit: (stream: Stream<Element<number>>) => void = () => {},
): () => Promise<Growth> {
  return () => {
    const model = named(name);
    const monoid = modelMonoid(modular(65521), model, sizes);
    const pool = residueTokens(model, sizes, 1024, 1).map((token) => monoid.lift(token));
    const stream = open(monoid);
    return growth(pool.length, () => {
      for (const x of pool) {
        stream.push(x);
        stream.prefix();
        visit(stream);
      }
    });
  };
}

/** A model run block by block, from state to state. */
function blocks(name: string, execution: Execution): () => Promise<Growth> {
  return () => {
    const dims = extent(1024);
    const inputs = sampleInputs(named(name), dims, "random", 1);
    let initialState: ArrayLike<number> = new Float64Array(2);
    return growth(dims.T, async () => {
      initialState = (await execution.run(named(name), dims, inputs, { initialState })).finalState;
    });
  };
}

/** Streams on the GPU. A call is mostly waiting, so they take turns and their tokens come 4096 at once. */
function device(names: readonly string[], leaks: boolean): () => Promise<Growth> {
  return async () => {
    const gpu = await openDevice();
    const dims = extent(4096);
    const streams = await Promise.all(names.map(async (name) => ({
      stream: await openStream(gpu, named(name), dims, { tokens: dims.T }),
      inputs: sampleInputs(named(name), dims, "random", 1),
    })));
    const grown = await growth(dims.T, () =>
      Promise.all(streams.map(({ stream, inputs }) => {
        if (leaks) Object.values(inputs).forEach((values) => gpu.upload(values));
        return stream.push(inputs, dims.T);
      })), gpu);
    await gpu.close();
    return grown;
  };
}

const kept: unknown[] = [];

/** What is streamed, by name; those on the GPU end so, those with a fault begin so. */
export const cases: { readonly [name: string]: () => Promise<Growth> } = {
  ...Object.fromEntries(everyAction.map((name) => [`a fold of ${name}'s elements`, elements(name, foldStream)])),
  "a refolding counter of gla's elements": elements("gla", (op) => new Counter(op, { mode: "refolding" })),
  "a cached counter of gla's elements": elements("gla", (op) => new Counter(op)),
  "gla step by step, in blocks": blocks("gla", recurrent()),
  "gla in chunks, in blocks": blocks("gla", scanned(chunked(64))),
  "one of every action on the GPU": device(everyAction, false),
  "leak: a fold that keeps its prefixes": elements("gla", foldStream, (stream) => kept.push(stream.held())),
  "leak: a stream that keeps its inputs on the GPU": device(["gla"], true),
};

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  console.log(JSON.stringify(await cases[process.argv[2] ?? ""]!()));
}
