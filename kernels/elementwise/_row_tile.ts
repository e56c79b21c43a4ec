/**
 * A tile of a row: the tokens that the invocations of a row hold in registers at one time, each a few units of
 * neighbouring tokens. As WGSL text: load, scan inside the tile, and run through it again from a known state.
 *
 * Two orders. `striped`: neighbouring lanes of a subgroup hold neighbouring units, so that a load is contiguous; each
 * of the `vectors` units of a lane is scanned over the lanes by shuffles. `blocked`: an invocation holds neighbouring units,
 * which are scanned once. Without subgroups the scan is Kogge and Stone's in workgroup memory, and blocked.
 *
 * The texts use, from the kernel around them: `p` (rows.ts), `local`, `lane`, `size` (of a subgroup), `base` (the row's first
 * unit), `end` (what units are below, in the scan's order), `start_state`, and the variable `carry`.
 *
 * @module
 */
import { type Job, type StreamName, streamsOf } from "./_job.ts";
import { type Recurrence, recurrenceOf } from "./_recurrence.ts";
import { sharedScan, shuffledScan, type TileShape } from "./_row_scan.ts";

export type { TileShape } from "./_row_scan.ts";
import { type Unit, unitOf, type Width } from "./_unit.ts";

/** The texts of one job's tiles. */
export interface RowTile {
  readonly shape: TileShape;
  readonly recurrence: Recurrence;
  readonly units: { readonly [name: string]: Unit };
  /** Units of a tile. */
  readonly extent: number;
  /** Workgroup variables. */
  readonly outside: string;
  /** Declares `slot` (the row in the workgroup), `place` (in the row), `offset` (of the first unit), registers. */
  readonly setup: string;
  /** Loads the tile at unit `tile` into the registers `next_…`. */
  load(tile: string): string;
  /** Takes the loaded registers over. */
  readonly take: string;
  /** Scans the tile; afterwards {@linkcode prefix} holds. Ends with a barrier where totals cross subgroups. */
  readonly scan: string;
  /** Takes the variables `A` (if gated) and `B` over the whole tile, and calls `before` where the state of this group is them. */
  fold(total: (A: string, B: string) => string, before: string): string;
  /** Runs through the tile at unit `tile` from the state `mine` before this group, and stores. */
  apply(tile: string, mine: string): string;
  /** What has to come before the next tile's scan. */
  readonly separate: string;
}

const numbers = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** The unit in memory of unit `u` of the scan's order. */
export function memoryUnit(job: Job, u: string): string {
  return job.reverse ? `base + (p.units - 1u - (${u}))` : `base + ${u}`;
}

/** Places of a unit's numbers in the order they are scanned. */
export function scanOrder(job: Job, width: Width): number[] {
  return job.reverse ? numbers(width).reverse() : numbers(width);
}

