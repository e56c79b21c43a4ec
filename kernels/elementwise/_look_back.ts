/**
 * The look-back of a single pass over rows, as WGSL: how a tile learns the state before it from the tiles before it.
 *
 * A tile publishes its total as soon as it knows it (flag 1), and the state behind it once it knows that (flag 2). One that
 * wants the state before it reads its predecessors, the nearest first, a window at a time, and composes totals until it
 * meets a state (Merrill and Garland's decoupled look-back). A predecessor that has published nothing for too long
 * is reduced by the one who waits, from the tensors themselves: so the pass ends even where a started workgroup may be
 * held up for ever (Smith, Levien and Owens, SPAA 2025; theirs is published for others too, ours is not: a
 * total recomputed elsewhere may be rounded otherwise, and its words must not be mixed with the owner's).
 *
 * With a lead of n tiles, totals are taken by workgroups of their own, n tiles ahead of those that look back: in the order
 *
 *     R_0 … R_{n−1}  A_0 R_n A_1 R_{n+1} …  A_{last}
 *
 * where R_k reads tile k and publishes its total, and A_k reads it again, looks back and stores. What A_k looks back to
 * was published before it began, by all but chance: nobody waits. The second read costs no memory traffic as long as n
 * tiles and what is written meanwhile stay in the last-level cache. A total may be published behind its tile's state: a
 * state that turns into a total again is looked past.
 *
 * WGSL has neither 64-bit atomics nor release and acquire between workgroups, so every 32-bit word carries its flag: half
 * of a float's bits and 2 bits that say of what. A value is read once all of its words have the same flag.
 *
 * @module
 */
import { type Job, streamsOf } from "./_job.ts";
import { initialOf } from "./_rows.ts";
import { memoryUnit, type RowTile, scanOrder } from "./_row_tile.ts";

/** Words before the flags: the ticket, on a cache line of its own. */
export const TICKET_WORDS = 32;

/** Words of a tile. */
export function tileWords(gated: boolean): number {
  return gated ? 4 : 2;
}

const numbers = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** Functions: publish a number of tile `at`, and join the two words of one. `part` 0 is B, 1 is A. */
export const wordFunctions: string = /* wgsl */ `
fn publish(part: u32, at: u32, stride: u32, value: f32, flag: u32) {
  let bits = bitcast<u32>(value);
  atomicStore(&flags[${TICKET_WORDS}u + 2u * part * stride + at], ((bits >> 16u) << 2u) | flag);
  atomicStore(&flags[${TICKET_WORDS}u + (2u * part + 1u) * stride + at], ((bits & 0xffffu) << 2u) | flag);
}
fn word(n: u32, at: u32, stride: u32) -> u32 { return atomicLoad(&flags[${TICKET_WORDS}u + n * stride + at]); }
fn flag_of(high: u32, low: u32) -> u32 { return select(0u, high & 3u, (high & 3u) == (low & 3u)); }
fn joined(high: u32, low: u32) -> f32 { return bitcast<f32>(((high >> 2u) << 16u) | (low >> 2u)); }
`;

/** Over the lanes that look back: a subgroup, or one invocation. */
interface Lanes {
  readonly lane: string;
  readonly size: string;
  least(value: string): string;
  first(value: string): string;
  /** Composes the elements of all lanes into that of lane 0; lane 0 holds the latest (`backwards`) or the earliest. */
  compose(backwards: boolean): string;
}

function lanesOf({ shape, recurrence: { gated } }: RowTile): Lanes {
  if (shape.subgroup === undefined) {
    return { lane: "0u", size: "1u", least: (x) => x, first: (x) => x, compose: () => "" };
  }
  const names = gated ? ["A", "B"] : ["B"];
  return {
    lane: "lane",
    size: "size",
    least: (x) => `subgroupMin(${x})`,
    first: (x) => `subgroupShuffle(${x}, 0u)`,
    compose(backwards) {
      const join = !gated ? "B = B + oB;" : backwards ? "B = A * oB + B; A = A * oA;" : "B = oA * B + oB; A = oA * A;";
      return `for (var distance = 1u; distance < size; distance *= 2u) {
  ${names.map((x) => `let o${x} = subgroupShuffleDown(${x}, distance);`).join(" ")}
  ${join}
}`;
    },
  };
}

/** The head of a statement of who publishes for a tile; every `mute`-th publishes nothing. */
function speaker(tile: RowTile, mute: number | undefined): string {
  const speaks = mute === undefined ? "" : ` && task % ${mute}u != ${mute - 1}u`;
  return `if (${lanesOf(tile).lane} == 0u${speaks})`;
}

/** Statements that publish `totalA`, `totalB` as the element of tile `task`. */
function publishTotal(gated: boolean): string {
  return `${gated ? "publish(1u, task, stride, totalA, 1u);" : ""} publish(0u, task, stride, totalB, 1u);`;
}

/** Statements that publish a tile's total and no more. Run by one subgroup (or one invocation). */
export function totalSource(tile: RowTile, mute: number | undefined): string {
  return `let stride = p.rows * p.chunks;\n${speaker(tile, mute)} { ${publishTotal(tile.recurrence.gated)} }`;
}

