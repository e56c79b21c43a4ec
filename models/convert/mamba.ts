/**
 * Calls of state-spaces/mamba: the selective scan of Mamba, the SSD of Mamba-2.
 *
 * @module
 */
import { InputError } from "../error.ts";
import { mamba2 } from "../mamba2.ts";
import { selectiveScan as selectiveScanModel } from "../s6.ts";
import type { Call } from "./call.ts";
import { expectShape, mapped, type NdArray, permute, swapLastTwo } from "./layout.ts";

/** The x with log(1 + e^x) = y, for y > 0. */
function softplusInverse(y: number): number {
  return y + Math.log(-Math.expm1(-y));
}

/**
 * `selective_scan_fn`: u, delta, z `[B, D, L]`, A `[D, N]`, B and C `[B, N, L]`, D and deltaBias `[D]`, h0 and the final
 * state `[B, D, N]`; y `[B, D, L]`. With `deltaSoftplus: false` delta + deltaBias is Δ itself and must be > 0.
 */
export function selectiveScan(
  given: {
    readonly u: NdArray;
    readonly delta: NdArray;
    readonly A: NdArray;
    readonly B: NdArray;
    readonly C: NdArray;
    readonly D?: NdArray;
    readonly z?: NdArray;
    readonly deltaBias?: NdArray;
    readonly deltaSoftplus?: boolean;
    readonly h0?: NdArray;
  },
): Call {
  const op = "selective_scan";
  const [B, D, L] = given.u.shape;
  const N = given.A.shape[1];
  if (given.u.shape.length !== 3 || B === undefined || D === undefined || L === undefined || N === undefined) {
    throw new InputError(
      `Cannot convert ${op}: u must have shape [B, D, L] and A [D, N], got [${given.u.shape.join(", ")}] and ` +
        `[${given.A.shape.join(", ")}]`,
    );
  }
  for (const name of ["u", "delta", "z"] as const) {
    const x = given[name];
    if (x !== undefined) expectShape(op, name, x, [B, D, L]);
  }
  expectShape(op, "A", given.A, [D, N]);
  expectShape(op, "B", given.B, [B, N, L]);
  expectShape(op, "C", given.C, [B, N, L]);
  if (given.D !== undefined) expectShape(op, "D", given.D, [D]);
  if (given.deltaBias !== undefined) expectShape(op, "deltaBias", given.deltaBias, [D]);
  if (given.h0 !== undefined) expectShape(op, "h0", given.h0, [B, D, N]);
  const softplus = given.deltaSoftplus ?? true;
  const bias = given.deltaBias;
  const delta = swapLastTwo(given.delta);
  return {
    model: selectiveScanModel({ gated: given.z !== undefined }),
    dims: { B, T: L, H: 1, sizes: { D, N } },
    inputs: {
      u: swapLastTwo(given.u).data,
      delta: (softplus ? delta : mapped(delta, (x, i) => softplusInverse(x + (bias?.data[i % D] ?? 0)))).data,
      A: swapLastTwo(given.A).data,
      B: swapLastTwo(given.B).data,
      C: swapLastTwo(given.C).data,
      ...(given.D === undefined ? {} : { D: given.D.data }),
      ...(softplus && bias !== undefined ? { deltaBias: bias.data } : {}),
      ...(given.z === undefined ? {} : { z: swapLastTwo(given.z).data }),
    },
    ...(given.h0 === undefined ? {} : { initialState: swapLastTwo(given.h0).data }),
    results: ({ outputs, finalState }) => ({
      y: swapLastTwo({ shape: [B, L, D], data: outputs }),
      state: swapLastTwo({ shape: [B, N, D], data: finalState }),
    }),
  };
}

/**
 * `ssd_minimal_discrete`: X `[B, L, H, P]` already multiplied by Δ, A `[B, L, H]` already ΔA (a log gate), B and C
 * `[B, L, H, N]`; h0 and the final state `[B, H, P, N]`; y `[B, L, H, P]`, no scale.
 *
 * Here Δ and A are apart: A_h = −1, Δ = −A, x = X/Δ. Since Δ > 0, an A of 0 throws an `InputError`.
 */
