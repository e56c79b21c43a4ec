/**
 * Streams on the GPU: token by token they give, bit for bit, the logits of the training form, a whole sequence at once; from a
 * saved state too, and whatever else is in the batch.
 */
import { after, test } from "node:test";
import { assertEquals, assertGreater, assertLessOrEqual, assertNotEquals, assertThrows } from "@std/assert";
import type { Gpu } from "../kernels/gpu.ts";
import { GpuEvaluator } from "../kernels/nn/evaluator.ts";
import type { Ids } from "../kernels/nn/ids.ts";
import type { Value } from "../kernels/nn/value.ts";
import { headOf } from "../models/networks/head.ts";
import { languageModel } from "../models/networks/language_model.ts";
import type { Parameters, TensorOps, TokenNetwork } from "../models/networks/ops.ts";
import { type PsmDecoder, psmDecoder } from "../models/networks/psm_decoder.ts";
import { psmNetwork } from "../models/networks/psm_network.ts";
import { seeded } from "../models/random.ts";
import type { ResumableNetwork } from "../models/networks/resumable.ts";
import { resumableDecoder } from "../models/networks/resumable_decoder.ts";
import type {
  PrefilledStream,
  TokenStream,
  TokenStreamOptions,
  TokenStreamState,
} from "../models/networks/token_stream.ts";
import { gpt2, slidingWindow } from "../models/networks/transformer.ts";
import { gpuForTests } from "./gpu.ts";
import { drawnParameters, tinyPsm, tinyTokens, VOCABULARY } from "./tiny_networks.ts";

const gpu = await gpuForTests("streams of whole networks");
after(() => gpu?.close());

function gpuTest(name: string, body: (device: Gpu) => Promise<void>): void {
  test(name, { skip: gpu === null }, () => body(gpu!));
}

interface Opened {
  readonly evaluator: GpuEvaluator;
  readonly parameters: Parameters<Value>;
}

function opened(device: Gpu, network: TokenNetwork): Opened {
  const evaluator = new GpuEvaluator(device);
  const parameters = Object.fromEntries(
    Object.entries(drawnParameters(network)).map((
      [name, data],
    ) => [name, evaluator.values(data, network.parameters[name]!.shape)]),
  );
  return { evaluator, parameters };
}

/** Logits of every token of every row in the training form, `[B][n][V]`. */
async function whole(
  { evaluator, parameters }: Opened,
  network: TokenNetwork,
  rows: readonly Uint32Array[],
): Promise<Float32Array[][]> {
  const [B, n] = [rows.length, rows[0]!.length];
  const ids = evaluator.ids(rows.flatMap((row) => [...row]), [B, n]);
  const body = (ops: TensorOps<Value, Ids>, _: unknown, [tokens]: readonly Ids[]): readonly Value[] => [
    ops.linear(network.hidden(ops, parameters, tokens!), headOf(network, ops, parameters)),
  ];
  const [logits] = await evaluator.call(`whole ${network.name} ${B}x${n}`, [], [ids], body);
  const all = await evaluator.read(logits!);
  evaluator.free(logits!);
  evaluator.free(ids);
  return rows.map((_, b) => Array.from({ length: n }, (_, t) => row(all, b * n + t)));
}

const V = VOCABULARY;
const row = (all: Float32Array, at: number): Float32Array => all.slice(at * V, (at + 1) * V);
const bits = (x: Float32Array): Uint32Array => new Uint32Array(x.buffer, x.byteOffset, x.length);

type Open = (options?: TokenStreamOptions) => TokenStream;

const json = (state: TokenStreamState): TokenStreamState => JSON.parse(JSON.stringify(state)) as TokenStreamState;

/**
 * Logits of a stream of rows, `[n][B·V]`; before the tokens at splits it is saved and closed, and another one goes on. `alter`
 * may plant a fault in what is saved.
 */
async function streamed(
  open: Open,
  rows: readonly Uint32Array[],
  splits: readonly number[] = [],
  alter = (state: TokenStreamState): TokenStreamState => state,
): Promise<Float32Array[]> {
  const logits: Float32Array[] = [];
  let stream = open({ batch: rows.length });
  for (let t = 0; t < rows[0]!.length; t++) {
    if (splits.includes(t)) {
      const saved = alter(json(await stream.save()));
      stream.close();
      stream = open({ batch: rows.length });
      await stream.restore(saved);
    }
    logits.push(Float32Array.from(await stream.push(rows.map((row) => row[t]!))));
  }
  stream.close();
  return logits;
}

