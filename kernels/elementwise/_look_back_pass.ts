/**
 * A single pass over rows in tiles that look back: its two kernels, one that clears the flags and the pass itself.
 *
 * @module
 */
import { relativeFactor } from "../faults.ts";
import type { Dispatch, Gpu } from "../gpu.ts";
import {
  assemble,
  type Binding,
  compileShader,
  dispatch,
  dispatchItems,
  entryPerItem,
  type Shader,
  storage,
} from "../wgsl.ts";
import type { Job } from "./_job.ts";
import { lookBackSource, TICKET_WORDS, tileWords, totalSource, wordFunctions } from "./_look_back.ts";
import { type Scratch, stateBuffers, uniform } from "./_pass.ts";
import { rowTile, type TileShape } from "./_row_tile.ts";
import { entry, rowParams, streamBindings } from "./_rows.ts";
import { slicesOf } from "./_slices.ts";
import type { ScanTuning } from "./_tuning.ts";

const flags: Binding = { name: "flags", access: "read_write", type: "array<atomic<u32>>" };

/** The uniform of the row kernels; `chunks` counts the tiles of a row. */
const clearShader: Shader = assemble("look-back: clear", {
  bindings: [{ name: "words", access: "read_write", type: "array<u32>" }],
  source: entryPerItem("arrayLength(&words)", "  words[id] = 0u;"),
});

/** How far and how long a tile looks back. */
interface LookBack {
  readonly window: number;
  readonly ticket: boolean;
  readonly patience: number;
  readonly mute: number | undefined;
  /** Tiles by which totals are taken ahead; 0: every tile is read once. */
  readonly lead: number;
}

/** What the ticket `turn` stands for: `task`, its tile, and whether only the tile's total is wanted. See _look_back.ts. */
function ticketed(lead: number): string {
  if (lead === 0) return "let task = turn;\n  if (task >= p.rows * p.chunks) { return; }";
  return /* wgsl */ `let all = p.rows * p.chunks;
  if (turn >= 2u * all) { return; }
  let lead = min(${lead}u, all);
  let alternating = 2u * (all - lead);
  let later = turn - min(turn, lead);
  let total_only = turn < lead || (later < alternating && (later & 1u) == 1u);
  let task = select(
    select(all - lead + later - min(later, alternating), later / 2u, later < alternating),
    select(lead + later / 2u, turn, turn < lead),
    total_only,
  );`;
}

function lookBackShader(job: Job, shape: TileShape, look: LookBack): Shader {
  const tile = rowTile(job, shape);
  const { recurrence } = tile;
  const { gated } = recurrence;
  const { enable, head } = entry(shape);
  const one = shape.subgroup === undefined ? "place == 0u" : "group == 0u";
  const whole = (A: string, B: string): string =>
    `totalB = ${recurrence.applied(A, B, "totalB")}; ${gated ? `totalA = ${A} * totalA;` : ""}`;
  const onward = (A: string, B: string): string => `state = ${recurrence.applied(A, B, "state")};`;
  const dropped = job.fault === "dropped-carry" ? "if (k > 0u) { state = 0.0; }" : "";
  const finish = job.final === undefined
    ? ""
    : `if (place == 0u && k + 1u == p.chunks) { final_state[state_row] = state${relativeFactor(job.fault)}; }`;
  const source = /* wgsl */ `
${rowParams}
${tile.outside}
var<workgroup> ticket: u32;
var<workgroup> before: f32;
${wordFunctions}
${head}
  ${
    look.ticket
      ? "if (local == 0u) { ticket = atomicAdd(&flags[0], 1u); }\n  let turn = workgroupUniformLoad(&ticket);"
      : "let turn = flat_workgroup(workgroup, grid);"
  }
  ${ticketed(look.lead)}
  ${tile.setup}
  let row = task / p.chunks;
  let k = task % p.chunks;
  let state_row = p.first_row + row;
  let base = row * p.units;
  let end = p.units;
  let tile = k * ${tile.extent}u;
  ${
    job.tensors.previous === undefined
      ? ""
      : `let start_state = ${job.start === undefined ? "0.0" : "start[state_row]"};`
  }
  ${tile.load("tile")}
  ${tile.take}
  ${tile.scan}
  if (${one}) {
    ${gated ? "var totalA = 1.0;" : ""}
    var totalB = 0.0;
    ${tile.fold(whole, "")}
    ${look.lead > 0 ? `if (total_only) {\n${totalSource(tile, look.mute)}\n} else {` : ""}
    ${lookBackSource(job, tile, { ...look, published: look.lead > 0 })}
    ${look.lead > 0 ? "}" : ""}
  }
  ${look.lead > 0 ? "if (total_only) { return; }" : ""}
  workgroupBarrier();
  var state = before;
  ${dropped}
  var mine = state;
  ${tile.fold(onward, "mine = state;")}
  ${tile.apply("tile", "mine")}
  ${finish}
}
`;
  return assemble(`${job.what} rows: look-back`, {
    enable,
    bindings: [
      { name: "p", access: "uniform", type: "Params" },
      ...streamBindings(job, tile),
      storage("initial", "f32"),
      storage("start", "f32"),
      storage("final_state", "f32", "read_write"),
      flags,
    ],
    source,
  });
}

/** Reads of a missing predecessor, some microseconds each, after which it is not waited for any longer. */
const PATIENCE = 2 ** 10;

export async function lookBackPass(
  gpu: Gpu,
  job: Job,
  shape: TileShape,
  { window = 8, ticket = true, patience = PATIENCE, mute, lead = 0, bindingBytes }: ScanTuning,
  scratch: Scratch,
): Promise<{ readonly dispatches: Dispatch[]; readonly words: string }> {
  const gated = job.tensors.gates !== undefined;
  const units = job.T / shape.width;
  const tiles = Math.max(1, Math.ceil(units / (shape.threads * shape.vectors)));
  const look: LookBack = { window: shape.subgroup === undefined ? 1 : window, ticket, patience, mute, lead };
  const [clear, pass] = await Promise.all([
    compileShader(gpu, clearShader),
    compileShader(gpu, lookBackShader(job, shape, look)),
  ]);
  const dispatches = slicesOf(gpu, job, bindingBytes).flatMap(({ first, count, buffers }): Dispatch[] => {
    const words = TICKET_WORDS + tileWords(gated) * count * tiles;
    const own = gpu.createBuffer({ bytes: 4 * words, label: "look-back flags" });
    scratch.buffers.push(own);
    const p = uniform(gpu, scratch, "scan rows", [count, first, units, units, tiles]);
    return [
      dispatchItems(clear, { words: own }, words),
      dispatch(pass, { ...buffers, ...stateBuffers(job), flags: own, p }, count * tiles * (lead > 0 ? 2 : 1)),
    ];
  });
  return {
    dispatches,
    words: `windows of ${look.window}, ${ticket ? "tickets" : "in workgroup order"}` +
      (lead > 0 ? `, totals ${lead} tiles ahead` : ""),
  };
}
