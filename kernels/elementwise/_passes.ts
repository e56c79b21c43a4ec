/**
 * A job as dispatches, by any path.
 *
 * Reduce, scan, apply: every chunk of every row is composed to one element; the elements are tokens of a scan of the
 * same kind (in the scan's own order, whatever that of the job); its outputs are the states that come into the chunks,
 * from which every chunk is run through.
 *
 * @module
 */
import type { Dispatch, Gpu } from "../gpu.ts";
import { Tensor } from "../tensor.ts";
import type { ColumnShape } from "./_columns.ts";
import { columnCombines, lookBackCombines, rowCombines } from "./_combines.ts";
import type { Job } from "./_job.ts";
import { lookBackPass } from "./_look_back_pass.ts";
import { type Chunking, columnPass, rowPass, type Scratch } from "./_pass.ts";
import type { TileShape } from "./_row_tile.ts";
import { columnShape, pathOf, type ScanPath, type ScanTuning, tileShape } from "./_tuning.ts";
import type { Width } from "./_unit.ts";

/** The dispatches of a job, and what there is to say of them. */
export interface Passes {
  readonly path: ScanPath;
  readonly dispatches: readonly Dispatch[];
  /** `128 threads × 2 vectors of 4, striped, subgroups` */
  readonly words: string;
  /** See `Rounding.rightCombines` in models/execution.ts. */
  readonly rightCombines: number;
}

/** Workgroups that time is cut for. */
const BUSY = 2048;

export function passesOf(
  gpu: Gpu,
  job: Job,
  tuning: ScanTuning,
  width: Width,
  scratch: Scratch,
): Promise<Passes> {
  const path = pathOf(gpu, job, tuning, width);
  if (path === "look-back") return lookBack(gpu, job, tuning, width, scratch);
  return job.layout === "rows"
    ? rowPasses(gpu, job, path, tuning, width, scratch)
    : columnPasses(gpu, job, path, tuning, width, scratch);
}

async function lookBack(gpu: Gpu, job: Job, tuning: ScanTuning, width: Width, scratch: Scratch): Promise<Passes> {
  const shape = tileShape(gpu, job, "look-back", tuning, width);
  const { dispatches, words } = await lookBackPass(gpu, job, shape, tuning, scratch);
  const tiles = Math.ceil(job.T / (shape.threads * shape.vectors * width));
  return {
    path: "look-back",
    dispatches,
    words: `${rowWords(shape)}, ${words}`,
    rightCombines: lookBackCombines(shape, tiles),
  };
}

async function rowPasses(
  gpu: Gpu,
  job: Job,
  path: ScanPath,
  tuning: ScanTuning,
  width: Width,
  scratch: Scratch,
): Promise<Passes> {
  const shape = tileShape(gpu, job, path, tuning, width);
  const tile = shape.threads * shape.vectors * width;
  const cut = path === "rows" ? undefined : chunksOf(job.T, tile, job.B * job.D, tuning.chunk);
  const tiles = Math.ceil((cut?.tokens ?? job.T) / tile);
  const prefetch = (tuning.prefetch ?? true) && tiles > 1;
  const words = `${rowWords(shape)}${prefetch ? ", prefetch" : ""}`;
  const own = rowCombines(shape);
  if (cut === undefined) {
    const dispatches = await rowPass(
      gpu,
      job,
      shape,
      { phase: "apply", prefetch },
      scratch,
      undefined,
      tuning.bindingBytes,
    );
    return { path, dispatches, words, rightCombines: own };
  }
  return await chunked(
    gpu,
    job,
    cut,
    words,
    own,
    tuning,
    scratch,
    (part, phase, chunking) => rowPass(gpu, part, shape, { phase, prefetch }, scratch, chunking, tuning.bindingBytes),
  );
}

