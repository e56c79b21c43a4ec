/**
 * The scan inside a tile of a row, over its invocations: by shuffles and group totals in workgroup memory, or in workgroup
 * memory alone. Both turn the elements `A_n`, `B_n` of every invocation into those of all that come before it in its
 * group, `beforeA_n`, `beforeB_n`, and know each group's total.
 *
 * @module
 */
import type { Recurrence } from "./_recurrence.ts";
import type { Width } from "./_unit.ts";

/** How the invocations of a row share its tokens. */
export interface TileShape {
  /** Invocations of a row. */
  readonly threads: number;
  /** Rows of a workgroup. */
  readonly rows: number;
  /** Units of an invocation. */
  readonly vectors: number;
  /** Tokens of a unit. */
  readonly width: Width;
  readonly order: "striped" | "blocked";
  /** Sizes of subgroups; undefined: workgroup memory alone. */
  readonly subgroup: { readonly min: number; readonly max: number } | undefined;
  /** Whether subgroup n is invocations n·size … : known of some drivers, promised by none. */
  readonly linear: boolean;
  /** Whether every tile is full and every row of a workgroup exists. */
  readonly whole: boolean;
}

/** The texts of one method; see RowTile for what they mean. */
export interface ScanMethod {
  readonly outside: string;
  readonly setup: string;
  readonly scan: string;
  fold(total: (A: string, B: string) => string, before: string): string;
  readonly separate: string;
}

const numbers = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** WGSL's name of the subgroup's size: a literal where all subgroups of the device have the same. */
export function subgroupSize({ min, max }: { readonly min: number; readonly max: number }): string {
  return min === max ? `${min}u` : "reported";
}

/**
 * Kogge and Stone by shuffles, `entities` elements of each invocation one after the other; the totals of subgroups are
 * kept twice, for even and odd tiles, so that one barrier a tile is enough.
 */
export function shuffledScan(recurrence: Recurrence, shape: TileShape, entities: number): ScanMethod {
  const { gated } = recurrence;
  const { threads, rows, linear } = shape;
  const { min, max } = shape.subgroup!;
  const most = threads / min;
  const alone = most === 1;
  const names = gated ? ["A", "B"] : ["B"];
  const swap = (n: number, distance: string): string =>
    names.map((x) => `let earlier${x}_${n} = subgroupShuffleUp(${x}_${n}, ${distance});`).join(" ");
  const round = (distance: string): string =>
    [
      ...numbers(entities).map((n) => swap(n, distance)),
      `if (lane >= ${distance}) {`,
      ...numbers(entities).map((n) => recurrence.composed(`A_${n}`, `B_${n}`, `earlierA_${n}`, `earlierB_${n}`)),
      "}",
    ].join("\n");
  const rounds = min === max
    ? numbers(Math.log2(max)).map((r) => `{ ${round(`${2 ** r}u`)} }`).join("\n")
    : `for (var distance = 1u; distance < size; distance *= 2u) { ${round("distance")} }`;
  const identity = (x: string): string => x === "A" ? "1.0" : "0.0";
  // What comes before a lane's entity: earlier lanes' of the same one, and earlier entities of all lanes.
  const before = numbers(entities).map((n) => {
    const shifted = names.map((x) =>
      `let shifted${x}_${n} = select(subgroupShuffleUp(${x}_${n}, 1u), ${identity(x)}, lane == 0u);`
    );
    const totals = names.map((x) => `let total${x}_${n} = subgroupShuffle(${x}_${n}, size - 1u);`);
    const first = n === 0;
    const composed = first ? names.map((x) => `let before${x}_${n} = shifted${x}_${n};`) : [
      ...(gated ? [`let beforeA_${n} = shiftedA_${n} * groupA;`] : []),
      `let beforeB_${n} = ${recurrence.applied(`shiftedA_${n}`, `shiftedB_${n}`, "groupB")};`,
    ];
    const running = first ? names.map((x) => `var group${x} = total${x}_${n};`) : [
      `groupB = ${recurrence.applied(`totalA_${n}`, `totalB_${n}`, "groupB")};`,
      ...(gated ? [`groupA = totalA_${n} * groupA;`] : []),
    ];
    return [...shifted, ...totals, ...composed, ...running].join("\n");
  }).join("\n");
  const slots = 2 * rows * most;
  const share = alone
    ? ""
    : `if (lane == 0u) { ${names.map((x) => `totals${x}[totals_at + group] = group${x};`).join(" ")} }
workgroupBarrier();`;
  return {
    outside: [
      ...(alone ? [] : names.map((x) => `var<workgroup> totals${x}: array<f32, ${slots}>;`)),
      ...(linear ? [] : ["var<workgroup> arrivals: atomic<u32>;"]),
    ].join("\n"),
    setup: /* wgsl */ `
  let size = ${subgroupSize(shape.subgroup!)};
  let groups = ${threads}u / size;
  ${
      // Nothing promises that subgroups are made of consecutive invocations: any order of them will do.
      linear
        ? "let arrival = local / size;"
        : "var arrival = 0u; if (subgroupElect()) { arrival = atomicAdd(&arrivals, 1u); } arrival = subgroupBroadcastFirst(arrival);"}
  let slot = arrival / groups;
  let group = arrival % groups;
  let place = group * size + lane;
  var totals_at = slot * ${most}u;`,
    scan: [rounds, before, share].join("\n"),
    fold: (total, mine) =>
      alone ? `${mine}\n${total("groupA", "groupB")}` : /* wgsl */ `for (var g = 0u; g < groups; g++) {
  if (g == group) { ${mine} }
  ${total("totalsA[totals_at + g]", "totalsB[totals_at + g]")}
}`,
    // The other half of the totals: slots of one half are `rows · most`.
    separate: alone ? "" : `totals_at = (totals_at + ${slots / 2}u) % ${slots}u;`,
  };
}

/** Kogge and Stone in workgroup memory; the row is one group. */
export function sharedScan(recurrence: Recurrence, threads: number, rows: number): ScanMethod {
  const { gated } = recurrence;
  const names = gated ? ["A", "B"] : ["B"];
  const write = names.map((x) => `scanned${x}[local] = ${x}_0;`).join(" ");
  return {
    outside: names.map((x) => `var<workgroup> scanned${x}: array<f32, ${threads * rows}>;`).join("\n"),
    setup: /* wgsl */ `
  let slot = local / ${threads}u;
  let place = local % ${threads}u;`,
    scan: /* wgsl */ `${write}
workgroupBarrier();
for (var distance = 1u; distance < ${threads}u; distance *= 2u) {
  let other = local - min(distance, place);
  ${names.map((x) => `let earlier${x} = scanned${x}[other];`).join(" ")}
  workgroupBarrier();
  if (place >= distance) { ${recurrence.composed("A_0", "B_0", "earlierA", "earlierB")} ${write} }
  workgroupBarrier();
}
let neighbour = local - min(1u, place);
${
      names.map((x) => `let before${x}_0 = select(scanned${x}[neighbour], ${x === "A" ? "1.0" : "0.0"}, place == 0u);`)
        .join("\n")
    }
${names.map((x) => `let group${x} = scanned${x}[slot * ${threads}u + ${threads - 1}u];`).join("\n")}`,
    fold: (total, mine) => `${mine}\n${total("groupA", "groupB")}`,
    separate: "workgroupBarrier();",
  };
}
