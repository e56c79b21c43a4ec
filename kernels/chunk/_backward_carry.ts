/**
 * States and cotangents carried over chunks: the dispatches of _backward_states.ts, in one piece of time or several.
 *
 * Where sequences are few and long, time is split into segments: one pass gives what each adds to the state, one the states
 * they start from, and the last the states at chunk borders.
 *
 * @module
 */
import type { Gpu } from "../gpu.ts";
import { compileShader, dispatchItems } from "../wgsl.ts";
import type { Build } from "./_backward_build.ts";
import type { ChunkLayout } from "./_backward_layout.ts";
import { statesBytes, type StatesOptions, statesShader } from "./_backward_states.ts";
import { refuse } from "./_backward_tensors.ts";
import { combineShader } from "./_combine.ts";

/** The largest tile of columns that there are enough workgroups of, and that fits. */
export function chooseColumns(gpu: Gpu, layout: ChunkLayout, asked: number | undefined): number {
  const { slice, V } = layout;
  const memory = gpu.limits.maxComputeWorkgroupStorageSize;
  const fits = (columns: number): boolean =>
    columns <= slice && statesBytes(layout, columns) <= memory && layout.threads * 4 / columns <= slice;
  if (asked !== undefined) {
    if (![16, 32, 64].includes(asked) || !fits(asked)) {
      refuse(`columns must be 16, 32 or 64, and at most the slice of ${slice}, in ${memory} bytes, got ${asked}`);
    }
    return asked;
  }
  return [32, 16].find((columns) => fits(columns) && (columns === 16 || V > 16)) ?? 32;
}

/** Workgroups from which more would not run at the same time on a large GPU, and chunks that a segment has at least. */
const ENOUGH = 512;
const LEAST_CHUNKS = 16;

export function chooseSegments(gpu: Gpu, workgroups: number, chunks: number, asked: number | undefined): number {
  if (asked !== undefined) {
    if (!Number.isSafeInteger(asked) || asked < 1) refuse(`segments must be a whole number ≥ 1, got ${asked}`);
    return Math.max(1, Math.min(asked, chunks));
  }
  // Segments read their tokens twice: less than four to a workgroup's place would not pay.
  const side = Math.min(Math.floor(ENOUGH / workgroups), Math.floor(chunks / LEAST_CHUNKS));
  return gpu.adapter.software || side < 4 ? 1 : side;
}

/** What is carried: from `from` (zero where not given) through all chunks into `result`, and to `to` where wanted. */
export interface Carried {
  readonly keys: GPUBuffer;
  readonly values: GPUBuffer;
  readonly gates: GPUBuffer | undefined;
  readonly from: GPUBuffer | undefined;
  readonly result: GPUBuffer;
  readonly to: GPUBuffer | undefined;
}

/** Adds the dispatches. */
export async function addCarry(
  build: Build,
  layout: ChunkLayout,
  label: string,
  { keys, values, gates, from, result, to }: Carried,
  options: Omit<StatesOptions, "pass" | "from" | "to">,
): Promise<void> {
  const { gpu, extent: { B, H, K, V, segments } } = build;
  const workgroups = B * H * Math.ceil(K / layout.slice) * Math.ceil(V / options.columns) * segments;
  const inputs = [keys, values, gates];
  let start = from;
  if (segments > 1) {
    const sums = build.room(`${label}: segment ends`, B * H * segments * K * V);
    const starts = build.room(`${label}: segment starts`, B * H * segments * K * V);
    const totals = build.room(`${label}: segment decays`, B * H * segments * (options.kind === "diagonal" ? K : 1));
    const own = { pass: "ends", from: false, to: true, dropped: false, factor: "" } as const;
    const code = statesShader(layout, { ...options, ...own });
    await build.add(`${label}: segments`, code, workgroups, [
      ...inputs,
      sums,
      options.kind === "none" ? undefined : totals,
    ]);
    const between = combineShader(options.kind, { K, V, initial: from !== undefined, dropped: options.dropped });
    const given = from === undefined ? {} : { state_in: from };
    const sizes = build.words("segment sizes", Uint32Array.of(B * H * K * V, segments));
    const kernel = await compileShader(gpu, between);
    build.dispatches.push(dispatchItems(kernel, { sizes, ends: sums, totals, starts, ...given }, B * H * K * V));
    start = starts;
  }
  const code = statesShader(layout, { ...options, pass: "states", from: start !== undefined, to: to !== undefined });
  await build.add(label, code, workgroups, [...inputs, start, result, to]);
}
