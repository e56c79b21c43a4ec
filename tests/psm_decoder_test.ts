/**
 * Streams of networks: token by token they are, bit for bit, the whole; from any split, saved and restored, too.
 */
import { test } from "node:test";
import { assert, assertEquals, assertLessOrEqual, assertNotEquals, assertRejects } from "@std/assert";
import { decayAggregator } from "../models/networks/decay_aggregator.ts";
import { InputError } from "../models/error.ts";
import { headOf } from "../models/networks/head.ts";
import { languageModel } from "../models/networks/language_model.ts";
import { f64 } from "../models/number.ts";
import type { TokenNetwork } from "../models/networks/ops.ts";
import { initialParameters } from "../models/networks/parameters.ts";
import { psmDecoder } from "../models/networks/psm_decoder.ts";
import { psmNetwork } from "../models/networks/psm_network.ts";
import type { ChunkDecoder, PsmNetwork } from "../models/networks/psm_parts.ts";
import { seeded } from "../models/random.ts";
import type { ResumableNetwork } from "../models/networks/resumable.ts";
import { resumableDecoder } from "../models/networks/resumable_decoder.ts";
import type { TokenStream, TokenStreamState } from "../models/networks/token_stream.ts";
import { gpt2, slidingWindow } from "../models/networks/transformer.ts";
import { transformerPsm, type TransformerPsmOptions } from "../models/networks/transformer_psm.ts";
import { type ArrayEvaluator, arrayEvaluator } from "../oracle/array_evaluator.ts";
import { arrayOps } from "../oracle/array_ops.ts";
import { arrayOf, type NdArray } from "../oracle/nd_array.ts";
import { blellochPrefill } from "../scan/blelloch.ts";
import { Counter } from "../scan/counter.ts";
import { PlannedCounter } from "../scan/planned_counter.ts";
import { STRINGS, TERMS } from "./scan_terms.ts";

const ops = arrayOps(f64);
const V = 7;

function tiny(changes: Partial<TransformerPsmOptions> = {}): PsmNetwork {
  return transformerPsm({ vocabulary: V, d: 4, heads: 2, chunk: 2, aggLayers: 1, infLayers: 2, ...changes });
}

/** Numbers by name, away from where parameters begin. */
function drawn({ parameters }: TokenNetwork): { readonly [name: string]: Float32Array } {
  return Object.fromEntries(
    Object.entries(initialParameters(parameters, 1)).map(([name, array]) => {
      const random = seeded(1, "shift", name);
      return [name, array.map((x) => 8 * x + 0.5 * random())];
    }),
  );
}

const tokensOf = (n: number, row = 0): number[] => {
  const random = seeded(5, "tokens", row);
  return Array.from({ length: n }, () => Math.floor(V * random()));
};

/** Logits of every token of every row, `[n][B·V]`, by the network as a whole. */
function wholeLogits(network: TokenNetwork, rows: readonly (readonly number[])[]): number[][] {
  const [B, n] = [rows.length, rows[0]!.length];
  const p = Object.fromEntries(
    Object.entries(drawn(network)).map(([name, data]) => [name, arrayOf(data, network.parameters[name]!.shape)]),
  );
  const { data } = ops.linear(network.hidden(ops, p, arrayOf(rows.flat(), [B, n])), headOf(network, ops, p));
  return Array.from({ length: n }, (_, t) => rows.flatMap((_, b) => data.slice((b * n + t) * V, (b * n + t + 1) * V)));
}

type Loaded = { readonly [name: string]: NdArray<number> };

function opened<S extends TokenStream>(
  network: TokenNetwork,
  open: (evaluator: ArrayEvaluator, parameters: Loaded) => S,
): { readonly evaluator: ArrayEvaluator; readonly stream: S; readonly own: number; readonly parameters: Loaded } {
  const evaluator = arrayEvaluator();
  const parameters = loaded(network, evaluator);
  return { evaluator, stream: open(evaluator, parameters), own: evaluator.live, parameters };
}

function loaded(network: TokenNetwork, evaluator: ArrayEvaluator): Loaded {
  return Object.fromEntries(
    Object.entries(drawn(network)).map((
      [name, data],
    ) => [name, evaluator.values(data, network.parameters[name]!.shape)]),
  );
}

const json = (state: TokenStreamState): TokenStreamState => JSON.parse(JSON.stringify(state)) as TokenStreamState;

