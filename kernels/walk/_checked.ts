/** What a walk is given, and whether it fits. */
import { InputError } from "../../models/error.ts";
import type { TileOptions } from "../delta/tile.ts";
import type { Fault } from "../faults.ts";
import { assertShape, type DType, type Tensor } from "../tensor.ts";
import type { NormaliserText } from "./_normaliser.ts";
import type { WalkDecay } from "./_shader.ts";
import type { WaitingDecay } from "./_waiting.ts";

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

/** A walk whose tensors and options fit, with what follows from them. */
export interface CheckedWalk {
  readonly B: number;
  readonly T: number;
  readonly H: number;
  /** Rows and columns of the state. */
  readonly R: number;
  readonly C: number;
  readonly decay: WalkDecay;
  readonly form: "log" | "factor";
  readonly reverse: boolean;
  /** As an f32. */
  readonly scale: number;
  readonly chunk: number;
  /** Segments, at most. */
  readonly asked: number;
  readonly dtypes: { readonly [name in "x" | "y" | "z" | "g" | "out"]: DType };
  /** The decay, if it waits. */
  readonly waits: WaitingDecay | undefined;
  /** What was asked of the tile. */
  readonly tiling: TileOptions;
}

/** Throws an {@link InputError} on shapes or options that do not fit. */
export function checkedWalk(tensors: WalkTensors, options: WalkOptions): CheckedWalk {
  const { x, y, z, g, u, out, initial, final, chunkStates, factor, normaliser } = tensors;
  const {
    decay = "none",
    form = "log",
    reverse = false,
    scale = 1,
    chunk = 64,
    segments: asked = 1,
    waiting: _,
    fault: _fault,
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
  return { B, T, H, R, C, decay, form, reverse, scale: Math.fround(scale), chunk, asked, dtypes, waits, tiling };
}
