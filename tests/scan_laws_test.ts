import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import {
  blelloch,
  blellochExclusive,
  blellochInclusive,
  blellochPrefill,
  chunked,
  Counter,
  counter,
  fold,
  foldExclusive,
  foldInclusive,
  foldStream,
  type Operator,
  refoldingCounter,
  type Schedule,
  sequential,
} from "../scan/mod.ts";
import { ALGEBRAS } from "./scan_algebras.ts";
import { droppedCarry, swappedDownSweep, wrongEndRefold } from "./scan_faults.ts";
import { equalsFold, sameTree } from "./scan_laws.ts";
import { leaves, referencePrefixes, referenceRoots, referenceTerms, STRINGS, TERMS, termText } from "./scan_terms.ts";

const SCHEDULES: readonly Schedule[] = [
  sequential,
  blelloch,
  counter,
  refoldingCounter,
  chunked(1),
  chunked(3),
  chunked(64),
  chunked(4, { across: "blelloch" }),
  chunked(7, { across: "blelloch" }),
];
const TREES = SCHEDULES.filter(({ parenthesisation }) => parenthesisation === "counter");

const EVERY_LENGTH = Array.from({ length: 1025 }, (_, n) => n);
const LENGTHS = [...EVERY_LENGTH.slice(0, 70), 127, 128, 129, 191, 255, 256, 257, 300];

function letters(n: number): string[] {
  return Array.from({ length: n }, (_, i) => String.fromCodePoint(0x4e00 + i));
}

// The free magma.

test("reference equals the states printed for the online counter", () => {
  const [a, b, c, d] = ["0", "1", "2", "3"];
  assertEquals(referencePrefixes(STRINGS, ["0", "1", "2", "3"]), [
    undefined,
    a,
    `(${a}${b})`,
    `((${a}${b})${c})`,
    `((${a}${b})(${c}${d}))`,
  ]);
});

for (const schedule of TREES) {
  test(`${schedule.name} equals the static tree on terms for every length to 1024`, () => {
    assertEquals(sameTree(EVERY_LENGTH)(schedule), undefined);
  });

  test(`${schedule.name} equals the static tree on strings for every length to 64, and 1024`, () => {
    for (const n of [...EVERY_LENGTH.slice(0, 65), 1024]) {
      const xs = letters(n);
      assertEquals(schedule.inclusive(STRINGS, xs), referencePrefixes(STRINGS, xs).slice(1));
    }
  });
}

test("blellochExclusive equals the static tree on terms for every length to 1024", () => {
  for (const n of EVERY_LENGTH) {
    assertEquals(blellochExclusive(TERMS, leaves(n)), referenceTerms(n).slice(0, n));
  }
});

test("blellochPrefill roots equal the counter's and the full subtrees for every length to 1024", () => {
  const streamed = new Counter(TERMS);
  for (const n of EVERY_LENGTH) {
    const { prefixes, state } = blellochPrefill(TERMS, leaves(n));
    assertEquals(prefixes, referenceTerms(n).slice(0, n));
    assertEquals(state.count, n);
    assertEquals(state.roots, referenceRoots(TERMS, leaves(n)));
    assertEquals(state.roots, streamed.roots());
    assertEquals(termText(streamed.prefix()), termText(referenceTerms(n)[n]));
    streamed.push(n);
  }
});

test("sequential nests to the left on strings", () => {
  assertEquals(sequential.inclusive(STRINGS, ["a", "b", "c", "d"]), ["a", "(ab)", "((ab)c)", "(((ab)c)d)"]);
});

test("sequential and chunked differ from the tree on the free magma", () => {
  for (const schedule of SCHEDULES.filter(({ parenthesisation }) => parenthesisation !== "counter")) {
    assert(sameTree([300])(schedule) !== undefined, schedule.name);
  }
});

test("sequential forms agree on strings", () => {
  for (let n = 0; n < 20; n++) {
    const xs = letters(n);
    const inclusive = foldInclusive(STRINGS, xs);
    assertEquals(foldExclusive(STRINGS, xs), n === 0 ? [] : [undefined, ...inclusive.slice(0, -1)]);
    assertEquals(fold(STRINGS, xs), inclusive.at(-1));
    const running = foldStream(STRINGS);
    assertEquals(running.prefix(), undefined);
    xs.forEach((x, i) => {
      running.push(x);
      assertEquals(running.prefix(), inclusive[i]);
    });
    assertEquals(running.size, n);
  }
});

