/** Aggregators of a user's own: the whole check in a few lines, and every fault an aggregator can have turns it red. */
import { test } from "node:test";
import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { type Aggregator, aggregator, aggregatorOperator } from "../models/aggregator.ts";
import { InputError } from "../models/error.ts";
import { gruAggregator } from "../models/gru.ts";
import { f64 } from "../models/number.ts";
import { checkAggregator, expectedAggregatorRows } from "../oracle/aggregator.ts";
import {
  type AggregatorContext,
  aggregatorControlRows,
  counterMemoryRows,
  counterResumeRows,
  treeRows,
} from "../oracle/checks/aggregator.ts";
import { blelloch, Counter, counter, type CounterState, refoldingCounter, type Schedule } from "../scan/mod.ts";
import { droppedCarry, swappedDownSweep, wrongEndRefold } from "./scan_faults.ts";
import type { Row } from "../oracle/report.ts";
import { definedPrefixes } from "../oracle/tree.ts";
import { atLeastText } from "../oracle/checks/grouping.ts";
import { leaves, referenceTerms, TERMS } from "./scan_terms.ts";

const lengths = [0, 1, 2, 3, 63, 64, 65, 129];

// The example of the README, at most 25 lines: an aggregator of one's own and its whole report.
test("README: an aggregator of one's own", async () => {
  // import { aggregator, checkAggregator } from "dualscan";
  const gatedMean = aggregator({
    name: "gated-mean",
    width: 2,
    // A gate that sees both sides: not associative, so the tree is part of the model.
    agg: (A, [x1, y1], [x2, y2]) => {
      const gate = A.sigmoid(A.mul(x1, y2));
      const mix = (later: typeof x1, earlier: typeof x1) => A.add(earlier, A.mul(gate, A.sub(later, earlier)));
      return [mix(x2, x1), mix(y2, y1)];
    },
  });
  const report = await checkAggregator(gatedMean, { lengths: [1, 64, 1000] });
  for (const { check, execution, inputs, length, ok, detail } of report.rows) {
    if (!ok || check === "associativity") console.error(check, execution, inputs, length, ok, detail);
  }
  assert(report.ok);
});
// End of the example.

/** `h = a h + b`, the scan's own monoid. */
function pair(changes: Partial<Aggregator<2>> = {}): Aggregator {
  return aggregator({
    name: "pair",
    width: 2,
    agg: (A, [a1, b1], [a2, b2]) => [A.mul(a2, a1), A.add(A.mul(a2, b1), b2)],
    ...changes,
  });
}
const mean: Aggregator = aggregator({
  name: "mean",
  width: 1,
  agg: (A, [a], [b]) => [A.mul(A.of(0.5), A.add(a, b))],
});
/** log(e^a + e^b) = a + softplus(b − a). */
const logSumExp: Aggregator = aggregator({
  name: "log-sum-exp",
  width: 1,
  associative: true,
  agg: (A, [a], [b]) => [A.add(a, A.softplus(A.sub(b, a)))],
});
const last: Aggregator = aggregator({ name: "last", width: 1, associative: true, agg: (_A, _a, [b]) => [b] });

const rowOf = (rows: readonly Row[], execution: string): Row => rows.find((row) => row.execution === execution)!;

test("the harness's own tree is the reference tree", () => {
  for (const n of [0, 1, 2, 3, 7, 8, 100, 1023, 1024]) {
    assertEquals(definedPrefixes(TERMS, leaves(n)), referenceTerms(n).slice(1));
  }
});

for (const sound of [pair({ associative: true }), mean, logSumExp, last, gruAggregator()]) {
  test(`${sound.name}: the whole report holds, and its rows are all there`, async () => {
    const report = await checkAggregator(sound, { lengths });
    assertEquals(report.rows.filter(({ ok }) => !ok), []);
    assertEquals(report.rows.length, expectedAggregatorRows(sound, { lengths }));
    assert(report.ok);
    for (const row of report.rows) {
      assertEquals(row.model, sound.name);
      assertEquals(row.seed, 1);
      assert(row.check !== "exact" || (row.combines !== null && row.depth !== null));
    }
  });
}

test("rows: 3 schedules × (terms, f64) × lengths, dyadics to 16, and 21 more", async () => {
  const { rows } = await checkAggregator(pair(), { lengths });
  assertEquals(rows.filter(({ inputs, check }) => check === "exact" && inputs === "dyadic").length, 3 * 5);
  assertEquals(rows.length, 3 * 2 * lengths.length + 3 * 5 + 21);
});

test("the associator is exact in dyadics, certified where agg is not a ring text", async () => {
  const found = async (a: Aggregator): Promise<string> =>
    rowOf((await checkAggregator(a, { lengths: [1] })).rows, "agg").detail!;
  assertStringIncludes(await found(pair()), "associator 0, exactly: associative on all samples");
  assertStringIncludes(await found(logSumExp), "certified: associative on all samples");
  assertStringIncludes(await found(mean), "not associative");
  assertStringIncludes(await found(gruAggregator()), "certified: not associative");
});

