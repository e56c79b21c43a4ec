/**
 * The forward kernel of the chunked linear attention family: one workgroup for a sequence, a head and a tile of V's
 * columns walks over chunks of tokens with the state in registers, so that q, k and v are read once (for every tile of
 * V) and o is written once.
 *
 *     S_t = diag(a_t) S_{t−1} + k_t v_tᵀ        o_t = (scale · q_t)ᵀ S_t
 *
 * Where sequences are few and long, time is split into segments: one pass gives what each adds to the state, one the
 * states they start from, and the last the outputs.
 *
 * A GPU is faster by a walk through the tokens, which is what it gets where it can be: `design`, _walked.ts. A third design is
 * made for halves on matrix units (_units.ts).
 *
 * Numerics: decays are products of a = e^g, never differences of summed logarithms, and never above 1. See rounding.ts.
 *
 * @module
 */
import { relativeFactor } from "../faults.ts";
import { BufferUsage, type Dispatch, type Gpu } from "../gpu.ts";
import { matrixUnit } from "../matrix_unit.ts";
import { type Plan, planOf } from "../plan.ts";
import { assertShape } from "../tensor.ts";
import { checkedExtent, type ChunkTensors } from "./_checked.ts";
import { compileShader, dispatch, dispatchItems } from "../wgsl.ts";
import { combineShader, emptyShader } from "./_combine.ts";
import { derive, type ForwardConfig } from "./_config.ts";
import { forwardShader, parameterWords } from "./_forward_shader.ts";
import type { ChunkForwardOptions } from "./_options.ts";
import { planUnits } from "./_units.ts";
import { chooseTiles } from "./_tiles.ts";
import { chooseSegments } from "./_segments.ts";
import { assertWalkable, planWalked, traitsOf, walks } from "./_walked.ts";
import type { Decay } from "./family.ts";

export type { ChunkTensors } from "./_checked.ts";
export type { ChunkForwardOptions, ChunkTuning } from "./_options.ts";

/** Chunks that a segment has at least. */
const LEAST_CHUNKS = 16;