test("the planned counter is the counter, term by term, for every length to 1024", async () => {
  const synchronous = new Counter(TERMS);
  const planned = new PlannedCounter<number>({ combine: (a, b) => Promise.resolve(TERMS.combine(a, b)) });
  for (let i = 0; i < 1024; i++) {
    assertEquals(await planned.prefix(), synchronous.prefix());
    synchronous.push(i);
    await planned.push(i);
    assertEquals(planned.save(), synchronous.save());
  }
});

test("the planned counter releases everything once, and survives a combine that fails", async () => {
  let made = 0;
  let failing = false;
  const live = new Set<object>();
  const element = (): object => {
    made++;
    const x = {};
    live.add(x);
    return x;
  };
  const counter = new PlannedCounter<object>({
    combine: (a, b) => {
      assert(live.has(a) && live.has(b), "an operand was released");
      if (failing && made % 3 === 0) return Promise.reject(new Error("planted"));
      return Promise.resolve(element());
    },
    release: (x) => assert(live.delete(x), "released twice"),
  });
  for (let i = 0; i < 300; i++) {
    const before = counter.save();
    failing = true;
    const x = element();
    await counter.push(x).then(() => counter.prefix()).catch(async () => {
      failing = false;
      if (counter.size === i) {
        assertEquals(counter.save(), before);
        await counter.push(x);
      }
      await counter.prefix();
    });
    assertEquals([...live].length, counter.held().length, `after ${i + 1}`);
  }
  counter.restore({ count: 0, roots: [] });
  assertEquals(live.size, 0);
  await counter.push(element());
  await assertRejects(
    () => Promise.all([counter.push(element()), counter.push(element())]),
    RangeError,
    "its last call must have settled",
  );
});

for (const chunk of [1, 2, 4, 8]) {
  test(`tree = counter and cached = whole, bit for bit, at every length and split to 130 in chunks of ${chunk}`, async () => {
    const network = tiny({ chunk, infLayers: chunk === 8 ? 2 : 1, agg: chunk === 4 ? "causal" : "bidirectional" });
    const tokens = tokensOf(133);
    const want = wholeLogits(network, [tokens]);
    // The whole of a shorter sequence is that of the longer one, cut off.
    for (let n = 1; n <= 130; n++) {
      assertEquals(wholeLogits(network, [tokens.slice(0, n)]), want.slice(0, n), `length ${n}`);
    }
    const { evaluator, stream, own, parameters } = opened(network, (e, p) => psmDecoder(network, e, p));
    const other = psmDecoder(network, evaluator, parameters);
    for (let split = 0; split <= 130; split++) {
      const saved = await stream.save();
      await other.restore(json(saved));
      assertEquals(other.size, split);
      for (let t = split; t < split + 3; t++) {
        assertEquals([...(await other.push([tokens[t]!]))], want[t]!, `${split}, ${t}`);
      }
      other.close();
      assertLessOrEqual(stream.held, 2 * Math.ceil(Math.log2(Math.floor(split / chunk) + 1)));
      assertEquals([...(await stream.push([tokens[split]!]))], want[split]!);
    }
    stream.close();
    assertEquals(evaluator.live, own);
  });
}

test("a prefilled stream goes on as one that was given the tokens one by one", async () => {
  const network = tiny({ chunk: 3 });
  const rows = [tokensOf(50), tokensOf(50, 1)];
  const want = wholeLogits(network, rows);
  const { evaluator, stream } = opened(network, (e, p) => psmDecoder(network, e, p, { batch: 2 }));
  for (const n of [0, 1, 2, 3, 4, 21, 22, 24, 36, 47]) {
    const live = evaluator.live;
    await stream.prefill(rows.flatMap((row) => row.slice(0, n)));
    assertEquals(stream.size, n);
    for (let t = n; t < n + 3; t++) assertEquals([...(await stream.push(rows.map((row) => row[t]!)))], want[t]!);
    await assertRejects(() => stream.prefill([0, 0]), InputError, "the stream must be at its beginning");
    stream.close();
    assertEquals(evaluator.live, live);
  }
});

test("an associative aggregator and a batch stream as they are computed whole", async () => {
  const network = tiny({ chunk: 2, agg: decayAggregator({ d: 4 }) });
  const rows = [tokensOf(21), tokensOf(21, 1)];
  const want = wholeLogits(network, rows);
  const { stream } = opened(network, (e, p) => psmDecoder(network, e, p, { batch: 2 }));
  for (let t = 0; t < 21; t++) assertEquals([...(await stream.push(rows.map((row) => row[t]!)))], want[t]!);
});