test("the associator of a mean is what it is by hand", async () => {
  // ((a + b)/2 + c)/2 − (a + (b + c)/2)/2 = (c − a)/4, largest at the outermost of the samples.
  const step = aggregator({ ...mean, name: "steps", leaf: (_random: unknown, i: number) => [4 * i] });
  const { detail } = rowOf((await checkAggregator(step, { lengths: [1] })).rows, "agg");
  // Samples 0, 4, 8 and the mean of 12 and 16.
  assertAlmostEquals(Number(/max ([\d.]+)/.exec(detail!)![1]), 14 / 4, 1e-9);
});

test("an aggregator is held to what it claims of the associative law", async () => {
  for (
    const [a, said] of [[{ ...mean, associative: true }, "claims to be"], [
      pair({ associative: false }),
      "claims not to be",
    ]] as const
  ) {
    const report = await checkAggregator(a, { lengths: [1] });
    assert(!report.ok);
    assertEquals(report.failed, 1);
    assertStringIncludes(rowOf(report.rows, "agg").detail!, said);
  }
});

test("a claim that intervals cannot settle is not granted", async () => {
  const agg: Aggregator["agg"] = (A, [a], [b]) => [A.div(A.add(a!, b!), A.sub(A.exp(A.of(1)), A.exp(A.of(1))))];
  const leaf = (): number[] => [1];
  const undecided = aggregator({ name: "undecided", width: 1, associative: true, agg, leaf });
  const row = rowOf((await checkAggregator(undecided, { lengths: [1] })).rows, "agg");
  assert(!row.ok);
  assertStringIncludes(row.detail!, "undecided");
});

test("live elements, combines and depth are reported at every length", async () => {
  const { rows } = await checkAggregator(mean, { lengths: [1024] });
  const at = (execution: string): Row => rows.find((row) => row.execution === execution && row.length === 1024)!;
  assertEquals([at("blelloch").combines, at("counter").combines, at("counter(refolding)").combines], [
    2036,
    2036,
    5120,
  ]);
  assert(at("blelloch").depth! <= 20);
  assertEquals(at("counter stream, refolding").liveElements, 10);
  assert(at("counter stream, cached").liveElements! <= 22);
});

test("a fault that changes nothing for an aggregator is excused in words, and seen as terms", async () => {
  const excuses = async (a: Aggregator): Promise<string[]> => {
    const { rows, ok } = await checkAggregator(a, { lengths: [1] });
    assert(ok);
    assert(
      rows.filter(({ check, inputs }) => check === "control" && inputs === "terms").every(({ detail }) =>
        detail === "seen"
      ),
    );
    const excused = rows.filter(({ detail }) => detail?.startsWith("makes no difference"));
    return [...new Set(excused.map(({ detail }) => detail!.split("agg is ")[1]!))];
  };
  assertEquals(await excuses(mean), ["commutative here"]);
  assertEquals(await excuses(last), ["forgetful here", "associative here"]);
  assertEquals(await excuses(gruAggregator()), []);
});

const red: readonly (readonly [string, () => Aggregator, string])[] = [
  ["remembers its calls", (): Aggregator => {
    let calls = 0;
    return aggregator({ name: "impure", width: 1, agg: (A, [a], [b]) => [A.add(A.add(a, b), A.of(calls++ % 2))] });
  }, "exact"],
  [
    "leaves the range of f64",
    () =>
      aggregator({
        name: "square",
        width: 1,
        agg: (A, [a], [b]) => [A.add(A.mul(a, a), A.mul(b, b))],
        leaf: () => [3],
      }),
    "exact",
  ],
  ["says it is associative and is not", () => ({ ...mean, associative: true }), "associativity"],
];
for (const [fault, make, check] of red) {
  test(`red for an aggregator that ${fault}`, async () => {
    const report = await checkAggregator(make(), { lengths });
    assert(!report.ok);
    const row = report.rows.find((row) => row.check === check && !row.ok)!;
    assertStringIncludes(row.replay!, `checkAggregator(${row.model}, { lengths: [${row.length}], seed: 1 })`);
  });
}

/** Where a schedule in the place of a sound one turns rows red: the kinds of input. */
function redInputs(schedule: Schedule, kind: "static" | "cached" | "refolding"): string[] {
  const context: AggregatorContext = { aggregator: gruAggregator(), lengths, seed: 1, schedules: [{ schedule, kind }] };
  return [...new Set([...treeRows(context)].filter(({ ok }) => !ok).map(({ inputs }) => inputs))];
}

test("every fault of a schedule turns terms and values red, at the first length that can show it", () => {
  assertEquals(
    [redInputs(blelloch, "static"), redInputs(counter, "cached"), redInputs(refoldingCounter, "refolding")],
    [[], [], []],
  );
  for (const sound of [blelloch, counter, refoldingCounter]) {
    for (const fault of [swappedDownSweep(sound), droppedCarry(sound)]) {
      assertEquals(redInputs(fault, sound === blelloch ? "static" : "cached"), ["terms", "f64"], fault.name);
    }
  }
  assertEquals(redInputs(wrongEndRefold(), "refolding"), ["terms", "f64"]);
});