/** Makes the kernel ready. Rejects with an `InputError` on shapes or tiles that do not fit, before any GPU work. */
export async function planChunkForward(
  gpu: Gpu,
  tensors: ChunkTensors,
  options: ChunkForwardOptions,
): Promise<Plan> {
  const { q, k, v, g, u, o, initial, final, chunkStates } = tensors;
  const decay: Required<Decay> = { form: "log", per: "token", ...options.decay };
  const { kind, form, per } = decay;
  const { B, T, H, K, V } = checkedExtent(tensors, decay);
  const traits = traitsOf(tensors);
  assertWalkable(traits, options, decay);
  if (T > 0 && walks(gpu, traits, options, decay)) return await planWalked(gpu, tensors, options, decay);
  const half = q.dtype === "f16";
  const asked = {
    ...(options.mode === undefined ? {} : { mode: options.mode }),
    ...(options.hardware === undefined ? {} : { hardware: options.hardware }),
  };
  const usual = matrixUnit(gpu, asked);
  const unit = half && options.mode === undefined && usual.hardware
    ? matrixUnit(gpu, { ...asked, mode: "f16" })
    : usual;
  const ofUnits = options.design === "units";
  const plan = ofUnits ? await planUnits(gpu, tensors, options, decay, { B, T, H, K, V }, unit) : undefined;
  if (plan !== undefined) return plan;
  const tiles = chooseTiles(gpu, { K, V, decay, pre: u !== undefined, unit }, ofUnits ? {} : options);
  const { chunk, columns } = tiles;
  const every = options.chunk ?? chunk;
  const kept = Math.ceil(T / every);
  if (chunkStates !== undefined) assertShape("chunkStates", chunkStates, [B, kept, H, K, V]);
  const chunks = Math.ceil(T / chunk);
  const workgroups = B * H * Math.ceil(V / columns);
  const pieces = { workgroups, most: chunks, worth: chunks / LEAST_CHUNKS };
  const wanted = chooseSegments(gpu, pieces, options.segments);
  const tokens = Math.max(1, Math.ceil(chunks / wanted)) * chunk;
  const segments = Math.max(1, Math.ceil(T / tokens));
  const fault = typeof options.fault === "string" ? options.fault : undefined;
  const config: ForwardConfig = {
    kind,
    form,
    per,
    pre: u !== undefined,
    K,
    V,
    unit,
    ...tiles,
    dtype: q.dtype,
    gateDtype: g?.dtype ?? "f32",
    pass: "outputs",
    initial: initial !== undefined || segments > 1,
    final: final !== undefined,
    statesEvery: chunkStates === undefined ? 0 : every,
    fault,
    factor: relativeFactor(options.fault),
  };
  const d = derive(config);
  const scale = options.scale ?? 1;
  const count = workgroups * segments;
  const uniform = BufferUsage.UNIFORM | BufferUsage.COPY_DST;
  const params = gpu.upload(parameterWords({ B, T, H, segments, tokens, count, scale, chunks: kept }), {
    label: "chunk parameters",
    usage: uniform,
  });
  const scratch: GPUBuffer[] = [params];
  const inputs = {
    params,
    in_q: q.buffer,
    in_k: k.buffer,
    in_v: v.buffer,
    ...(g === undefined ? {} : { in_g: g.buffer }),
    ...(u === undefined ? {} : { in_u: u.buffer }),
    out_o: o.buffer,
    ...(final === undefined ? {} : { state_out: final.buffer }),
    ...(chunkStates === undefined ? {} : { chunk_states: chunkStates.buffer }),
  };
  const dispatches: Dispatch[] = [];
  try {
    const start = initial === undefined ? {} : { state_in: initial.buffer };
    const kernel = await compileShader(gpu, forwardShader(config));
    if (T === 0) {
      // Empty tensors are too small to be bound as what the kernel reads.
      if (final !== undefined) {
        const sizes = gpu.upload(new Uint32Array([B * H * K * V, 0, 0, 0]), { label: "state size", usage: uniform });
        scratch.push(sizes);
        const copy = await compileShader(gpu, emptyShader(initial !== undefined));
        dispatches.push(dispatchItems(copy, { sizes, ...start, state_out: final.buffer }, B * H * K * V));
      }
    } else if (segments === 1) {
      dispatches.push(dispatch(kernel, { ...inputs, ...start }, count));
    } else {
      const held = (numbers: number, label: string): GPUBuffer => {
        const buffer = gpu.createBuffer({ bytes: 4 * numbers, label });
        scratch.push(buffer);
        return buffer;
      };
      const ends = held(B * H * segments * K * V, "segment ends");
      const starts = held(B * H * segments * K * V, "segment starts");
      const totals = held(B * H * segments * (kind === "diagonal" ? K : 1), "segment decays");
      const sizes = gpu.upload(new Uint32Array([B * H * K * V, segments]), { label: "segment sizes", usage: uniform });
      scratch.push(sizes);
      const first = await compileShader(
        gpu,
        forwardShader({ ...config, pass: "ends", initial: false, statesEvery: 0, factor: "" }),
      );
      const between = await compileShader(
        gpu,
        combineShader(kind, { K, V, initial: initial !== undefined, dropped: fault === "dropped-carry" }),
      );
      dispatches.push(
        dispatch(first, { ...inputs, state_out: ends, totals }, count),
        dispatchItems(between, {
          sizes,
          ends,
          totals,
          starts,
          ...start,
        }, B * H * K * V),
        dispatch(kernel, { ...inputs, state_in: starts }, count),
      );
    }
  } catch (error) {
    for (const buffer of scratch) buffer.destroy();
    throw error;
  }
  const present = [q, k, v, g, u, o, initial, final, chunkStates].filter((tensor) => tensor !== undefined);
  return planOf({
    name: `chunk ${kind} forward`,
    variant: `${unit.key}, chunk ${chunk}, ${columns} of ${V} columns, keys by ${tiles.slice}, pad ${tiles.pad}, ` +
      `${tiles.threads} threads, ${segments} segment${segments === 1 ? "" : "s"}` + (d.late ? ", late update" : ""),
    dispatches,
    bytes: present.reduce((sum, { bytes }) => sum + bytes, 0),
    // Every token adds k vᵀ to K·V numbers and reads them, each a multiply-add; a decay is a product.
    operations: B * T * H * K * V * (kind === "none" ? 4 : 5),
    scratch,
  });
}