export function ssdMinimalDiscrete(
  { X, A, B, C, h0 }: {
    readonly X: NdArray;
    readonly A: NdArray;
    readonly B: NdArray;
    readonly C: NdArray;
    readonly h0?: NdArray;
  },
): Call {
  const op = "ssd_minimal_discrete";
  const [batch, L, H, P] = X.shape;
  const N = B.shape.at(-1);
  if (X.shape.length !== 4 || batch === undefined || L === undefined || H === undefined || !P || !N) {
    throw new InputError(`Cannot convert ${op}: X must have shape [B, L, H, P], got [${X.shape.join(", ")}]`);
  }
  expectShape(op, "A", A, [batch, L, H]);
  expectShape(op, "B", B, [batch, L, H, N]);
  expectShape(op, "C", C, [batch, L, H, N]);
  const bad = Array.from(A.data).findIndex((x) => !(x < 0));
  if (bad >= 0) throw new InputError(`Cannot convert ${op}: A must be a log gate < 0, got ${A.data[bad]} at ${bad}`);
  return ssdCall(op, { batch, L, H, N, P }, {
    x: mapped(X, (x, i) => x / -A.data[Math.floor(i / P)]!).data,
    B: B.data,
    C: C.data,
    delta: mapped(A, (x) => -x).data,
    A: new Float64Array(H).fill(-1),
  }, h0);
}

/**
 * `mamba_chunk_scan_combined`: x `[B, L, H, P]`, dt `[B, L, H]`, A `[H]` < 0, B and C `[B, L, G, N]` shared by H/G
 * heads each, D and dtBias `[H]`; h0 and the final state `[B, H, P, N]`. With `dtSoftplus`, Δ = softplus(dt + dtBias).
 */
export function chunkScanCombined(
  { x, dt, A, B, C, D, dtBias, dtSoftplus = false, h0 }: {
    readonly x: NdArray;
    readonly dt: NdArray;
    readonly A: NdArray;
    readonly B: NdArray;
    readonly C: NdArray;
    readonly D?: NdArray;
    readonly dtBias?: NdArray;
    readonly dtSoftplus?: boolean;
    readonly h0?: NdArray;
  },
): Call {
  const op = "mamba_chunk_scan_combined";
  const [batch, L, H, P] = x.shape;
  const [, , G, N] = B.shape;
  if (
    x.shape.length !== 4 || batch === undefined || L === undefined || H === undefined || !P || !N || !G || H % G !== 0
  ) {
    throw new InputError(
      `Cannot convert ${op}: x must have shape [B, L, H, P] and B [B, L, G, N] with G dividing H, got ` +
        `[${x.shape.join(", ")}] and [${B.shape.join(", ")}]`,
    );
  }
  expectShape(op, "dt", dt, [batch, L, H]);
  expectShape(op, "A", A, [H]);
  expectShape(op, "B", B, [batch, L, G, N]);
  expectShape(op, "C", C, [batch, L, G, N]);
  if (D !== undefined) expectShape(op, "D", D, [H]);
  if (dtBias !== undefined) expectShape(op, "dtBias", dtBias, [H]);
  const perHead = ({ data }: NdArray): Float64Array =>
    Float64Array.from({ length: batch * L * H * N }, (_, i) => {
      const head = Math.floor(i / N) % H;
      return data[(Math.floor(i / (N * H)) * G + Math.floor(head / (H / G))) * N + i % N]!;
    });
  const step = (value: number, i: number): number => {
    const y = value + (dtBias?.data[i % H] ?? 0);
    return dtSoftplus ? Math.max(y, 0) + Math.log1p(Math.exp(-Math.abs(y))) : y;
  };
  return ssdCall(op, { batch, L, H, N, P }, {
    x: x.data,
    B: perHead(B),
    C: perHead(C),
    delta: mapped(dt, step).data,
    A: A.data,
    ...(D === undefined ? {} : { D: D.data }),
  }, h0);
}

function ssdCall(
  op: string,
  { batch, L, H, N, P }: { batch: number; L: number; H: number; N: number; P: number },
  inputs: Call["inputs"],
  h0?: NdArray,
): Call {
  if (h0 !== undefined) expectShape(op, "h0", h0, [batch, H, P, N]);
  return {
    model: mamba2,
    dims: { B: batch, T: L, H, sizes: { K: N, V: P } },
    inputs,
    ...(h0 === undefined ? {} : { initialState: swapLastTwo(h0).data }),
    results: ({ outputs, finalState }) => ({
      y: { shape: [batch, L, H, P], data: outputs },
      state: permute({ shape: [batch, H, N, P], data: finalState }, [0, 1, 3, 2]),
    }),
  };
}