// Associative operators.

for (const schedule of SCHEDULES) {
  for (const algebra of ALGEBRAS) {
    test(`${schedule.name} equals the fold for ${algebra.name}`, () => {
      assertEquals(equalsFold(algebra, LENGTHS)(schedule), undefined);
    });
  }
}

// Boundaries.

const NEVER: Operator<string> = {
  combine: () => {
    throw new Error("combine was called");
  },
};

for (const schedule of SCHEDULES) {
  test(`${schedule.name} calls no combine for 0 and 1 elements`, () => {
    assertEquals(schedule.inclusive(NEVER, []), []);
    assertEquals(schedule.inclusive(NEVER, ["a"]), ["a"]);
  });

  test(`${schedule.name} leaves its input unchanged`, () => {
    const xs = Object.freeze(letters(37));
    schedule.inclusive(STRINGS, xs);
    assertEquals(xs, letters(37));
  });
}

test("blelloch exclusive and prefill call no combine for 0 and 1 elements", () => {
  assertEquals(blellochExclusive(NEVER, []), []);
  assertEquals(blellochExclusive(NEVER, ["a"]), [undefined]);
  assertEquals(blellochPrefill(NEVER, []), { prefixes: [], state: { count: 0, roots: [], folds: [] } });
  assertEquals(blellochPrefill(NEVER, ["a"]), {
    prefixes: [undefined],
    state: { count: 1, roots: [{ level: 0, value: "a" }], folds: [] },
  });
  assertEquals(foldExclusive(NEVER, ["a"]), [undefined]);
  assertEquals(fold(NEVER, []), undefined);
});

test("blelloch takes undefined for an element, not for the identity", () => {
  const op: Operator<string | undefined> = { combine: (earlier, later) => `(${earlier}${later})` };
  assertEquals(blellochInclusive(op, [undefined, "b"]), [undefined, "(undefinedb)"]);
  assertEquals(foldInclusive(op, [undefined, "b"]), [undefined, "(undefinedb)"]);
});

// Planted faults. `true` = the law must turn red; `false` documents what the operator cannot see.

const byName = new Map(ALGEBRAS.map((algebra) => [algebra.name, algebra]));
const CONTROLS: readonly (readonly [schedule: Schedule, red: Readonly<Record<string, boolean>>])[] = [
  ...TREES.flatMap((schedule) => [
    [swappedDownSweep(schedule), {
      "the free magma": true,
      "concatenation": true,
      "2×2 matrices mod 65521": true,
      "mLSTM (F, m, S, n)": true,
      "online softmax": false,
      "addition": false,
    }] as const,
    [droppedCarry(schedule), {
      "the free magma": true,
      "concatenation": true,
      "2×2 matrices mod 65521": true,
      "mLSTM (F, m, S, n)": true,
      "online softmax": true,
      "addition": true,
    }] as const,
  ]),
  [wrongEndRefold(), {
    "the free magma": true,
    "concatenation": false,
    "2×2 matrices mod 65521": false,
    "mLSTM (F, m, S, n)": false,
    "online softmax": false,
    "addition": false,
  }],
];

for (const [faulty, expected] of CONTROLS) {
  for (const [name, red] of Object.entries(expected)) {
    test(`${faulty.name} turns the law of ${name} ${red ? "red" : "not red: it cannot be seen there"}`, () => {
      const algebra = byName.get(name);
      const law = algebra === undefined ? sameTree(LENGTHS) : equalsFold(algebra, LENGTHS);
      assertEquals(law(faulty) !== undefined, red, law(faulty));
    });
  }
}

test("swapped operands and a dropped carry turn the law of the free magma red at the first length they touch", () => {
  assertEquals(sameTree([2])(swappedDownSweep(blelloch)), undefined);
  assert(sameTree([3])(swappedDownSweep(blelloch))?.includes("index 2: got (x2(x0x1)), want ((x0x1)x2)"));
  assertEquals(sameTree([3])(droppedCarry(counter)), undefined);
  assert(sameTree([4])(droppedCarry(counter))?.includes("index 3: got (x2x3), want ((x0x1)(x2x3))"));
  assert(sameTree([7])(wrongEndRefold())?.includes("index 6"));
});
