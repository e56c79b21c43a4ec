import { test } from "node:test";
import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  blelloch,
  blellochExclusive,
  blellochPrefill,
  chunked,
  Counter,
  counter,
  foldStream,
  meter,
  type Operator,
  refoldingCounter,
  rightCombines,
  type Schedule,
  scheduleCost,
  sequential,
  type Stream,
  streamCost,
} from "../scan/mod.ts";
import { leaves, referenceTerms, TERMS } from "./scan_terms.ts";

const UNIT: Operator<null> = { combine: () => null };
const LENGTHS = [...Array.from({ length: 600 }, (_, n) => n), 1000, 1023, 1024, 1025, 2048, 3000, 4096];

function units(n: number): null[] {
  return Array.from({ length: n }, () => null);
}

function floorLog2(n: number): number {
  return n.toString(2).length - 1;
}

function ceilLog2(n: number): number {
  return n <= 1 ? 0 : floorLog2(n - 1) + 1;
}

function ones(n: number): number {
  return n.toString(2).replaceAll("0", "").length;
}

function combinesOf(run: (op: Operator<null>, xs: null[]) => unknown, n: number): number {
  let combines = 0;
  run({ combine: () => (combines++, null) }, units(n));
  return combines;
}

// Work and depth.

test("blellochExclusive takes 2026 combines at 1024, prefill and inclusive 2036", () => {
  assertEquals(combinesOf(blellochExclusive, 1024), 2026);
  assertEquals(combinesOf(blellochPrefill, 1024), 2036);
  assertEquals(scheduleCost(blelloch, 1024), { combines: 2036, depth: 18 });
});

test("blellochExclusive takes 2(n − 1 − log2 n) combines at every power of two", () => {
  for (let k = 0; k <= 13; k++) assertEquals(combinesOf(blellochExclusive, 2 ** k), 2 * (2 ** k - 1 - k));
});

test("blellochPrefill costs the last element's carries more than the exclusive prefixes", () => {
  for (const n of LENGTHS.slice(1)) {
    const carries = ones(n - 1) - ones(n) + 1;
    assertEquals(combinesOf(blellochPrefill, n) - combinesOf(blellochExclusive, n), carries, `length ${n}`);
  }
});

/** Work below 2n and depth at most 2⌈log2 n⌉: the claim of the tree. */
function treeCost(schedule: Schedule): string | undefined {
  for (const n of LENGTHS) {
    const { combines, depth } = scheduleCost(schedule, n);
    if (combines > 2 * n || depth > 2 * ceilLog2(n)) return `${schedule.name}, length ${n}: ${combines}, ${depth} deep`;
  }
  return undefined;
}

test("blelloch and counter take at most 2n combines and are at most 2⌈log2 n⌉ deep", () => {
  assertEquals(treeCost(blelloch), undefined);
  assertEquals(treeCost(counter), undefined);
});

test("blelloch and counter cost the same combines and depth for every length", () => {
  for (const n of LENGTHS) assertEquals(scheduleCost(blelloch, n), scheduleCost(counter, n));
});

test("treeCost turns red for the fold, which is deep, and for refolding, which works more", () => {
  assert(treeCost(sequential)?.includes("deep"));
  assert(treeCost(refoldingCounter) !== undefined);
});

test("sequential takes n − 1 combines, n − 1 deep", () => {
  for (const n of LENGTHS) {
    const steps = Math.max(n - 1, 0);
    assertEquals(scheduleCost(sequential, n), { combines: steps, depth: steps });
  }
});

test("refoldingCounter takes 1023 carries and 4097 refolds at 1024", () => {
  const carries = combinesOf((op, xs) => {
    const streamed = new Counter(op, { mode: "refolding" });
    for (const x of xs) streamed.push(x);
  }, 1024);
  assertEquals(carries, 1023);
  assertEquals(scheduleCost(refoldingCounter, 1024).combines, 1023 + 4097);
});