/**
 * Statements that set `before`, the state before tile `k` of row `row`, from `totalA`, `totalB`, the tile's own element, and
 * publish. Run by one subgroup (or one invocation).
 */
export function lookBackSource(
  job: Job,
  tile: RowTile,
  { window, patience, mute, published }: {
    readonly window: number;
    readonly patience: number;
    readonly mute: number | undefined;
    /** Whether another workgroup publishes the tile's total: this one only the state behind it. */
    readonly published: boolean;
  },
): string {
  const { gated } = tile.recurrence;
  const lanes = lanesOf(tile);
  const { lane, size } = lanes;
  const own = speaker(tile, mute);
  const each = (text: (m: number) => string): string => numbers(window).map(text).join("\n");
  const predecessor = (m: number): string => `i32(left) - 1 - i32(${m}u * ${size} + ${lane})`;
  const accumulate = gated ? "accB = accA * B + accB; accA = accA * A;" : "accB = accB + B;";
  const composed = (x: string): string => `${x} = ${lanes.first(x)};`;
  return /* wgsl */ `
let stride = p.rows * p.chunks;
let first_state = ${initialOf(job, "state_row")};
var before_tile = first_state;
if (k > 0u) {
  ${published ? "" : `${own} { ${publishTotal(gated)} }`}
  ${gated ? "var accA = 1.0;" : ""}
  var accB = 0.0;
  // Predecessors in the row that are not composed yet; all the others are.
  var left = k;
  var found = false;
  var polls = 0u;
  while (!found) {
    ${
    each((m) => /* wgsl */ `
    let q_${m} = ${predecessor(m)};
    let at_${m} = task - k + u32(max(q_${m}, 0));
    let bh_${m} = word(0u, at_${m}, stride); let bl_${m} = word(1u, at_${m}, stride);
    ${gated ? `let ah_${m} = word(2u, at_${m}, stride); let al_${m} = word(3u, at_${m}, stride);` : ""}`)
  }
    var taken = 0u;
    var waiting = false;
    ${
    each((m) => /* wgsl */ `
    if (!found && !waiting) {
      // Before the first tile is what the row begins with.
      var flag = 2u;
      var A = 0.0;
      var B = select(0.0, first_state, q_${m} == -1);
      if (q_${m} >= 0) {
        flag = flag_of(bh_${m}, bl_${m});
        B = joined(bh_${m}, bl_${m});
        ${gated ? `if (flag == 1u) { flag = flag_of(ah_${m}, al_${m}); A = joined(ah_${m}, al_${m}); }` : ""}
      }
      let stop = ${lanes.least(`select(${size}, ${lane}, flag == 2u)`)};
      let wait = ${lanes.least(`select(${size}, ${lane}, flag == 0u)`)};
      let usable = min(min(wait, stop + 1u), ${size});
      if (${lane} >= usable) { A = 1.0; B = 0.0; }
      ${lanes.compose(true)}
      ${gated ? composed("A") : ""} ${composed("B")}
      ${accumulate}
      taken += usable;
      found = stop < wait;
      waiting = wait < stop;
    }`)
  }
    left -= min(taken, left);
    polls = select(0u, polls + 1u, waiting && taken == 0u);
    if (polls > ${patience}u) {
      ${reduceTile(job, tile, lanes)}
      ${accumulate.replaceAll(/\b([AB])\b/g, "missing$1")}
      left -= 1u;
      polls = 0u;
    }
  }
  before_tile = accB;
}
${own} { publish(0u, task, stride, ${tile.recurrence.applied("totalA", "totalB", "before_tile")}, 2u); }
if (${lane} == 0u) { before = before_tile; }
`;
}

/** Statements that compose tile `left − 1` of the row to `missingA`, `missingB`. */
function reduceTile(job: Job, { units, recurrence, extent, shape }: RowTile, lanes: Lanes): string {
  const { gated } = recurrence;
  const { lane, size } = lanes;
  const names = streamsOf(job).filter((name) => name === "gates" || name === "inputs");
  const extend = scanOrder(job, shape.width).map((e) =>
    recurrence.extended(
      "A",
      "B",
      gated ? units.gates!.element("own_gates", e) : "",
      units.inputs!.element("own_inputs", e),
    )
  );
  return /* wgsl */ `
let from_unit = (left - 1u) * ${extent}u;
${gated ? "var missingA = 1.0;" : ""}
var missingB = 0.0;
for (var ahead = from_unit; ahead < from_unit + ${extent}u; ahead += ${size}) {
  let u = ahead + ${lane};
  ${gated ? "var A = 1.0;" : ""}
  var B = 0.0;
  if (u < p.units) {
    let at = ${memoryUnit(job, "u")};
    ${names.map((name) => `let own_${name} = ${name}[at];`).join(" ")}
    ${extend.join("\n    ")}
  }
  ${lanes.compose(false)}
  ${gated ? `A = ${lanes.first("A")};` : ""} B = ${lanes.first("B")};
  missingB = ${recurrence.applied("A", "B", "missingB")};
  ${gated ? "missingA = A * missingA;" : ""}
}`;
}