test("Inf runs over a prefix once per chunk: each body is one key, and Agg is called as often as a counter combines", async () => {
  const chunk = 4;
  const network = tiny({ chunk });
  const { evaluator, stream } = opened(network, (e, p) => psmDecoder(network, e, p));
  const n = 4 * 64;
  for (const token of tokensOf(n)) await stream.push([token]);
  const calls = [...evaluator.calls].map(([key, count]) => [key.replace(/^[^:]*: /, ""), count] as const);
  const of = (name: string): number =>
    calls.filter(([key]) => key.startsWith(name)).reduce((sum, [, count]) => sum + count, 0);
  assertEquals([of("seed"), of("token"), of("summary")], [63, n, 64]);
  // The seed, a token at any place, the summary, the combine.
  assertEquals(evaluator.calls.size, 4);
  let combines = 0;
  const counter = new Counter<number>({ combine: () => combines++ });
  for (let i = 0; i < 64; i++) {
    counter.prefix();
    counter.push(0);
  }
  assertEquals(of("combine"), combines);
});

/** The decoder without caches that have room: what it keeps grows with the chunk. */
function growing({ parameters, whole, seed, append }: ChunkDecoder): ChunkDecoder {
  return { parameters, whole, seed, append };
}

/** Faults that a stream can have, and the first token at which each must show, in chunks of 2. */
const faults: readonly (readonly [string, (network: PsmNetwork) => Partial<PsmNetwork>, number])[] = [
  ["swaps the operands of its combines", ({ agg }) => ({
    agg: { ...agg, combine: (o, p, a, b) => agg.combine(o, p, b, a) },
  }), 4],
  ["forgets the prefix", ({ inf }) => ({
    inf: { ...inf, seed: (o, p, prefix) => inf.seed(o, p, prefix).map((x) => o.affine(x, 0)) },
  }), 2],
  ["forgets the token before", ({ inf, inf: { cached } }) => ({
    inf: {
      ...inf,
      cached: {
        ...cached!,
        next: (o, p, caches, count, x) => cached!.next(o, p, caches.map((rows) => o.affine(rows, 0)), count, x),
      },
    },
  }), 1],
  ["forgets the places of tokens", ({ enc }) => ({ enc: { ...enc, placeAt: (_o, _p, x) => x } }), 0],
  ["forgets the prefix it appends to", ({ inf }) => ({ inf: { ...growing(inf), seed: () => [] } }), 2],
  ["appends to nothing", ({ inf }) => ({
    inf: { ...growing(inf), append: (o, p, _, x) => inf.append(o, p, [], x) },
  }), 1],
  ["forgets the places of what it appends", ({ inf, enc }) => ({
    inf: growing(inf),
    enc: { ...enc, place: (_o, _p, x) => x },
  }), 0],
];
for (const [fault, changes, first] of faults) {
  test(`a stream that ${fault} is another one`, async () => {
    const network = tiny();
    const faulty = psmNetwork({ ...network, ...changes(network) });
    const tokens = [0, 1, 2, 3, 4, 5];
    const want = wholeLogits(network, [tokens]);
    const { stream } = opened(faulty, (e, p) => psmDecoder(faulty, e, p));
    for (let t = 0; t <= first; t++) {
      const got = [...(await stream.push([tokens[t]!]))];
      if (t < first) assertEquals(got, want[t]!);
      else assertNotEquals(got, want[t]!);
    }
  });
}

test("seeded lengths to 4096: the stream's last logits are the whole's", async () => {
  const network = tiny({ d: 1, heads: 1, chunk: 16, infLayers: 1 });
  const tokens = tokensOf(4096);
  const want = wholeLogits(network, [tokens]);
  const { stream } = opened(network, (e, p) => psmDecoder(network, e, p));
  const random = seeded(9, "lengths");
  for (const n of [...Array.from({ length: 5 }, () => Math.floor(4000 * random())), 2048, 4090]) {
    await stream.prefill(tokens.slice(0, n));
    for (let t = n; t < n + 5; t++) assertEquals([...(await stream.push([tokens[t]!]))], want[t]!, `length ${t}`);
    stream.close();
  }
});