test("a schedule that combines too much, or too deep, is red though its values are right", () => {
  assertEquals(redInputs(refoldingCounter, "cached"), ["terms", "f64"]);
  const slow: Schedule = { ...counter, name: "serial", inclusive: (op, xs) => counter.inclusive(op, xs) };
  assertEquals(redInputs(slow, "static"), [], "the counter is as shallow as the tree");
  const deep: Schedule = {
    ...blelloch,
    inclusive(op, xs) {
      // Combines in a row whose results are thrown away, fewer than the tree has left of its budget in work.
      let waste = xs[0] as typeof xs[number];
      for (let i = 0; xs.length === 3 && i < 5; i++) waste = op.combine(waste, waste);
      return blelloch.inclusive(op, xs);
    },
  };
  assertEquals(redInputs(deep, "static"), ["terms", "f64"]);
});

const context: AggregatorContext = { aggregator: gruAggregator(), lengths, seed: 1 };

test("a counter that leaks, or keeps folds in the refolding mode, turns its memory row red", () => {
  class Leaking<M> extends Counter<M> {
    readonly #all: M[] = [];
    override push(x: M): void {
      super.push(x);
      this.#all.push(x);
    }
    override held(): M[] {
      return [...super.held(), ...this.#all];
    }
  }
  const rows = [...counterMemoryRows({ ...context, open: (op, mode) => new Leaking(op, { mode }) })];
  assertEquals(rows.map(({ ok }) => ok), [false, false]);
  assertStringIncludes(rows[0]!.detail!, "live elements after");
  const kept = [...counterMemoryRows({ ...context, open: (op) => new Counter(op, { mode: "cached" }) })];
  assertEquals(kept.map(({ ok }) => ok), [true, false]);
  const refolded = [...counterMemoryRows({ ...context, open: (op) => new Counter(op, { mode: "refolding" }) })];
  assertEquals(refolded.map(({ ok, detail }) => [ok, detail?.includes("combines, allowed")]), [[false, true], [
    true,
    false,
  ]]);
});

test("a counter that restores nothing, or wrong folds, turns its resume rows red", () => {
  class Forgetful<M> extends Counter<M> {
    override restore(_state: CounterState<M>): void {}
  }
  const forgotten = [...counterResumeRows({ ...context, open: (op, mode) => new Forgetful(op, { mode }) })];
  assertEquals(forgotten.map(({ ok }) => ok), [false, false, false]);
  class WrongFolds<M> extends Counter<M> {
    override restore({ folds = [], ...state }: CounterState<M>): void {
      super.restore({ ...state, folds: folds.map(() => state.roots.at(-1)!.value) });
    }
  }
  const wrong = [...counterResumeRows({ ...context, open: (op, mode) => new WrongFolds(op, { mode }) })];
  assertEquals(wrong.map(({ ok }) => ok), [false, true, false], "only the refolding counter has no folds");
  assertStringIncludes(wrong[0]!.detail!, "split at");
});

test("controls are 14, and each says what it saw", () => {
  const rows = [...aggregatorControlRows(context)];
  assertEquals(rows.map(({ detail, ok }) => `${detail} ${ok}`), new Array(14).fill("seen true"));
});

test("what is certified is printed rounded down", () => {
  for (const x of [0.4456, 0.4451, 1, 0.9996, 1234.9, 2e-9]) {
    assert(Number(atLeastText(x)) <= x, `${atLeastText(x)} for ${x}`);
    assertAlmostEquals(Number(atLeastText(x)), x, 0.01 * x);
  }
});

test("unusable aggregators and options are refused in words", async () => {
  assertThrows(
    () => aggregator({ ...mean, width: 0 }),
    InputError,
    "Cannot aggregate with mean: width must be an integer ≥ 1, got 0",
  );
  const narrow = pair({ agg: (_A, [a]) => [a] });
  assertThrows(
    () => aggregatorOperator(f64, narrow).combine([1, 2], [3, 4]),
    InputError,
    "agg must return 2 numbers, got 1",
  );
  await assertRejects(() => checkAggregator(narrow), InputError, "agg must return 2 numbers, got 1");
  await assertRejects(
    () => checkAggregator(pair({ leaf: () => [NaN, 0] })),
    InputError,
    "leaf must return 2 finite numbers, got [NaN, 0]",
  );
  await assertRejects(() => checkAggregator(mean, { lengths: [-1] }), InputError, "from 0 to 2^20, got -1");
  await assertRejects(() => checkAggregator(mean, { lengths: [] }), InputError, "at least one length");
  await assertRejects(() => checkAggregator(mean, { seed: 0.5 }), InputError, "seed must be a whole number, got 0.5");
});

test("an aggregator must not change its operands", async () => {
  const agg: Aggregator["agg"] = (A, earlier, later) => {
    (earlier as ReturnType<typeof A.of>[])[0] = A.add(earlier[0]!, later[0]!);
    return [earlier[0]!];
  };
  const report = await checkAggregator(aggregator({ name: "in-place", width: 1 as number, agg }), { lengths });
  assert(report.rows.some(({ check, inputs, ok }) => check === "exact" && inputs === "f64" && !ok));
});
