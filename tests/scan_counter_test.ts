import { test } from "node:test";
import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { blellochPrefill, Counter, type CounterMode, type CounterState, type Operator } from "../scan/mod.ts";
import { leaves, referenceTerms, STRINGS, TERMS, termText } from "./scan_terms.ts";

const MODES: readonly CounterMode[] = ["cached", "refolding"];

/** First place where `counter`, at its present size, parts from the whole run up to `end` elements. */
function departs(counter: Counter<number>, end: number): string | undefined {
  const want = referenceTerms(end);
  for (;;) {
    const t = counter.size;
    if (counter.prefix() !== want[t]) return `after ${t}: got ${termText(counter.prefix())}, want ${termText(want[t])}`;
    if (t === end) return undefined;
    counter.push(t);
  }
}

function stateAt(mode: CounterMode, split: number): CounterState<number> {
  const counter = new Counter(TERMS, { mode });
  for (const x of leaves(split)) {
    counter.push(x);
    counter.prefix();
  }
  return counter.save();
}

for (const mode of MODES) {
  test(`Counter (${mode}) resumed from a saved state at any split equals the whole run`, () => {
    for (const from of MODES) {
      for (let split = 0; split <= 130; split++) {
        const saved = JSON.parse(JSON.stringify(stateAt(from, split)));
        const resumed = new Counter(TERMS, { mode });
        resumed.restore(saved);
        assertEquals(resumed.size, split);
        assertEquals(departs(resumed, 140), undefined);
      }
    }
  });

  test(`Counter (${mode}) resumed from the static tree's prefill at any split equals the whole run`, () => {
    for (let split = 0; split <= 130; split++) {
      const resumed = new Counter(TERMS, { mode });
      resumed.restore(blellochPrefill(TERMS, leaves(split)).state);
      assertEquals(departs(resumed, 140), undefined);
    }
  });

  test(`Counter (${mode}) gives the same prefix however seldom it is read`, () => {
    for (const period of [1, 2, 3, 5, 16, 140]) {
      const counter = new Counter(TERMS, { mode });
      for (let t = 1; t <= 140; t++) {
        counter.push(t - 1);
        if (t % period === 0) assertEquals(counter.prefix(), referenceTerms(140)[t]);
      }
    }
  });

  test(`Counter (${mode}) is empty at first`, () => {
    const counter = new Counter(STRINGS, { mode });
    assertEquals([counter.size, counter.prefix(), counter.roots(), counter.held()], [0, undefined, [], []]);
  });

  test(`Counter (${mode}) saves a state that later pushes leave unchanged`, () => {
    const counter = new Counter(STRINGS, { mode });
    for (const x of "abc") counter.push(x);
    counter.prefix();
    const saved = counter.save();
    const before = structuredClone(saved);
    for (const x of "defgh") counter.push(x);
    assertEquals(saved, before);
    const other = new Counter(STRINGS, { mode });
    other.restore(saved);
    other.push("z");
    other.prefix();
    assertEquals(saved, before);
  });

  test(`Counter (${mode}) is unchanged when combine throws in a carry`, () => {
    let left = Infinity;
    const op: Operator<string> = {
      combine(earlier, later) {
        if (left-- === 0) throw new Error("device lost");
        return earlier + later;
      },
    };
    const counter = new Counter(op, { mode });
    for (const x of "abc") counter.push(x);
    counter.prefix();
    const before = counter.save();
    for (const carried of [0, 1]) {
      left = carried;
      assertThrows(() => counter.push("d"), Error, "device lost");
      assertEquals(counter.save(), before);
    }
    counter.push("d");
    assertEquals(counter.prefix(), "abcd");
  });
}

test("Counter resume law turns red on a state whose root has lost a carry", () => {
  const state = stateAt("refolding", 12);
  const [first, ...rest] = state.roots;
  const faulty = new Counter(TERMS);
  faulty.restore({ ...state, roots: [{ ...first!, value: rest[0]!.value }, ...rest] });
  assert(departs(faulty, 140)?.startsWith("after 12"));
});

test("Counter resume law turns red on a stale fold, once a carry uncovers it", () => {
  const state = stateAt("cached", 0b101010);
  const faulty = new Counter(TERMS);
  faulty.restore({ ...state, folds: state.folds!.with(1, 0) });
  assert(departs(faulty, 140)?.startsWith("after 44"));
});

test("Counter restored from prefill or a saved state folds nothing again", () => {
  for (let n = 1; n <= 200; n++) {
    let combines = 0;
    const op: Operator<number> = { combine: (earlier, later) => (combines++, earlier + later) };
    const { state } = blellochPrefill(op, leaves(n));
    combines = 0;
    const counter = new Counter(op);
    counter.restore(state);
    counter.prefix();
    assertEquals(combines, state.roots.length > 1 ? 1 : 0);
    const again = new Counter(op);
    again.restore(counter.save());
    combines = 0;
    again.prefix();
    assertEquals(combines, 0);
  }
});

test("Counter restored shares its first fold with its first root", () => {
  const counter = new Counter<{ sum: number }>({ combine: (a, b) => ({ sum: a.sum + b.sum }) });
  for (let i = 0; i < 6; i++) counter.push({ sum: i });
  counter.prefix();
  const resumed = new Counter<{ sum: number }>({ combine: (a, b) => ({ sum: a.sum + b.sum }) });
  resumed.restore(structuredClone(counter.save()));
  assertEquals(resumed.held().length, counter.held().length);
  assertEquals(new Set(resumed.held()).size, resumed.held().length);
  assertStrictEquals(resumed.save().folds![0], resumed.roots()[0]!.value);
});

const BAD_STATES: readonly [name: string, state: CounterState<string>, message: string][] = [
  [
    "a count its roots do not cover",
    { count: 4, roots: [{ level: 1, value: "a" }] },
    "must cover count = 4 elements, got 2",
  ],
  ["a missing root", { count: 1, roots: [] }, "must cover count = 1 elements, got 0"],
  [
    "levels that rise",
    { count: 3, roots: [{ level: 0, value: "a" }, { level: 1, value: "b" }] },
    "strictly falling, got 0,1",
  ],
  [
    "levels that repeat",
    { count: 2, roots: [{ level: 0, value: "a" }, { level: 0, value: "b" }] },
    "strictly falling, got 0,0",
  ],
  ["a negative level", { count: 0.5, roots: [{ level: -1, value: "a" }] }, "integers ≥ 0, strictly falling, got -1"],
  ["a fractional level", { count: 1, roots: [{ level: 0.5, value: "a" }] }, "integers ≥ 0, strictly falling, got 0.5"],
  [
    "more folds than roots",
    { count: 1, roots: [{ level: 0, value: "a" }], folds: ["a", "b"] },
    "must be at most as many as roots (1), got 2",
  ],
];

for (const [name, state, message] of BAD_STATES) {
  test(`Counter refuses a state with ${name} and stays as it was`, () => {
    const counter = new Counter(STRINGS);
    for (const x of "abc") counter.push(x);
    assertThrows(() => counter.restore(state), RangeError, message);
    assertEquals([counter.size, counter.prefix()], [3, "((ab)c)"]);
  });
}
