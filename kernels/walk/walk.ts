/**
 * Sums of outer products, walked through token by token with the state in registers: linear attention in its recurrent
 * form, and all of its gradients.
 *
 *     forward   S_t = a_t ⊙ S_{t−1} + x_t y_tᵀ          out_t = (scale · z_t)ᵀ S_t
 *     reverse   S_t = a_{t+1} ⊙ S_{t+1} + x_t y_tᵀ      out_t = (scale · z_t)ᵀ S_t
 *
 * a is 1, a number per token or per head, or a number per row or column of S. With S the state of linear attention the
 * forward pass is (x, y, z) = (k, v, q); with Λ the cotangent of S, dq is (v, k, dO), dv is reverse (q, dO, k) and dk
 * reverse (dO, q, v), where rows and columns change places.
 *
 * Why serial. In chunks of C tokens there are 2K + 2V + 2C... multiply-adds a token and column less, but at K = V = 64 no
 * fewer in all than the recurrence has: 2 or 3 per entry of the state and token. What chunks win is that matrix units
 * can do them, at the price of splitting operands into halves and of passing every product through workgroup
 * memory; measured on an H200 that price is higher (bench/NOTES.md). The recurrence's f32 error is that of the definition.
 *
 * With a bonus u the forward pass reads a token before it adds it, as RWKV-6 does:
 *
 *     out_t = (scale · z_t)ᵀ (S_{t−1} + diag(u) x_t y_tᵀ)
 *
 * whose error _bonus.ts counts.
 *
 * Decays. Forward, a decay for the whole state costs nothing at its token: it waits in the rows of x and z (_waiting.ts), by
 * a table that is filled before the first; |x| and |S| must be at most 2^100 then, |scale · z| at least 2^−100 or it may count as zero,
 * and a walk that is resumed has the bits of the whole only at a block's start. One a row or column multiplies the state at
 * every token.
 *
 * Segments. Where sequences are as few as the device's multiprocessors, one workgroup's warps cannot hide their own latency.
 * Time can be cut in segments that are walked through side by side: a first pass gives what each but the last adds to a
 * state (_segment_ends.ts: x, y and g once more, a third to half of the multiply-adds), one over B·H·R·C entries the
 * states they start from. The error's bound stays that of one walk: a segment's first addition is to zero and errs in
 * nothing, which pays for adding the segment to the state, and a term is multiplied once for every gate that it passes.
 *
 * @module
 */
import { assertBindable, bindable, inputBuffers, serialParameters } from "../delta/forward.ts";
import { stagedCounts } from "../delta/_forward_shader.ts";
import { columnTiles } from "../delta/_serial_shader.ts";
import { chooseTile } from "../delta/tile.ts";
import type { Dispatch, Gpu } from "../gpu.ts";
import { type Plan, planOf } from "../plan.ts";
import type { Tensor } from "../tensor.ts";
import { compileShader, dispatch, dispatchItems, type NamedBuffers, type Shader } from "../wgsl.ts";
import { checkedWalk, type WalkOptions, type WalkTensors } from "./_checked.ts";
import { planSegments } from "./_segments.ts";
import { walkShader, walkStaged } from "./_shader.ts";
import { waitingBlocks, waitingBytes, waitingShader, type WaitingTable } from "./_waiting.ts";

export { decayWaits, type WalkNormaliser, type WalkOptions, type WalkTensors } from "./_checked.ts";
export { WAITING_ROUNDINGS } from "./_waiting.ts";
export type { WalkDecay } from "./_shader.ts";