/** Tokens at which not all bits agree. */
function differing(got: readonly Float32Array[], want: readonly Float32Array[]): number[] {
  return got.flatMap((row, t) => {
    const [a, b] = [bits(row), bits(want[t]!)];
    return a.length === b.length && a.every((x, i) => x === b[i]) ? [] : [t];
  });
}

/** The training form gives a token the same bits among fewer tokens, and among other rows. */
async function invariant(
  o: Opened,
  network: TokenNetwork,
  tokens: Uint32Array,
  lengths: readonly number[],
): Promise<Float32Array[]> {
  const [want] = await whole(o, network, [tokens]);
  for (const n of lengths) {
    const [got] = await whole(o, network, [tokens.slice(0, n)]);
    assertEquals(differing(got!, want!), [], `the first ${n} tokens of ${tokens.length}`);
  }
  const n = Math.min(31, tokens.length);
  const rows = [tinyTokens(network, n, 1), tokens.slice(0, n), tinyTokens(network, n, 2)];
  assertEquals(differing((await whole(o, network, rows))[1]!, want!), [], "one row of three");
  return want!;
}

for (const chunk of [1, 2, 4, 8]) {
  gpuTest(
    `tree = counter and cached = whole, bit for bit, at every length and split to 130 in chunks of ${chunk}`,
    async (device) => {
      const network = tinyPsm({ chunk, agg: chunk === 4 ? "causal" : "bidirectional" });
      const o = opened(device, network);
      const open: Open = (options) => psmDecoder(network, o.evaluator, o.parameters, options);
      const tokens = tinyTokens(network, 130);
      const want = await invariant(o, network, tokens, [1, 2, 3, 31, 64, 65]);
      assertEquals(differing(await streamed(open, [tokens], [1, 7, 31, 64, 101]), want), []);
      // Every split: before each token the stream is saved, and another one goes on.
      assertEquals(differing(await streamed(open, [tokens], Array.from(tokens.keys())), want), []);
      o.evaluator.close();
    },
  );
}

gpuTest(
  "a stream of three rows is three streams, and a prefilled one goes on as if it had been given the tokens",
  async (device) => {
    const network = tinyPsm();
    const o = opened(device, network);
    const open = (options?: TokenStreamOptions): PsmDecoder => psmDecoder(network, o.evaluator, o.parameters, options);
    const rows = [0, 1, 2].map((row) => tinyTokens(network, 19, row));
    const alone: Float32Array[][] = [];
    for (const row of rows) alone.push((await whole(o, network, [row]))[0]!);
    const joined = Array.from(rows[0]!, (_, t) => Float32Array.from(alone.flatMap((logits) => [...logits[t]!])));
    assertEquals(differing(await streamed(open, rows, [11]), joined), []);
    const stream = open({ batch: 3 });
    await stream.prefill(rows.flatMap((row) => [...row.slice(0, 15)]));
    for (let t = 15; t < 19; t++) {
      assertEquals(differing([Float32Array.from(await stream.push(rows.map((row) => row[t]!)))], [joined[t]!]), []);
    }
    stream.close();
    o.evaluator.close();
  },
);

gpuTest("seeded lengths to 4096: the stream's next logits are the whole's", async (device) => {
  const network = tinyPsm({ d: 4, heads: 1, chunk: 16 });
  const o = opened(device, network);
  const tokens = tinyTokens(network, 4096);
  const [want] = await whole(o, network, [tokens]);
  const random = seeded(9, "lengths");
  const stream = psmDecoder(network, o.evaluator, o.parameters);
  for (const n of [512, 1022, 4094, ...Array.from({ length: 3 }, () => Math.floor(4000 * random()))]) {
    await stream.prefill(tokens.slice(0, n));
    for (let t = n; t < n + 2; t++) {
      assertEquals(differing([Float32Array.from(await stream.push([tokens[t]!]))], [want![t]!]), [], `token ${t}`);
    }
    stream.close();
  }
  o.evaluator.close();
});

