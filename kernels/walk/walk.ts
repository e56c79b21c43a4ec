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
 * a small dispatch before the walk; |x| and |S| must be at most 2^100 then, |scale · z| at least 2^−100 or it may count as zero,
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
import { InputError } from "../../models/error.ts";
import { assertBindable, inputBuffers, serialParameters } from "../delta/forward.ts";
import { stagedCounts } from "../delta/_forward_shader.ts";
import { columnTiles } from "../delta/_serial_shader.ts";
import { chooseTile, type TileOptions } from "../delta/tile.ts";
import type { Fault } from "../faults.ts";
import { BufferUsage, type Dispatch, type Gpu } from "../gpu.ts";
import { type Plan, planOf } from "../plan.ts";
import { assertShape, type Tensor } from "../tensor.ts";
import { compileShader, dispatch, dispatchItems, type NamedBuffers } from "../wgsl.ts";
import type { NormaliserText } from "./_normaliser.ts";
import { segmentShader, segmentStaged } from "./_segment_ends.ts";
import { startsShader } from "./_segment_starts.ts";
import { type WalkDecay, walkShader, walkStaged } from "./_shader.ts";
import { waitingBlocks, type WaitingDecay, waitingEntries, waitingShader } from "./_waiting.ts";

export { WAITING_ROUNDINGS } from "./_waiting.ts";
export type { WalkDecay } from "./_shader.ts";

/** What a walk reads and writes, f32 or f16 each; states are f32. */
export interface WalkTensors {
  /** `[B, T, H, R]`. */
  readonly x: Tensor;
  readonly z: Tensor;
  /** `[B, T, H, C]`. */
  readonly y: Tensor;
  readonly out: Tensor;
  /** `[B, T, H]`, `[H]` (f32), `[B, T, H, R]` or `[B, T, H, C]`, as the decay says. */
  readonly g?: Tensor;
  /** `[H, R]`, f32: the bonus of a token that is read before it is added; forward, and no decay waits then. */
  readonly u?: Tensor;
  /** `[B, H, R, C]`: the state before the first token, in the walk's direction; zero where not given. */
  readonly initial?: Tensor;
  /** `[B, H, R, C]`: the state after the last; in reverse with the decay of token 0, so that it is the initial state's cotangent. */
  readonly final?: Tensor;
  /** `[B, ⌈T / chunk⌉, H, R, C]`: the state before the first token of every chunk, in the walk's direction. */
  readonly chunkStates?: Tensor;
  /** `[B, T, H]`, f32: x is multiplied by it. Where a scalar decay waits. */
  readonly factor?: Tensor;
  /** What outputs are divided by: see _normaliser.ts. */
  readonly normaliser?: WalkNormaliser;
}

/** The divisor of outputs is a function of scale · z_tᵀ n_t, with n as the state in a column whose y is 1. */
export interface WalkNormaliser extends Pick<NormaliserText, "divisor"> {
  /** `[B, T, H]`, f32: a number a token for the divisor. */
  readonly least?: Tensor | undefined;
  /** `[B, H, R]`, f32: n before the first token, zero where not given, and after the last. */
  readonly initial?: Tensor | undefined;
  readonly final?: Tensor | undefined;
}

/** Whether a walk's decay waits in the rows of its block. */
export function decayWaits(
  { decay = "none", waiting = true, reverse = false, fault }: {
    readonly [name in "decay" | "waiting" | "reverse" | "fault"]?: WalkOptions[name] | undefined;
  },
): boolean {
  // Swapped, a decay meets what is added, which has none where it waits.
  return waiting && !reverse && fault !== "swapped-operands" && (decay === "scalar" || decay === "head");
}

export interface WalkOptions extends TileOptions {
  readonly decay?: WalkDecay;
  /** Whether g is a logarithm (≤ 0, ≥ −104), the default, or the multiplier itself. */
  readonly form?: "log" | "factor";
  readonly reverse?: boolean;
  /** Default 1. */
  readonly scale?: number;
  /** Whether a decay that is a scalar or a head's waits in the rows of its block (_waiting.ts); forward. Default: yes. */
  readonly waiting?: boolean;
  /** Pieces of time that are walked through side by side, at most; default 1. */
  readonly segments?: number;
  /** Tokens from one of `chunkStates` to the next, a power of two; default 64. */
  readonly chunk?: number;
  readonly fault?: Fault;
}

