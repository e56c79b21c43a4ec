/**
 * Gradients of the chunked linear attention family: given the cotangents of outputs and final state, those of q, k, v, g
 * and the initial state.
 *
 * Three kernels. Two walk over chunks, one forwards for S at every chunk's start (left out where the forward pass kept
 * them), one backwards for Λ, the cotangent of the state at every chunk's end; they are light and independent. The third does
 * everything else for all chunks at once: one workgroup a chunk and head, nothing carried.
 *
 *     Λ_t = q_t dO_tᵀ + diag(a_{t+1}) Λ_{t+1}     dq_t = S_t dO_t     dk_t = Λ_t v_t     dv_t = Λ_tᵀ k_t
 *     dg_t = rowsum(a_t S_{t−1} ⊙ Λ_t)
 *
 * Decays are products of gates, never quotients nor exponentials of differences; dg is summed up term by term, without
 * telescoping. Results are the same at every run.
 *
 * @module
 */
import { type Fault, relativeFactor } from "../faults.ts";
import type { Gpu } from "../gpu.ts";
import type { MatrixMode } from "../matrix_unit.ts";
import { type Plan, planOf } from "../plan.ts";
import { assertShape, type Tensor } from "../tensor.ts";
import { compileShader, dispatchItems } from "../wgsl.ts";
import { Build } from "./_backward_build.ts";
import { addCarry, chooseColumns, chooseSegments } from "./_backward_carry.ts";
import { diagonalShader } from "./_backward_diagonal.ts";
import { chooseLayout } from "./_backward_layout.ts";
import { scalarShader } from "./_backward_scalar.ts";
import { backwardUnit } from "./_backward_unit.ts";
import { stageBuffers } from "./_backward_stages.ts";
import { sumRows } from "./_backward_sum.ts";
import { checkedExtent, type ChunkBackwardTensors } from "./_backward_tensors.ts";
import { emptyShader } from "./_combine.ts";
import type { Decay } from "./family.ts";

export type { ChunkBackwardTensors } from "./_backward_tensors.ts";

/** How to run; what is left out is chosen for the device and the shape. */
export interface ChunkBackwardTuning {
  /** Default: f32 (_backward_unit.ts). */
  readonly mode?: MatrixMode;
  readonly hardware?: boolean;
  /** Tokens of a chunk: 16, 32 or 64. With `chunkStates`, the forward's. */
  readonly chunk?: number;
  /** Keys or values in workgroup memory at a time: 32 or 64. */
  readonly slice?: number;
  /** Columns of a state in workgroup memory at a time: the slice, or half of it. */
  readonly part?: number;
  /** Columns of the state that a workgroup carries: 16, 32 or 64. */
  readonly columns?: number;
  /** Pieces of time that states and cotangents are carried through side by side. */
  readonly segments?: number;
  /** Whether loops over registers are written out, and K and V known to the text; default: except on software adapters. */
  readonly unrolled?: boolean;
  /** Whether one kernel does all gradients of a chunk, or two, which read more; default true. */
  readonly fused?: boolean;
}

export interface ChunkBackwardOptions extends ChunkBackwardTuning {
  readonly decay: Decay;
  /** Of q; default 1. */
  readonly scale?: number;
  /** `dropped-carry`: every Λ starts from zero. */
  readonly fault?: Fault;
}

