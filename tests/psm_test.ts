/**
 * Prefix-scannable models: both drivers are the definition, for any aggregator, length, chunk size and split; and every
 * fault a model can have turns `checkPsm` red.
 */
import { test } from "node:test";
import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { parallel, type Psm, type PsmState, stream } from "../models/psm.ts";
import { InputError } from "../models/error.ts";
import { checkPsm, expectedPsmRows, type PsmOptions, sameValue } from "../oracle/psm.ts";
import { referencePrefixes, STRINGS } from "./scan_terms.ts";

/** The free magma: every output is the text of its own computation. */
function terms(chunk: number, changes: Partial<Psm<string, string, string>> = {}): Psm<string, string, string> {
  return {
    name: "terms",
    chunk,
    enc: (tokens) => `<${tokens.join("")}>`,
    agg: (earlier, later) => `(${earlier}${later})`,
    inf: (prefix, tokens) => tokens.map((_, i) => `${prefix ?? "e"}|${tokens.slice(0, i + 1).join("")}`),
    ...changes,
  };
}

/** The same, one token at a time inside a chunk. */
function opened(prefix: string | undefined): (token: string) => string {
  let text = `${prefix ?? "e"}|`;
  return (token) => text += token;
}

const letters = (n: number): string[] => Array.from({ length: n }, (_, i) => String.fromCharCode(97 + i % 26));
const options: PsmOptions<string, string> = { token: (_, i) => letters(i + 1)[i]! };

/** From the reference tree of the scan's tests, which shares nothing with models/ or oracle/. */
function reference(chunk: number, tokens: readonly string[]): string[] {
  const model = terms(chunk);
  const chunks = Array.from(
    { length: Math.ceil(tokens.length / chunk) },
    (_, i) => tokens.slice(i * chunk, (i + 1) * chunk),
  );
  const whole = chunks.filter(({ length }) => length === chunk).map((tokens) => model.enc(tokens));
  const prefixes = referencePrefixes(STRINGS, whole);
  return chunks.flatMap((tokens, i) => model.inf(prefixes[i], tokens));
}

for (const chunk of [1, 2, 3, 7]) {
  test(`both drivers equal the reference tree for every length in chunks of ${chunk}`, () => {
    for (let n = 0; n <= 70; n++) {
      const tokens = letters(n);
      const want = reference(chunk, tokens);
      const run = parallel(terms(chunk), tokens);
      assertEquals(run.outputs, want);
      for (const model of [terms(chunk), terms(chunk, { open: opened })]) {
        const running = stream(model);
        assertEquals(tokens.map((token) => running.push(token)), want);
        assertEquals(running.size, n);
        assertEquals(running.save(), run.state);
      }
    }
  });

  test(`a stream goes on from any split of any driver in chunks of ${chunk}`, () => {
    const n = 9 * chunk + 1;
    const tokens = letters(n);
    const want = reference(chunk, tokens);
    for (let split = 0; split <= n; split++) {
      const refolding = stream(terms(chunk), { mode: "refolding" });
      for (const token of tokens.slice(0, split)) refolding.push(token);
      for (const state of [parallel(terms(chunk), tokens.slice(0, split)).state, refolding.save()]) {
        for (const mode of ["cached", "refolding"] as const) {
          const running = stream(terms(chunk, split % 2 === 0 ? {} : { open: opened }), { mode });
          running.restore(JSON.parse(JSON.stringify(state)) as PsmState<string, string>);
          assertEquals(tokens.slice(split).map((token) => running.push(token)), want.slice(split));
        }
      }
    }
  });
}

test("the tree hands whole levels to aggLevel, and calls agg for no pair of them", () => {
  let calls = 0;
  const model = terms(2, {
    aggLevel(earlier, later) {
      calls++;
      return earlier.map((x, i) => `(${x}${later[i]})`);
    },
  });
  assertEquals(parallel(model, letters(257)).outputs, reference(2, letters(257)));
  assert(calls <= 14, `${calls} calls for 128 chunks`);
});

test("an aggregator's identity is a flag: agg never sees nothing", () => {
  const seen: unknown[] = [];
  const agg = (earlier: string, later: string): string => {
    seen.push(earlier, later);
    return earlier + later;
  };
  parallel(terms(2, { agg }), letters(33));
  const running = stream(terms(2, { agg }));
  for (const token of letters(33)) running.push(token);
  assert(seen.length > 0 && seen.every((x) => typeof x === "string"));
});

test("roots are exposed, and a saved state does not change with later tokens", () => {
  const running = stream(terms(1));
  for (const token of letters(6)) running.push(token);
  assertEquals(running.roots(), [{ level: 2, value: "((<a><b>)(<c><d>))" }, { level: 1, value: "(<e><f>)" }]);
  const saved = running.save();
  const copy = structuredClone(saved);
  running.push("g");
  assertEquals(saved, copy);
});