/** Networks that read on from a state. */
const resumables: readonly (readonly [what: string, ResumableNetwork])[] = [
  ["gpt2", gpt2({ vocabulary: V, d: 4, heads: 2, layers: 2, context: 40 })],
  ["a window of 5", slidingWindow({ vocabulary: V, d: 4, heads: 2, layers: 2, window: 5 })],
  ["a window of 1", slidingWindow({ vocabulary: V, d: 4, heads: 1, layers: 1, window: 1 })],
];
for (const [what, network] of resumables) {
  test(`${what} streams as it is computed whole, from every split, as one text`, async () => {
    const rows = [tokensOf(40), tokensOf(40, 1)];
    const want = wholeLogits(network, rows);
    const { evaluator, stream, own, parameters } = opened(
      network,
      (e, p) => resumableDecoder(network, e, p, { batch: 2 }),
    );
    const other = resumableDecoder(network, evaluator, parameters, { batch: 2 });
    for (let t = 0; t < 40; t++) {
      await other.restore(json(await stream.save()));
      const next = rows.map((row) => row[t]!);
      assertEquals([...(await other.push(next))], want[t]!);
      if (t < 39) assertEquals([...(await other.push(rows.map((row) => row[t + 1]!)))], want[t + 1]!);
      assertEquals([...(await stream.push(next))], want[t]!);
    }
    const keys = evaluator.calls.size;
    for (const n of [1, 3, 17, 39]) {
      other.close();
      await other.prefill(rows.flatMap((row) => row.slice(0, n)));
      assertEquals([...(await other.push(rows.map((row) => row[n]!)))], want[n]!);
    }
    stream.close();
    other.close();
    assertEquals(evaluator.live, own);
    assertEquals(keys, 1);
  });
}

/** Networks whose caches grow from 64 to 256 tokens; or to 128, in which a window of 70 then goes round. */
const grown: readonly (readonly [what: string, ResumableNetwork])[] = [
  ["gpt2", gpt2({ vocabulary: V, d: 2, heads: 1, layers: 2, context: 270 })],
  ["a window of 70", slidingWindow({ vocabulary: V, d: 2, heads: 1, layers: 2, window: 70 })],
];
for (const [what, network] of grown) {
  test(`${what} streams on when its cache has grown, from a saved state and from a prefix too`, async () => {
    const tokens = tokensOf(270);
    const want = wholeLogits(network, [tokens]);
    const { evaluator, stream, own, parameters } = opened(network, (e, p) => resumableDecoder(network, e, p));
    const other = resumableDecoder(network, evaluator, parameters);
    for (let t = 0; t < 270; t++) {
      if ([1, 63, 64, 65, 69, 70, 127, 128, 129, 200, 256].includes(t)) {
        const saved = json(await stream.save());
        // What is saved is the state itself: no room, no turns of the ring.
        const rows = Math.min(t, what === "gpt2" ? t : 69);
        assertEquals(Object.values(saved.arrays).map(({ shape }) => shape), Array(4).fill([1, rows, 2]));
        for (const begin of [() => other.restore(saved), () => other.prefill(tokens.slice(0, t))]) {
          other.close();
          await begin();
          assertEquals(await other.save(), saved);
          for (let at = t; at < t + 3; at++) {
            assertEquals([...(await other.push([tokens[at]!]))], want[at]!, `${t}, ${at}`);
          }
        }
      }
      assertEquals([...(await stream.push([tokens[t]!]))], want[t]!, `token ${t}`);
    }
    // A text for every room, one to double each, and a prefix for every length.
    const steps = [...evaluator.calls.keys()].filter((key) => !key.includes("prefill"));
    assertEquals(steps.length, what === "gpt2" ? 4 + 3 : 2 + 1);
    stream.close();
    other.close();
    assertEquals(evaluator.live, own);
  });
}

test("two streams of one network with other parameters share nothing on an evaluator", async () => {
  const network = tiny();
  const { evaluator, stream, parameters } = opened(network, (e, p) => psmDecoder(network, e, p));
  const scaled = Object.fromEntries(
    Object.entries(parameters).map((
      [name, { data, shape }],
    ) => [name, evaluator.values(data.map((x) => 2 * x), shape)]),
  );
  const other = psmDecoder(network, evaluator, scaled);
  const want = wholeLogits(network, [[1, 2, 3, 4, 5]]);
  for (let t = 0; t < 5; t++) {
    assertNotEquals([...(await other.push([t + 1]))], want[t]!);
    assertEquals([...(await stream.push([t + 1]))], want[t]!);
  }
});