gpuTest("after the first chunk a stream records nothing", async (device) => {
  const network = tinyPsm({ chunk: 4 });
  const o = opened(device, network);
  const stream = psmDecoder(network, o.evaluator, o.parameters);
  const programs: number[] = [];
  for (const token of tinyTokens(network, 40)) {
    await stream.push([token]);
    programs.push(o.evaluator.programs);
  }
  // A token; and at the end of the chunk its summary, a combine, and a seed.
  assertEquals(programs, [1, 1, 1, ...Array.from({ length: 37 }, () => 4)]);
  stream.close();
  o.evaluator.close();
});

gpuTest("planted faults are seen: operands exchanged, and one bit of a saved summary", async (device) => {
  const network = tinyPsm();
  const faulty = psmNetwork({
    ...network,
    agg: { ...network.agg, combine: (ops, p, a, b) => network.agg.combine(ops, p, b, a) },
  });
  const o = opened(device, network);
  const tokens = tinyTokens(network, 10);
  const [want] = await whole(o, network, [tokens]);
  const exchanged = await streamed((options) => psmDecoder(faulty, o.evaluator, o.parameters, options), [tokens]);
  // The third chunk is the first whose prefix is made of two.
  assertEquals(differing(exchanged, want!), [4, 5, 6, 7, 8, 9]);
  const ulp = (state: TokenStreamState): TokenStreamState => {
    const root = state.arrays["root.1"]!;
    const data = Float32Array.from(root.data);
    new Uint32Array(data.buffer)[0]! ^= 1 << 4;
    return { ...state, arrays: { ...state.arrays, "root.1": { ...root, data: [...data] } } };
  };
  const open: Open = (options) => psmDecoder(network, o.evaluator, o.parameters, options);
  assertNotEquals(differing(await streamed(open, [tokens], [4], ulp), want!), []);
  o.evaluator.close();
});

const stack = { vocabulary: V, d: 8, heads: 2, layers: 2, hidden: 16 };
const layer = (name: string): ResumableNetwork => languageModel({ ...stack, layer: name, stateSize: 4, longest: 64 });
const WINDOW = 5;

/** Decoders whose stream is the training form to the last bit. */
const exact: readonly ResumableNetwork[] = [
  gpt2({ ...stack, context: 40 }),
  slidingWindow({ ...stack, window: WINDOW }),
  layer("mamba"),
  layer("delta-net"),
];
for (const network of exact) {
  gpuTest(`${network.name} streams bit for bit as it is computed whole`, async (device) => {
    const o = opened(device, network);
    const open: Open = (options) => resumableDecoder(network, o.evaluator, o.parameters, options);
    const tokens = tinyTokens(network, 37);
    const want = await invariant(o, network, tokens, [1, 31]);
    const got = await streamed(open, [tokens], [7, 33]);
    assertEquals(differing(got, want), []);
    o.evaluator.close();
  });
}

const tiedPsm = tinyPsm({ tied: true });
const tiedGpt2 = gpt2({ ...stack, context: 40, tied: true });
/** With the programs of ten tokens: the head; a token; and of chunks their summary, a combine and a seed. */
const tied: readonly (readonly [TokenNetwork, open: (o: Opened) => Open, programs: number])[] = [
  [tiedPsm, ({ evaluator, parameters }) => (options) => psmDecoder(tiedPsm, evaluator, parameters, options), 5],
  [tiedGpt2, ({ evaluator, parameters }) => (options) => resumableDecoder(tiedGpt2, evaluator, parameters, options), 2],
];
for (const [network, open, programs] of tied) {
  gpuTest(`a tied ${network.name} streams bit for bit as it is computed whole, and frees its head`, async (device) => {
    const o = opened(device, network);
    const tokens = tinyTokens(network, 10);
    const want = await invariant(o, network, tokens, [1, 7]);
    const [live, recorded] = [o.evaluator.liveBytes, o.evaluator.programs];
    assertEquals(differing(await streamed(open(o), [tokens], [3, 8]), want), []);
    assertEquals([o.evaluator.liveBytes - live, o.evaluator.programs - recorded], [0, programs]);
    o.evaluator.close();
  });
}