async function columnPasses(
  gpu: Gpu,
  job: Job,
  path: ScanPath,
  tuning: ScanTuning,
  width: Width,
  scratch: Scratch,
): Promise<Passes> {
  const shape = columnShape(gpu, job, tuning, width);
  const tile = shape.segments * shape.length;
  const groups = job.B * Math.ceil(job.D / width / shape.lanes);
  const cut = path === "columns" ? undefined : chunksOf(job.T, tile, groups, tuning.chunk);
  const prefetch = (tuning.prefetch ?? true) && (cut?.tokens ?? job.T) > tile;
  const words = `${columnWords(shape)}${prefetch ? ", prefetch" : ""}`;
  const own = columnCombines();
  if (cut === undefined) {
    const dispatches = await columnPass(
      gpu,
      job,
      shape,
      { phase: "apply", prefetch },
      scratch,
      undefined,
      tuning.bindingBytes,
    );
    return { path, dispatches, words, rightCombines: own };
  }
  return await chunked(
    gpu,
    job,
    cut,
    words,
    own,
    tuning,
    scratch,
    (part, phase, chunking) =>
      columnPass(gpu, part, shape, { phase, prefetch }, scratch, chunking, tuning.bindingBytes),
  );
}

/** Chunks of whole tiles: as asked for, or so many that the device is busy. */
function chunksOf(
  T: number,
  tile: number,
  groups: number,
  asked: number | undefined,
): { tokens: number; chunks: number } {
  const tiles = Math.ceil(T / tile);
  const wanted = Math.min(Math.max(Math.ceil(BUSY / Math.max(groups, 1)), 1), tiles);
  const perChunk = Math.max(1, Math.ceil(asked === undefined ? tiles / Math.max(wanted, 1) : asked / tile));
  return { tokens: perChunk * tile, chunks: Math.max(1, Math.ceil(tiles / perChunk)) };
}

async function chunked(
  gpu: Gpu,
  job: Job,
  { tokens, chunks }: { readonly tokens: number; readonly chunks: number },
  words: string,
  own: number,
  tuning: ScanTuning,
  scratch: Scratch,
  pass: (job: Job, phase: "reduce" | "apply", chunking: Chunking) => Promise<Dispatch[]>,
): Promise<Passes> {
  const { layout, B, D, tensors: { gates, inputs } } = job;
  const room = (label: string): Tensor => {
    const tensor = Tensor.empty(gpu, layout === "rows" ? [B, D, chunks] : [B, chunks, D], { label });
    scratch.tensors.push(tensor);
    return tensor;
  };
  const elementsA = gates === undefined ? undefined : room("elements A");
  const elementsB = room("elements B");
  const incoming = room("incoming states");
  const reduced: Job = { ...job, tensors: { gates, inputs }, initial: undefined, final: undefined, start: undefined };
  const middle: Job = {
    ...reduced,
    what: `${job.what}: middle`,
    T: chunks,
    reverse: false,
    shifted: false,
    tensors: { gates: elementsA, inputs: elementsB, outputs: incoming },
    initial: job.initial,
    fault: undefined,
  };
  const between = {
    ...(elementsA === undefined ? {} : { elementsA: elementsA.buffer }),
    elementsB: elementsB.buffer,
  };
  const { subgroups } = tuning;
  const shared = subgroups === undefined ? {} : { subgroups };
  const scanned = await passesOf(
    gpu,
    middle,
    { ...shared, path: layout },
    layout === "rows" ? widthOf(chunks) : 1,
    scratch,
  );
  const dispatches = [
    ...await pass(reduced, "reduce", { tokens, chunks, buffers: between }),
    ...scanned.dispatches,
    ...await pass(job, "apply", { tokens, chunks, buffers: { incoming: incoming.buffer } }),
  ];
  return {
    path: "reduce-scan-apply",
    dispatches,
    words: `${words}, ${chunks} chunks of ${tokens}`,
    rightCombines: own + scanned.rightCombines,
  };
}

function widthOf(chunks: number): Width {
  return chunks % 4 === 0 ? 4 : chunks % 2 === 0 ? 2 : 1;
}

function rowWords({ threads, rows, vectors, width, order, subgroup }: TileShape): string {
  const several = rows === 1 ? "" : ` × ${rows} rows`;
  return `${threads} threads${several}, ${vectors} vectors of ${width}, ${order}, ${
    subgroup === undefined ? "workgroup memory" : "subgroups"
  }`;
}

function columnWords({ lanes, segments, length, width }: ColumnShape): string {
  return `${lanes} lanes of ${width} × ${segments} segments of ${length}`;
}