export function rowTile(job: Job, shape: TileShape): RowTile {
  const { vectors, width, order, threads, whole } = shape;
  const names = streamsOf(job);
  const units = Object.fromEntries(names.map((name) => [name, unitOf(job.tensors[name]!.dtype, width)]));
  const recurrence = recurrenceOf(job);
  const { gated } = recurrence;
  const striped = order === "striped";
  const loaded = names.filter((name) => name === "gates" || name === "inputs" || name === "previous");
  const unitAt = (tile: string, i: number): string =>
    `${tile} + offset + ${striped ? (i === 0 ? "0u" : `${i}u * size`) : `${i}u`}`;
  const element = (name: StreamName, i: number, e: number): string => units[name]!.element(`${name}_${i}`, e);
  const hasPrevious = job.tensors.previous !== undefined;
  const last = vectors - 1;

  function load(tile: string): string {
    const lines = numbers(vectors).map((i) => {
      const loads = loaded.map((name) => `next_${name}_${i} = ${name}[at];`).join(" ");
      // h of the unit before, in memory, of the last unit: no other register of this subgroup holds it.
      const edge = hasPrevious && i === last
        ? `if (${striped ? "lane + 1u == size && " : ""}u + 1u < p.units) { next_edge = ${
          units.previous!.element("previous[at - 1u]", width - 1)
        }; }`
        : "";
      const body = `let at = ${memoryUnit(job, "u")}; ${loads} ${edge}`;
      if (whole) return `{ let u = ${unitAt(tile, i)}; ${body} }`;
      const nothing = loaded.map((name) =>
        `next_${name}_${i} = ${name === "gates" ? units[name]!.ones : units[name]!.zeros};`
      ).join(" ");
      return `{ let u = ${unitAt(tile, i)}; ${nothing} if (u < end) { ${body} } }`;
    });
    return lines.join("\n");
  }

  const registers = [
    ...loaded.flatMap((name) => numbers(vectors).map((i) => `var next_${name}_${i}: ${units[name]!.type};`)),
    ...(hasPrevious ? ["var next_edge = 0.0;"] : []),
  ].join("\n");
  const take = [
    ...loaded.flatMap((name) => numbers(vectors).map((i) => `let ${name}_${i} = next_${name}_${i};`)),
    ...(hasPrevious ? ["let edge = next_edge;"] : []),
  ].join("\n");

  const inOrder = scanOrder(job, width);
  const extend = (A: string, B: string, i: number): string =>
    inOrder.map((e) => recurrence.extended(A, B, gated ? element("gates", i, e) : "", element("inputs", i, e)))
      .join("\n");
  const entities = striped ? numbers(vectors).map((i) => [i]) : [numbers(vectors)];
  const aggregates = entities.map((own, n) =>
    `${gated ? `var A_${n} = 1.0; ` : ""}var B_${n} = 0.0;\n${own.map((i) => extend(`A_${n}`, `B_${n}`, i)).join("\n")}`
  ).join("\n");
  const method = shape.subgroup === undefined
    ? sharedScan(recurrence, threads, shape.rows)
    : shuffledScan(recurrence, shape, entities.length);

  /** h of the token before the first of unit i, in memory. */
  const below = (tile: string): string => {
    if (!hasPrevious) return "";
    const lastOf = (i: number): string => element("previous", i, width - 1);
    return numbers(vectors).map((i) => {
      const ahead = i < last;
      const next = !striped
        ? ahead ? lastOf(i + 1) : "edge"
        : `select(subgroupShuffleDown(${lastOf(i)}, 1u), ${
          ahead ? `subgroupShuffle(${lastOf(i + 1)}, 0u)` : "edge"
        }, lane + 1u == size)`;
      return `let below_${i} = select(${next}, start_state, ${unitAt(tile, i)} + 1u == p.units);`;
    }).join("\n");
  };

  function runThrough(tile: string, i: number, state: string): string {
    const steps = inOrder.map((e) =>
      recurrence.step(state, gated ? element("gates", i, e) : "", element("inputs", i, e), `y_${i}_${e}`)
    );
    const stored = (name: StreamName, value: (e: number) => string): string =>
      job.tensors[name] === undefined
        ? ""
        : `${name}[at] = ${units[name]!.pack(numbers(width).map((e) => recurrence.stored(value(e))))};`;
    const before = (e: number): string => e === 0 ? `below_${i}` : element("previous", i, e - 1);
    const stores = stored("outputs", (e) => `y_${i}_${e}`) +
      stored("gate_outputs", (e) => `(y_${i}_${e} * ${before(e)})`);
    const body = `let at = ${memoryUnit(job, `(${unitAt(tile, i)})`)}; ${stores}`;
    return `${steps.join("\n")}\n${whole ? `{ ${body} }` : `if (${unitAt(tile, i)} < end) { ${body} }`}`;
  }

  return {
    shape,
    recurrence,
    units,
    extent: threads * vectors,
    outside: method.outside,
    setup: `${method.setup}
  let offset = ${striped ? `group * (size * ${vectors}u) + lane` : `place * ${vectors}u`};
${registers}`,
    load,
    take,
    scan: `${aggregates}\n${method.scan}`,
    fold: method.fold,
    apply: (tile, mine) =>
      [
        below(tile),
        ...entities.flatMap((own, n) => [
          `var s_${n} = ${recurrence.applied(`beforeA_${n}`, `beforeB_${n}`, mine)};`,
          ...own.map((i) => runThrough(tile, i, `s_${n}`)),
        ]),
      ].join("\n"),
    separate: method.separate,
  };
}