/** Networks whose caches grow, programs for 140 tokens, and bytes of what is kept of them. */
const growing: readonly (readonly [what: string, ResumableNetwork, programs: number, bytes: number])[] = [
  // Room for 64, 128 and 256 tokens; doubled twice.
  ["gpt2", gpt2({ ...stack, layers: 1, context: 140 }), 3 + 2, 2 * 4 * 8 * 256],
  // Room for 64, and 128, in which a window of 70 goes round.
  ["a window of 70", slidingWindow({ ...stack, layers: 1, window: 70 }), 2 + 1, 2 * 4 * 8 * 128],
];
for (const [what, network, programs, bytes] of growing) {
  gpuTest(`two streams of ${what} by turns, whose caches grow, are the whole bit for bit`, async (device) => {
    const o = opened(device, network);
    const rows = [0, 1].map((row) => tinyTokens(network, 140, row));
    const want: Float32Array[][] = [];
    for (const row of rows) want.push((await whole(o, network, [row]))[0]!);
    const [live, recorded] = [o.evaluator.liveBytes, o.evaluator.programs];
    const open = (): PrefilledStream => resumableDecoder(network, o.evaluator, o.parameters);
    const [first, second] = [open(), open()];
    const streams = [first, second];
    const got: Float32Array[][] = [[], []];
    const bytesAt = new Map<number, number>();
    for (let t = 0; t < 140; t++) {
      // The second begins later, and so takes turns in one program, and then in two.
      for (const i of t < 30 ? [0] : t < 130 ? [0, 1] : [0]) {
        got[i]!.push(Float32Array.from(await streams[i]!.push([rows[i]![got[i]!.length]!])));
      }
      bytesAt.set(t, device.bytes.live);
      if (t === 115) {
        const saved = json(await second.save());
        second.close();
        await second.restore(saved);
      }
    }
    got.forEach((logits, i) => assertEquals(differing(logits, want[i]!), []));
    assertEquals(o.evaluator.programs - recorded, programs);
    // Both have room for 128 tokens from here to there.
    assertEquals(bytesAt.get(126), bytesAt.get(97));
    second.close();
    assertEquals(o.evaluator.liveBytes - live, bytes);
    first.close();
    await first.prefill(rows[0]!.slice(0, 139));
    assertEquals(differing([Float32Array.from(await first.push([rows[0]![139]!]))], [want[0]![139]!]), []);
    first.close();
    assertEquals(o.evaluator.liveBytes, live);
    o.evaluator.close();
  });
}

/** Roundings of a sum taken in another order: some 2^10 on the longest way, of 2^−24 each, of the largest logit. */
const BOUND = 2 ** -14;

/** The same logits but for rounding, and the same predictions wherever that cannot decide. */
function near(got: readonly Float32Array[], want: readonly Float32Array[]): void {
  const size = Math.max(...want.map((row) => Math.max(...row.map(Math.abs))));
  const error = Math.max(...got.map((row, t) => Math.max(...row.map((x, i) => Math.abs(x - want[t]![i]!)))));
  assertLessOrEqual(error, BOUND * size);
  let decided = 0;
  got.forEach((row, t) => {
    const [best, second] = [...want[t]!].sort((a, b) => b - a);
    if (!(best! - second! > 2 * error)) return;
    decided++;
    assertEquals(row.indexOf(Math.max(...row)), want[t]!.indexOf(best!), `token ${t}`);
  });
  assertGreater(decided, 0.9 * got.length);
}

/** Layers that are computed in chunks or levels when whole, and token by token when streamed. */
for (const name of ["gla", "mlstm", "log-linear-attention"]) {
  gpuTest(`${name} streams as it is computed whole but for rounding, and a fault shows`, async (device) => {
    const network = layer(name);
    const o = opened(device, network);
    const open: Open = (options) => resumableDecoder(network, o.evaluator, o.parameters, options);
    const tokens = tinyTokens(network, 37);
    const want = await invariant(o, network, tokens, [1, 31]);
    near(await streamed(open, [tokens], [7, 20]), want);
    const off = (state: TokenStreamState): TokenStreamState => ({
      ...state,
      arrays: Object.fromEntries(
        Object.entries(state.arrays).map(([key, { shape, data }]) => [key, { shape, data: data.map((x) => 1.25 * x) }]),
      ),
    });
    const faulty = await streamed(open, [tokens.slice(0, 24)], [20], off);
    assertThrows(() => near(faulty, want.slice(0, 24)));
    o.evaluator.close();
  });
}
