/**
 * Models of every action at 2^20 tokens over F_65521, where nothing rounds and nothing dies out: `lift`, `combine` and each
 * schedule give the states of `step`, bit for bit, and so does the counter online.
 *
 * A schedule runs inside blocks, whose products it scans in turn; so no more than a block is in memory.
 */
import { test } from "node:test";
import { assert } from "@std/assert";
import { type AnyAffineModel, stateColumns, stateRows } from "../../models/affine.ts";
import { faultySchedule } from "../../models/execution.ts";
import { stateWidth } from "../../models/inputs.ts";
import { models } from "../../models/mod.ts";
import { modular } from "../../models/modular.ts";
import { type Element, type LaneState, type ModelMonoid, modelMonoid } from "../../models/run.ts";
import { residueTokens } from "../../oracle/checks/exact.ts";
import { stepLanes } from "../../oracle/run.ts";
import type { FieldValues } from "../../models/token.ts";
import { blelloch, chunked, Counter, type Schedule } from "../../scan/mod.ts";

const STEPS = 2 ** 20;
const BLOCK = 2 ** 10;
/** Tokens repeat with a period that has nothing in common with any block or chunk. */
const PERIOD = 4093;

const sizes = { K: 2, V: 1, D: 1, N: 1 };
const A = modular(65521);

interface Case {
  readonly model: AnyAffineModel;
  readonly monoid: ModelMonoid<number>;
  readonly tokens: readonly FieldValues<number>[];
  readonly elements: readonly Element<number>[];
  readonly initial: LaneState<number>;
}

function caseOf(model: AnyAffineModel): Case {
  const monoid = modelMonoid(A, model, sizes);
  const tokens = residueTokens(model, sizes, PERIOD, 1);
  const initial = Array.from({ length: stateRows(model, sizes) * stateColumns(model, sizes) }, (_, lane) => [
    lane + 7,
    ...(stateWidth(model) === 2 ? [model.action === "scaled" ? 0 : lane + 9] : []),
  ]);
  return { model, monoid, tokens, elements: tokens.map((token) => monoid.lift(token)), initial };
}

function block({ elements }: Case, b: number): Element<number>[] {
  return Array.from({ length: BLOCK }, (_, i) => elements[(b * BLOCK + i) % PERIOD]!);
}

function same(x: LaneState<number>, y: LaneState<number>): boolean {
  return x.every((lane, l) => lane.every((value, c) => value === y[l]![c]));
}

/** What each block does, as one element. */
function blockProducts(given: Case): Element<number>[] {
  return Array.from(
    { length: STEPS / BLOCK },
    (_, b) => block(given, b).reduce((product, x) => given.monoid.combine(product, x)),
  );
}

/** The state before each block: the blocks' products, scanned by the schedule itself. */
function incoming(
  { monoid, initial }: Case,
  products: readonly Element<number>[],
  schedule: Schedule,
): LaneState<number>[] {
  return [initial, ...schedule.inclusive<Element<number>>(monoid, products).map((x) => monoid.apply(x, initial))];
}

/** The first step at which a schedule, or the counter, leaves the states of `step`; undefined if none. */
function firstDifference(given: Case, schedules: readonly Schedule[]): string | undefined {
  const { model, monoid, tokens, elements, initial } = given;
  const products = blockProducts(given);
  const before = schedules.map((schedule) => incoming(given, products, schedule));
  const online = new Counter<Element<number>>(monoid);
  let state = initial;
  for (let b = 0; b < STEPS / BLOCK; b++) {
    const prefixes = schedules.map((schedule) => schedule.inclusive<Element<number>>(monoid, block(given, b)));
    for (let i = 0; i < BLOCK; i++) {
      const s = b * BLOCK + i;
      state = stepLanes(A, model, sizes, tokens[s % PERIOD]!, state);
      online.push(elements[s % PERIOD]!);
      if (!same(monoid.apply(online.prefix()!, initial), state)) return `counter, step ${s}`;
      for (let n = 0; n < schedules.length; n++) {
        if (!same(monoid.apply(prefixes[n]![i]!, before[n]![b]!), state)) return `${schedules[n]!.name}, step ${s}`;
      }
    }
  }
  return undefined;
}

/** One of every action, for the controls. */
const chosen = ["linear-attention", "mamba2", "gla", "s4d", "mlstm", "kda"].map((name) =>
  models.find((model) => model.name === name)!
);

for (const model of models) {
  test(`${model.name} is exact to ${STEPS} steps over F_65521`, () => {
    const bad = firstDifference(caseOf(model), [blelloch, chunked(64)]);
    assert(bad === undefined, bad);
  });
}

for (const model of chosen) {
  test(`control: faults in and across the blocks of ${model.name} are seen`, () => {
    const given = caseOf(model);
    const products = blockProducts(given);
    const last = (schedule: Schedule): LaneState<number> => incoming(given, products, schedule).at(-1)!;
    for (const fault of ["dropped-carry", "swapped-operands"] as const) {
      // A sum has no order.
      if (fault === "swapped-operands" && model.action === "identity") continue;
      const faulty = faultySchedule(blelloch, fault);
      assert(!same(last(faulty), last(blelloch)), `${fault} across blocks`);
      assert(firstDifference(given, [faulty])?.startsWith(faulty.name) === true, `${fault} in blocks`);
    }
  });
}