test("chunked takes fewer than 2n combines and is as deep as its parts", () => {
  for (const size of [1, 2, 3, 16, 64, 5000]) {
    for (const across of ["sequential", "blelloch"] as const) {
      const schedule = chunked(size, { across });
      for (const n of LENGTHS) {
        const { combines, depth } = scheduleCost(schedule, n);
        const chunks = Math.ceil(n / size);
        const ends = scheduleCost(across === "blelloch" ? blelloch : sequential, chunks);
        assert(n === 0 ? combines === 0 : combines < 2 * n, `${schedule.name}, length ${n}: ${combines}`);
        assert(depth <= Math.min(size, n) - 1 + ends.depth + 1 || n === 0, `${schedule.name}, length ${n}: ${depth}`);
      }
    }
  }
});

test("blelloch with combineLevel calls it once per level and gives the same tree", () => {
  for (let n = 0; n <= 300; n++) {
    let calls = 0;
    const batched: Operator<number> = {
      combine: () => {
        throw new Error("combine was called");
      },
      combineLevel(earlier, later) {
        calls++;
        return earlier.map((x, i) => TERMS.combine(x, later[i]!));
      },
    };
    assertEquals(blelloch.inclusive(batched, leaves(n)), referenceTerms(n).slice(1));
    assert(calls <= 2 * ceilLog2(n), `length ${n}: ${calls} calls`);
  }
});

test("blelloch refuses a combineLevel that loses elements", () => {
  const lossy: Operator<string> = { combine: (a, b) => a + b, combineLevel: () => ["x"] };
  assertThrows(
    () => blelloch.inclusive(lossy, ["a", "b", "c", "d"]),
    RangeError,
    "Cannot combine a level: combineLevel must return 2 elements, got 1",
  );
});

// Streaming.

type Open = <M>(op: Operator<M>) => Stream<M>;
const cached: Open = (op) => new Counter(op);
const refolding: Open = (op) => new Counter(op, { mode: "refolding" });

test("Counter costs carries plus one fold at each element, ⌈log2 t⌉ + 1 at worst", () => {
  const counting = meter(UNIT);
  const streamed = new Counter(counting);
  for (let t = 1; t <= 4096; t++) {
    const before = counting.combines;
    streamed.push(counting.lift(null));
    streamed.prefix();
    const carries = ones(t - 1) - ones(t) + 1;
    const cost = counting.combines - before;
    assertEquals(cost, carries + (ones(t) > 1 ? 1 : 0), `element ${t}`);
    assert(cost <= ceilLog2(t) + 1);
    assert(counting.combines <= 2 * t, `element ${t}: ${counting.combines} combines`);
    streamed.prefix();
    assertEquals(counting.combines - before, cost, "a second reading is free");
  }
});

test("streamCost finds 2036 combines at 1024 cached, 5120 refolding, 1023 for the fold", () => {
  assertEquals(streamCost(cached, UNIT, units(1024)), { pushes: 1024, combines: 2036, worst: 10, peak: 19 });
  assertEquals(streamCost(refolding, UNIT, units(1024)), { pushes: 1024, combines: 5120, worst: 10, peak: 10 });
  assertEquals(streamCost(foldStream, UNIT, units(1024)), { pushes: 1024, combines: 1023, worst: 1, peak: 1 });
});

/** Live elements after t, for every t ≤ 4096, against a bound on them; checks that `held` counts none twice. */
function holdsAtMost(open: Open, bound: (t: number) => number): string | undefined {
  const stream = open<{ readonly span: number }>({ combine: (a, b) => ({ span: a.span + b.span }) });
  for (let t = 1; t <= 4096; t++) {
    stream.push({ span: 1 });
    stream.prefix();
    const held = stream.held();
    if (new Set(held).size !== held.length) return `after ${t}: an element is counted twice`;
    if (held.length > bound(t)) return `after ${t}: ${held.length} elements live, bound ${bound(t)}`;
  }
  return undefined;
}

test("Counter holds at most ⌈log2(t+1)⌉ elements refolding and twice that cached, for every t to 4096", () => {
  assertEquals(holdsAtMost(refolding, (t) => ceilLog2(t + 1)), undefined);
  assertEquals(holdsAtMost(cached, (t) => 2 * ceilLog2(t + 1)), undefined);
  assertEquals(holdsAtMost(foldStream, () => 1), undefined);
});