/** Makes a walk ready. Rejects with an {@link InputError} on shapes or options that do not fit, before any GPU work. */
export async function planWalk(gpu: Gpu, tensors: WalkTensors, options: WalkOptions = {}): Promise<Plan> {
  const walk = checkedWalk(tensors, options);
  const { B, T, H, R, C, decay, form, reverse, scale, chunk, asked, dtypes, waits, tiling } = walk;
  const { u, out, initial, final, chunkStates, factor, normaliser } = tensors;
  const { fault } = options;
  const demand = {
    purpose: "walk" as const,
    sequences: B * H * asked,
    tokens: T,
    K: R,
    V: C,
    blockLimit: chunkStates === undefined ? 64 : chunk,
  };
  const kept = {
    perFour: u === undefined ? 0 : 1,
    beside: normaliser === undefined ? 0 : 1,
    vectorBetween: waits !== undefined,
  };
  const staged = stagedCounts(walkStaged({ decay, form, scale, dtypes, waits: waits !== undefined }), 1);
  const leastColumns = out.dtype === "f16" ? 2 : 1;
  const tile = chooseTile(gpu, { ...demand, ...kept, staged, leastColumns }, tiling);
  // Whole blocks, and whole chunks where states of chunks are kept.
  const whole = chunkStates === undefined ? tile.block : Math.max(chunk, tile.block);
  const segment = Math.max(1, Math.ceil(T / asked / whole)) * whole;
  const segments = Math.max(1, Math.ceil(T / segment));
  const tableOf = (own: boolean): WaitingTable | undefined =>
    waits && { decay: waits, form, dtype: dtypes.g, scale, factor: factor !== undefined, own };
  const shaderOf = (own: boolean): Shader =>
    walkShader({
      ...{ rows: R, columns: C, decay, form, reverse, dtypes, scale, tile, fault },
      waiting: tableOf(own),
      bonus: u !== undefined,
      initial: initial !== undefined || segments > 1,
      final: final !== undefined,
      chunk: chunkStates === undefined ? undefined : chunk,
      segment: segments === 1 ? undefined : segment,
      normaliser: normaliser && {
        divisor: normaliser.divisor,
        least: normaliser.least !== undefined,
        initial: normaliser.initial !== undefined,
        final: normaliser.final !== undefined,
      },
    });
  // A dispatch before the walk takes an H200 0.002 to 0.005 ms more.
  const filling = waits !== undefined && columnTiles(C, tile) === 1 ? shaderOf(true) : undefined;
  const own = filling !== undefined && bindable(gpu, filling);
  const shader = own ? filling : shaderOf(false);
  assertBindable(gpu, shader);
  const scratch: GPUBuffer[] = [];
  const keep = (buffer: GPUBuffer): GPUBuffer => {
    scratch.push(buffer);
    return buffer;
  };
  const held = (bytes: number, label: string): GPUBuffer => keep(gpu.createBuffer({ bytes, label }));
  const dispatches: Dispatch[] = [];
  try {
    const table = tableOf(own);
    const buffers = {
      p: keep(serialParameters(gpu, { B, T, H, K: R, V: C }, segments)),
      ...buffersOf(tensors),
      ...(table && {
        waits: held(waitingBytes({ B, T, H }, table.decay, tile.block, own ? segments : 1), "decays that wait"),
      }),
    };
    const kernel = await compileShader(gpu, shader);
    if (table !== undefined && !own && T > 0) {
      const { block, unroll } = tile;
      const fill = await compileShader(gpu, waitingShader(table, block, unroll));
      dispatches.push(dispatchItems(fill, buffers, waitingBlocks({ B, T, H }, table.decay, block)));
    }
    let start = initial?.buffer;
    if (segments > 1) {
      const before = await planSegments(gpu, walk, {
        segments,
        segment,
        demand,
        block: tile.block,
        buffers,
        initial: start,
        fault,
        held,
        keep,
      });
      dispatches.push(...before.dispatches);
      start = before.starts;
    }
    const workgroups = B * H * columnTiles(C, tile) * segments;
    dispatches.push(
      dispatch(kernel, { ...buffers, ...(start === undefined ? {} : { initial: start }) }, workgroups),
    );
  } catch (error) {
    for (const buffer of scratch) buffer.destroy();
    throw error;
  }
  return planOf({
    name: `outer product walk${reverse ? ", reverse" : ""}`,
    variant: tile.text + (segments > 1 ? `, ${segments} segments of ${segment}` : ""),
    dispatches,
    bytes: allOf(tensors).reduce((sum, { bytes }) => sum + bytes, 0),
    operations: B * T * H * R * C * (decay === "none" || waits !== undefined ? 4 : 5),
    scratch,
  });
}

/** What the kernels bind of the tensors, but for the initial state. */
function buffersOf(
  { x, y, z, g, u, out, final, chunkStates, factor, normaliser }: WalkTensors,
): NamedBuffers {
  const { least, initial: firstSums, final: lastSums } = normaliser ?? {};
  return {
    ...inputBuffers({ x, y, z, ...(g === undefined ? {} : { g }), ...(u === undefined ? {} : { u }) }),
    out_o: out.buffer,
    ...(final === undefined ? {} : { out_final: final.buffer }),
    ...(chunkStates === undefined ? {} : { out_states: chunkStates.buffer }),
    ...(factor === undefined ? {} : { in_factor: factor.buffer }),
    ...(least === undefined ? {} : { in_least: least.buffer }),
    ...(firstSums === undefined ? {} : { initial_sums: firstSums.buffer }),
    ...(lastSums === undefined ? {} : { final_sums: lastSums.buffer }),
  };
}

function allOf(
  { x, y, z, g, u, out, initial, final, chunkStates, factor, normaliser }: WalkTensors,
): readonly Tensor[] {
  const { least, initial: firstSums, final: lastSums } = normaliser ?? {};
  return [x, y, z, g, u, out, initial, final, chunkStates, factor, least, firstSums, lastSums]
    .filter((tensor) => tensor !== undefined);
}