/** Makes the kernels ready. Rejects with an {@link InputError} on what does not fit, before any GPU work. */
export async function planChunkBackward(
  gpu: Gpu,
  tensors: ChunkBackwardTensors,
  options: ChunkBackwardOptions,
): Promise<Plan> {
  const decay: Required<Decay> = { form: "log", per: "token", ...options.decay };
  const { kind, form, per } = decay;
  const extent = checkedExtent(tensors, decay);
  const { B, T, H, K, V } = extent;
  const { q, k, v, g, u, dO, initial, dFinal, chunkStates, keptStates, keptCotangents, dq, dk, dv, dg, dInitial } =
    tensors;
  const scale = Math.fround(options.scale ?? 1);
  const unit = backwardUnit(gpu, options);
  const layout = chooseLayout(gpu, unit, extent, options);
  const { chunk, slice, part, threads, fused, unrolled } = layout;
  const columns = chooseColumns(gpu, layout, options.columns);
  const chunks = Math.ceil(T / chunk);
  const wanted = chooseSegments(gpu, B * H * Math.ceil(K / slice) * Math.ceil(V / columns), chunks, options.segments);
  const segmentChunks = Math.max(1, Math.ceil(chunks / wanted));
  const segments = Math.max(1, Math.ceil(chunks / segmentChunks));
  for (const [name, tensor] of Object.entries({ chunkStates, keptStates, keptCotangents })) {
    if (tensor !== undefined) assertShape(`${name} by ${chunk} tokens`, tensor, [B, chunks, H, K, V]);
  }
  const factor = relativeFactor(options.fault);

  const build = new Build(gpu, { ...extent, chunks, scale, segments, segmentChunks });
  try {
    if (T === 0) await addNothing(build, dFinal, dInitial);
    else {
      const numbers = B * chunks * H * K * V;
      const ends = keptCotangents?.buffer ?? build.room("cotangents at chunk ends", numbers);
      const carried = {
        kind,
        columns,
        perHead: per === "head",
        factors: form === "factor",
        pre: u !== undefined,
        factor,
      };
      let starts = chunkStates?.buffer;
      if (starts === undefined) {
        starts = keptStates?.buffer ?? build.room("states at chunk starts", numbers);
        await addCarry(build, layout, "chunk states", {
          keys: k.buffer,
          values: v.buffer,
          gates: g?.buffer,
          from: initial?.buffer,
          result: starts,
          to: undefined,
        }, { ...carried, reverse: false, queries: false, dropped: false, swapped: false });
      }
      await addCarry(build, layout, "chunk cotangents", {
        keys: q.buffer,
        values: dO.buffer,
        gates: g?.buffer,
        from: dFinal?.buffer,
        result: ends,
        to: dInitial?.buffer,
      }, {
        ...carried,
        reverse: true,
        queries: true,
        dropped: options.fault === "dropped-carry",
        swapped: options.fault === "swapped-operands",
      });
      const gates = kind === "none"
        ? "none"
        : per === "token"
        ? form === "log" ? "token" : "token factor"
        : form === "log"
        ? "head"
        : "factor";
      const shares = per === "head" && dg !== undefined ? build.room("shares of the gates", B * chunks * H) : undefined;
      const buffers: { readonly [name: string]: GPUBuffer | undefined } = {
        q: q.buffer,
        k: k.buffer,
        v: v.buffer,
        g: g?.buffer,
        d_o: dO.buffer,
        starts,
        ends,
        bonus: u?.buffer,
        d_q: dq.buffer,
        d_k: dk.buffer,
        d_v: dv.buffer,
        d_g: shares ?? dg?.buffer,
      };
      for (const stage of fused ? ["all"] as const : ["values", "keys"] as const) {
        const code = kind === "diagonal"
          ? diagonalShader(layout, stage, { pre: u !== undefined, factor })
          : scalarShader(layout, stage, { gates, factor });
        const bound = stageBuffers(layout, stage, { gates: kind !== "none", bonus: u !== undefined });
        await build.add(`chunk gradients of ${stage}`, code, B * chunks * H, bound.map(({ name }) => buffers[name]));
      }
      if (shares !== undefined) await addSum(build, shares, dg!.buffer, B * chunks);
    }
    if (T === 0 && per === "head" && dg !== undefined) await addSum(build, build.room("no shares", 1), dg.buffer, 0);
  } catch (error) {
    build.destroy();
    throw error;
  }
  const present = (Object.values(tensors) as (Tensor | undefined)[]).filter((tensor) => tensor !== undefined);
  return planOf({
    name: `chunk ${kind} backward`,
    variant: `${unit.key}, chunk ${chunk}, slice ${slice} by ${part}, ${threads} threads, ` +
      `${fused ? "fused" : "two kernels"}, ${
        unrolled ? "unrolled" : "rolled"
      }, state columns ${columns}, ${segments} segment${segments === 1 ? "" : "s"}, ` +
      `chunk states ${chunkStates === undefined ? "computed" : "given"}`,
    dispatches: build.dispatches,
    bytes: present.reduce((sum, { bytes }) => sum + bytes, 0),
    // Per entry of the state and token: S, Λ, dq, dk, dv a multiply-add each; with decays two products, and dg.
    operations: B * T * H * K * V * (kind === "none" ? 10 : kind === "scalar" ? 12 : 14),
    scratch: build.scratch,
  });
}

/** Without a token, dInitial is dFinal; empty tensors are too small to be bound as vectors. */
async function addNothing(build: Build, dFinal: Tensor | undefined, dInitial: Tensor | undefined): Promise<void> {
  if (dInitial === undefined) return;
  const sizes = build.words("state size", Uint32Array.of(dInitial.length, 0, 0, 0));
  const kernel = await compileShader(build.gpu, emptyShader(dFinal !== undefined));
  const given = dFinal === undefined ? {} : { state_in: dFinal.buffer };
  build.dispatches.push(dispatchItems(kernel, { sizes, ...given, state_out: dInitial.buffer }, dInitial.length));
}

async function addSum(build: Build, given: GPUBuffer, result: GPUBuffer, rows: number): Promise<void> {
  const { dispatch, scratch } = await sumRows(build.gpu, { given, result, rows, columns: build.extent.H });
  build.scratch.push(scratch);
  build.dispatches.push(dispatch);
}