test("unusable tokens and states are refused in one line, and nothing has changed", async () => {
  const network = tiny();
  const { stream } = opened(network, (e, p) => psmDecoder(network, e, p));
  for (const token of [1, 2, 3]) await stream.push([token]);
  const saved = await stream.save();
  const cases: readonly (readonly [() => Promise<unknown>, string])[] = [
    [() => stream.push([V]), `a push takes 1 ids < ${V}, got ${V}`],
    [() => stream.push([]), "got none"],
    [() => stream.restore({ ...saved, size: 4 }), "Cannot restore t-psm: 4 tokens in chunks of 2 leave root.1"],
    [() => stream.restore({ ...saved, pending: [] }), "1 tokens pending, got root.0 and 0"],
    [() => stream.restore({ ...saved, arrays: {} }), "got no arrays"],
  ];
  for (const [body, message] of cases) await assertRejects(body, InputError, message);
  assertEquals(await stream.save(), saved);
  const short = gpt2({ vocabulary: V, d: 2, heads: 1, layers: 1, context: 1 });
  const { stream: full } = opened(short, (e, p) => resumableDecoder(short, e, p));
  await full.push([0]);
  await assertRejects(() => full.push([0]), InputError, "its context has 1 positions");
  await assertRejects(() => full.restore(saved), InputError, "Cannot restore gpt2");
  const one = await full.save();
  await assertRejects(() => full.restore({ ...one, arrays: {} }), InputError, "Cannot restore gpt2");
  await assertRejects(() => full.restore({ ...one, size: 0 }), InputError, "Cannot restore gpt2");
  await assertRejects(() => full.prefill([0]), InputError, "Cannot prefill gpt2: the stream must be at its beginning");
  full.close();
  await assertRejects(() => full.prefill([0, 0]), InputError, "its context has 1 positions, got 2 tokens");
  await assertRejects(() => full.prefill([9]), InputError, "tokens must be ids < 7, got 9");
});

test("blelloch's prefill and a counter name the same roots", () => {
  // What psm_decoder.ts relies on: the roots and folds of r chunks follow from r.
  for (let r = 1; r <= 130; r++) {
    const { state } = blellochPrefill(STRINGS, Array.from({ length: r }, (_, i) => `${i % 10}`));
    const levels = [...r.toString(2)].flatMap((bit, i, bits) => bit === "1" ? [bits.length - 1 - i] : []);
    assertEquals(state.roots.map(({ level }) => level), levels);
    assertEquals(state.folds!.length, levels.length - 1);
  }
});

const small = { vocabulary: V, d: 4, heads: 2, layers: 1, tied: true };
/** Networks whose head is their table of tokens, transposed. */
const tied: readonly (readonly [what: string, PsmNetwork | ResumableNetwork])[] = [
  ["t-psm in chunks of 1", tiny({ tied: true, chunk: 1 })],
  ["t-psm in chunks of 2", tiny({ tied: true })],
  ["gpt2", gpt2({ ...small, context: 12 })],
  ["window of 3", slidingWindow({ ...small, window: 3 })],
  ["gla", languageModel({ ...small, layer: "gla", stateSize: 3 })],
];
for (const [what, network] of tied) {
  test(`a tied ${what} streams as it is computed whole, and makes its head once a stream`, async () => {
    const rows = [tokensOf(12), tokensOf(12, 1)];
    const want = wholeLogits(network, rows);
    const { evaluator, stream, own } = opened(
      network,
      (e, p) =>
        "agg" in network
          ? psmDecoder(network, e, p, { batch: 2 })
          : resumableDecoder(network as ResumableNetwork, e, p, { batch: 2 }),
    );
    const made = (): number => [...evaluator.calls].find(([key]) => key.includes(": head "))?.[1] ?? 0;
    for (const streams of [1, 2]) {
      for (let t = 0; t < 12; t++) {
        assertEquals([...(await stream.push(rows.map((row) => row[t]!)))], want[t]!);
        if (t === 6) await stream.restore(json(await stream.save()));
      }
      stream.close();
      assertEquals([evaluator.live, made()], [own, streams]);
    }
  });
}
