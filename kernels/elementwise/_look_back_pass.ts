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
import { lookBackSource, TICKET_WORDS, tileWords, wordFunctions } from "./_look_back.ts";
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
      ? "if (local == 0u) { ticket = atomicAdd(&flags[0], 1u); }\n  let task = workgroupUniformLoad(&ticket);"
      : "let task = flat_workgroup(workgroup, grid);"
  }
  if (task >= p.rows * p.chunks) { return; }
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
    ${lookBackSource(job, tile, look)}
  }
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
  { window = 8, ticket = true, patience = PATIENCE, mute, bindingBytes }: ScanTuning,
  scratch: Scratch,
): Promise<{ readonly dispatches: Dispatch[]; readonly words: string }> {
  const gated = job.tensors.gates !== undefined;
  const units = job.T / shape.width;
  const tiles = Math.max(1, Math.ceil(units / (shape.threads * shape.vectors)));
  const look: LookBack = { window: shape.subgroup === undefined ? 1 : window, ticket, patience, mute };
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
      dispatch(pass, { ...buffers, ...stateBuffers(job), flags: own, p }, count * tiles),
    ];
  });
  return { dispatches, words: `windows of ${look.window}, ${ticket ? "tickets" : "in workgroup order"}` };
}