test("holdsAtMost turns red for cached folds under the refolding bound and for a stream that clears no root", () => {
  assert(holdsAtMost(cached, (t) => ceilLog2(t + 1)) !== undefined);
  const hoarding: Open = <M>(op: Operator<M>): Stream<M> => {
    const inner = new Counter(op);
    const all: M[] = [];
    return {
      get size() {
        return inner.size;
      },
      push(x) {
        inner.push(x);
        all.push(x);
      },
      prefix: () => inner.prefix(),
      held: () => all,
    };
  };
  assert(holdsAtMost(hoarding, (t) => 2 * ceilLog2(t + 1))?.startsWith("after 7"));
});

test("streamCost weighs what is held: a growing cache shows as linear memory", () => {
  const cache: Operator<number> = { combine: (earlier, later) => earlier + later };
  const cost = streamCost(foldStream, cache, Array.from({ length: 100 }, () => 1), (tokens) => tokens);
  assertEquals(cost.peak, 100);
  assertEquals(streamCost(foldStream, cache, []), { pushes: 0, combines: 0, worst: 0, peak: 0 });
});

// The meter itself.

test("meter keeps values and counts the longest chain, not the work", () => {
  const counting = meter<string>({ combine: (a, b) => a + b });
  const [a, b, c, d] = ["a", "b", "c", "d"].map(counting.lift);
  const joined = counting.combine(counting.combine(a!, b!), counting.combine(c!, d!));
  assertEquals(joined, { value: "abcd", depth: 2 });
  assertEquals([counting.combines, counting.depth], [3, 2]);
});

// Right combines.

test("rightCombines is 1 for the fold and ⌊log2 n⌋ for the tree and the counter", () => {
  for (const n of LENGTHS) {
    assertEquals(rightCombines(sequential, n), n < 2 ? 0 : 1);
    for (const schedule of [blelloch, counter, refoldingCounter]) {
      assertEquals(rightCombines(schedule, n), n < 1 ? 0 : floorLog2(n), `${schedule.name}, length ${n}`);
    }
  }
});

test("rightCombines of chunked is at most that of its scan across plus two", () => {
  for (const n of LENGTHS) {
    assert(rightCombines(chunked(16), n) <= 3);
    const tree = chunked(16, { across: "blelloch" });
    assert(rightCombines(tree, n) <= 1 + Math.max(1, rightCombines(blelloch, Math.ceil(n / 16))));
  }
});

test("rightCombines equals the count over every leaf, kept apart", () => {
  const perLeaf: Operator<ReadonlyMap<number, number>> = {
    combine: (earlier, later) =>
      new Map([...earlier, ...[...later].map(([leaf, count]) => [leaf, count + 1] as const)]),
  };
  for (const schedule of [sequential, blelloch, counter, chunked(5), chunked(4, { across: "blelloch" })]) {
    for (let n = 0; n <= 70; n++) {
      const prefixes = schedule.inclusive(perLeaf, leaves(n).map((leaf) => new Map([[leaf, 0]])));
      const most = Math.max(0, ...prefixes.flatMap((counts) => [...counts.values()]));
      assertEquals(rightCombines(schedule, n), most, `${schedule.name}, length ${n}`);
    }
  }
});

// Errors.

test("chunked, scheduleCost and rightCombines refuse unusable sizes", () => {
  assertThrows(() => chunked(0), RangeError, "Cannot chunk: size must be an integer ≥ 1, got 0");
  assertThrows(() => chunked(2.5), RangeError, "Cannot chunk: size must be an integer ≥ 1, got 2.5");
  assertThrows(() => chunked(NaN), RangeError, "Cannot chunk: size must be an integer ≥ 1, got NaN");
  assertThrows(
    () => scheduleCost(blelloch, -1),
    RangeError,
    "Cannot measure blelloch: n must be an integer ≥ 0, got -1",
  );
  assertThrows(
    () => rightCombines(blelloch, 1.5),
    RangeError,
    "Cannot count right combines of blelloch: n must be an integer ≥ 0, got 1.5",
  );
});