test("a push that throws leaves the stream as it was", () => {
  for (const broken of ["enc", "inf", "open", "agg"] as const) {
    for (let at = 0; at < 12; at++) {
      let armed = false;
      const fail = <A extends unknown[], R>(name: string, f: (...args: A) => R) => (...args: A): R => {
        if (armed && name === broken) throw new Error("planted");
        return f(...args);
      };
      const plain = terms(3);
      const model: Psm<string, string, string> = {
        ...plain,
        enc: fail("enc", plain.enc),
        agg: fail("agg", plain.agg),
        inf: fail("inf", plain.inf),
        ...(broken === "open"
          ? {
            open: (prefix): (token: string) => string => {
              const next = opened(prefix);
              return (token) => fail("open", next)(token);
            },
          }
          : {}),
      };
      const running = stream(model);
      const tokens = letters(14);
      const outputs = tokens.map((token, i) => {
        if (i === at) {
          armed = true;
          // Not every token needs every function.
          try {
            const output = running.push(token);
            armed = false;
            return output;
          } catch {
            armed = false;
          }
        }
        return running.push(token);
      });
      assertEquals(outputs, reference(3, tokens));
    }
  }
});

test("checkPsm passes a model, and its rows are all there", async () => {
  for (const chunk of [1, 2, 5]) {
    for (const model of [terms(chunk), terms(chunk, { open: opened })]) {
      const report = await checkPsm(model, options);
      assertEquals(report.rows.filter(({ ok }) => !ok), []);
      assertEquals(report.rows.length, expectedPsmRows(model, options));
      assert(report.ok);
    }
  }
});

test("checkPsm passes a commutative aggregator and says what it is blind to", async () => {
  const sums: Psm<number, number, number> = {
    name: "sums",
    chunk: 2,
    enc: (tokens) => tokens.reduce((sum, x) => sum + x, 0),
    agg: (earlier, later) => earlier + later,
    inf: (prefix, tokens) => tokens.map((_, i) => tokens.slice(0, i + 1).reduce((sum, x) => sum + x, prefix ?? 0)),
  };
  const report = await checkPsm(sums, { token: (random) => Math.floor(100 * random()) });
  assert(report.ok);
  const blind = report.rows.filter(({ detail }) => detail?.startsWith("makes no difference"));
  assertEquals(blind.map(({ execution }) => execution), ["stream with swapped-operands"]);
});

const faults: readonly (readonly [string, Psm<string, string, string>, string])[] = [
  [
    "inf that sees later tokens of its chunk",
    terms(3, { inf: (prefix, tokens) => tokens.map(() => `${prefix}|${tokens.join("")}`) }),
    "inf, causal in a chunk",
  ],
  [
    "open that forgets the prefix",
    terms(3, { open: () => opened(undefined) }),
    "open against inf",
  ],
  [
    "aggLevel with swapped operands",
    terms(3, { aggLevel: (earlier, later) => earlier.map((x, i) => `(${later[i]}${x})`) }),
    "parallel",
  ],
  [
    "open that shares its cache between streams",
    ((): Psm<string, string, string> => {
      let text = "";
      let taken = 0;
      return terms(3, {
        open: (prefix) => {
          if (taken % 3 === 0) text = `${prefix ?? "e"}|`;
          return (token) => (taken++, text += token);
        },
      });
    })(),
    "stream, cached",
  ],
  [
    "agg that remembers its calls",
    ((): Psm<string, string, string> => {
      let calls = 0;
      return terms(3, { agg: (earlier, later) => `(${earlier}${later})${calls++}` });
    })(),
    "stream, cached",
  ],
  [
    "inf that ignores the prefix",
    terms(3, { inf: (_prefix, tokens) => tokens.map((_, i) => tokens.slice(0, i + 1).join("")) }),
    "stream with dropped-carry",
  ],
];
for (const [name, model, execution] of faults) {
  test(`checkPsm is red for ${name}`, async () => {
    const report = await checkPsm(model, options);
    assert(!report.ok);
    assert(report.rows.some((row) => row.execution === execution && !row.ok && row.replay !== undefined));
  });
}

test("unusable models and states are refused in words", async () => {
  assertThrows(() => parallel(terms(0), []), InputError, "Cannot chunk terms: size must be an integer ≥ 1, got 0");
  assertThrows(() => stream(terms(1.5)), InputError, "got 1.5");
  await assertRejects(() => checkPsm(terms(0), options), InputError, "chunk must be an integer ≥ 1, got 0");
  await assertRejects(() => checkPsm(terms(1), { ...options, lengths: [] }), InputError, "at least one length");
  const short = terms(3, { inf: () => ["x"] });
  assertThrows(() => parallel(short, letters(2)), InputError, "one output per token (2), got 1");
  const running = stream(terms(2));
  const state = { counter: { count: 0, roots: [] }, pending: letters(2) };
  assertThrows(() => running.restore(state), InputError, "pending tokens must be fewer than a chunk (2), got 2");
  running.push("a");
  assertEquals(running.size, 1);
});

test("sameValue compares by content, bit for bit", () => {
  assert(sameValue({ a: [1, NaN] }, { a: [1, NaN] }));
  assert(sameValue(Float32Array.of(1, 2), Float32Array.of(1, 2)));
  assert(!sameValue([0], [-0]));
  assert(!sameValue(Float32Array.of(1), Float64Array.of(1)));
  assert(!sameValue([1], [1, 2]));
  assert(!sameValue("1", 1));
});

test("a failure says where, and how to run it again", async () => {
  const report = await checkPsm(faults[2]![1], { ...options, seed: 4 });
  const row = report.rows.find(({ ok }) => !ok)!;
  assertStringIncludes(row.detail!, "first bad token");
  assertStringIncludes(row.replay!, `checkPsm(terms, { lengths: [${row.length}], seed: 4 })`);
});