/** Makes a walk ready. Rejects with an {@link InputError} on shapes or options that do not fit, before any GPU work. */
export async function planWalk(gpu: Gpu, tensors: WalkTensors, options: WalkOptions = {}): Promise<Plan> {
  const { x, y, z, g, u, out, initial, final, chunkStates, factor, normaliser } = tensors;
  const {
    decay = "none",
    form = "log",
    reverse = false,
    scale = 1,
    chunk = 64,
    segments: asked = 1,
    waiting: _waiting,
    fault,
    ...tiling
  } = options;
  assertShape("x", x, [-1, -1, -1, -1]);
  const [B, T, H, R] = x.shape as [number, number, number, number];
  assertShape("z", z, [B, T, H, R]);
  assertShape("y", y, [B, T, H, -1]);
  const C = y.shape[3]!;
  assertShape("out", out, [B, T, H, C]);
  const gates: { readonly [kind in WalkDecay]: readonly number[] | undefined } = {
    none: undefined,
    scalar: [B, T, H],
    head: [H],
    rows: [B, T, H, R],
    columns: [B, T, H, C],
  };
  const refuse = (what: string): never => {
    throw new InputError(`Cannot walk: ${what}`);
  };
  if (gates[decay] === undefined ? g !== undefined : g === undefined) {
    refuse(`g must be ${decay === "none" ? "absent without decay" : `given for the decay "${decay}"`}`);
  }
  if (g !== undefined) assertShape("g", g, gates[decay]!);
  if (decay === "head" && g!.dtype !== "f32") refuse(`g must be f32 for the decay "head", got ${g!.dtype}`);
  if (u !== undefined && reverse) refuse("u must be absent in reverse");
  for (
    const [name, state, shape] of [
      ["u", u, [H, R]],
      ["initial", initial, [B, H, R, C]],
      ["final", final, [B, H, R, C]],
      ["factor", factor, [B, T, H]],
      ["least", normaliser?.least, [B, T, H]],
      ["initial sums", normaliser?.initial, [B, H, R]],
      ["final sums", normaliser?.final, [B, H, R]],
    ] as const
  ) {
    if (state === undefined) continue;
    assertShape(name, state, shape);
    if (state.dtype !== "f32") refuse(`${name} must be f32, got ${state.dtype}`);
  }
  if (!Number.isInteger(Math.log2(chunk)) || chunk < 1) refuse(`chunk must be a power of two ≥ 1, got ${chunk}`);
  if (!Number.isSafeInteger(asked) || asked < 1) refuse(`segments must be a whole number ≥ 1, got ${asked}`);
  const chunks = Math.ceil(T / chunk);
  if (chunkStates !== undefined) assertShape("chunkStates", chunkStates, [B, chunks, H, R, C]);
  if (out.dtype === "f16" && C % 2 !== 0) refuse(`f16 outputs need an even number of columns, got ${C}`);
  const rounded = Math.fround(scale);
  const dtypes = { x: x.dtype, y: y.dtype, z: z.dtype, g: g?.dtype ?? "f32", out: out.dtype };
  const waits = u === undefined && decayWaits(options) ? decay as WaitingDecay : undefined;
  if (factor !== undefined && waits !== "scalar") refuse("x has a factor only where a scalar decay waits");
  if (normaliser !== undefined) {
    if (
      reverse || asked > 1 || chunkStates !== undefined || u !== undefined || decay === "rows" || decay === "columns"
    ) {
      refuse("a normaliser is for one segment forward, a decay for the whole state, no bonus and no states of chunks");
    }
  }
  const staged = walkStaged({ decay, form, scale: rounded, dtypes, waiting: waits });
  const demand = {
    sequences: B * H * asked,
    tokens: T,
    K: R,
    V: C,
    blockLimit: chunkStates === undefined ? 64 : chunk,
  };
  const leastColumns = out.dtype === "f16" ? 2 : 1;
  const kept = { perFour: u === undefined ? 0 : 1, beside: normaliser === undefined ? 0 : 1 };
  const tile = chooseTile(gpu, { ...demand, ...kept, staged: stagedCounts(staged, 1), leastColumns }, tiling);
  // Whole blocks, and whole chunks where states of chunks are kept.
  const whole = chunkStates === undefined ? tile.block : Math.max(chunk, tile.block);
  const segment = Math.max(1, Math.ceil(T / asked / whole)) * whole;
  const segments = Math.max(1, Math.ceil(T / segment));
  const text = { rows: R, columns: C, decay, form, reverse, dtypes } as const;
  const shader = walkShader({
    ...text,
    scale: rounded,
    waiting: waits,
    bonus: u !== undefined,
    tile,
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
    fault,
  });
  assertBindable(gpu, shader);
  const p = serialParameters(gpu, { B, T, H, K: R, V: C }, segments);
  const scratch = [p];
  const workgroups = B * H * columnTiles(C, tile) * segments;
  const held = (bytes: number, label: string): GPUBuffer => {
    const buffer = gpu.createBuffer({ bytes, label });
    scratch.push(buffer);
    return buffer;
  };
  const outputs: NamedBuffers = {
    p,
    ...inputBuffers({ x, y, z, ...(g === undefined ? {} : { g }), ...(u === undefined ? {} : { u }) }),
    out_o: out.buffer,
    ...(final === undefined ? {} : { out_final: final.buffer }),
    ...(chunkStates === undefined ? {} : { out_states: chunkStates.buffer }),
    ...(factor === undefined ? {} : { in_factor: factor.buffer }),
    ...(normaliser?.least === undefined ? {} : { in_least: normaliser.least.buffer }),
    ...(normaliser?.initial === undefined ? {} : { initial_sums: normaliser.initial.buffer }),
    ...(normaliser?.final === undefined ? {} : { final_sums: normaliser.final.buffer }),
  };
  const { least, initial: firstSums, final: lastSums } = normaliser ?? {};
  const given = [x, y, z, g, u, out, initial, final, chunkStates, factor, least, firstSums, lastSums]
    .filter((tensor) => tensor !== undefined);
  const dispatches: Dispatch[] = [];
  let words = "";
  try {
    const kernel = await compileShader(gpu, shader);
    let start = initial?.buffer;
    let table: NamedBuffers = {};
    if (waits !== undefined) {
      const { block } = tile;
      const multiplied = await compileShader(
        gpu,
        waitingShader({ decay: waits, form, dtype: dtypes.g, scale: rounded, block, factor: factor !== undefined }),
      );
      table = { waits: held(16 * waitingEntries({ B, T, H }, waits, block), "decays that wait") };
      const items = waitingBlocks({ B, T, H }, waits, block);
      dispatches.push(dispatchItems(multiplied, { ...outputs, in_g: g!.buffer, out_waits: table.waits! }, items));
    }
    if (segments > 1) {
      const inputs = segmentStaged({ decay, form, dtypes });
      const own = chooseTile(gpu, { ...demand, staged: stagedCounts(inputs, 1), leastColumns: 1 }, {
        ...tiling,
        block: tile.block,
      });
      const [first, between] = await Promise.all([
        compileShader(gpu, segmentShader({ ...text, tile: own, segment })),
        compileShader(
          gpu,
          startsShader({ ...text, initial: start !== undefined, dropped: fault === "dropped-carry" }),
        ),
      ]);
      const ends = held(4 * B * H * segments * R * C, "segment ends");
      const starts = held(4 * B * H * segments * R * C, "segment starts");
      const totals = held(
        4 * B * H * segments * (decay === "rows" ? R : decay === "columns" ? C : 1),
        "segment decays",
      );
      const sizes = gpu.upload(Uint32Array.of(B * H * R * C, segments), {
        label: "segment sizes",
        usage: BufferUsage.UNIFORM | BufferUsage.COPY_DST,
      });
      scratch.push(sizes);
      dispatches.push(
        dispatch(
          first,
          { ...outputs, out_ends: ends, out_totals: totals },
          B * H * columnTiles(C, own) * segments,
        ),
        dispatchItems(
          between,
          { sizes, ends, totals, starts, ...(start === undefined ? {} : { initial: start }) },
          B * H * R * C,
        ),
      );
      start = starts;
      words += `, ${segments} segments of ${segment}`;
    }
    dispatches.push(
      dispatch(kernel, { ...outputs, ...table, ...(start === undefined ? {} : { initial: start }) }, workgroups),
    );
  } catch (error) {
    for (const buffer of scratch) buffer.destroy();
    throw error;
  }
  return planOf({
    name: `outer product walk${reverse ? ", reverse" : ""}`,
    variant: tile.text + words,
    dispatches,
    bytes: given.reduce((sum, { bytes }) => sum + bytes, 0),
    operations: B * T * H * R * C * (decay === "none" || waits !== undefined ? 4 : 5),
    scratch,
  });
}
