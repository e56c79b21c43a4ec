/**
 * Any model's gradients on tensors: the program of models/backward.ts in f32, slab after slab of time, the last first.
 *
 * In a slab: forward states (a chunked scan per lane; serial per column for a matrix action), what the read-outs give to each
 * state, λ by the same scan in reverse time, then one kernel per raw input with one thread per entry. Where there are several
 * slabs, a forward pass keeps the states that they start from before; λ goes from slab to slab. Sums over batch and time are
 * taken in a fixed order, so results are the same at every run.
 *
 * @module
 */
import { type AnyAffineModel, stateColumns, stateRows } from "../models/affine.ts";
import { backAction, traceGradient } from "../models/gradient.ts";
import { laneActions } from "../models/action.ts";
import { type Dims, inputEntries, inputWidth, microSteps } from "../models/inputs.ts";
import { type BufferName, CHUNK, type Shader, THREADS } from "./_backward_shader.ts";
import { type BackwardShaders, backwardShaders } from "./_backward_wgsl.ts";
import { inputRows, slabTokens } from "./_backward_slabs.ts";
import { addFolds } from "./_folds.ts";
import { gatherInputs } from "./_gather_inputs.ts";
import { ROW_BYTES } from "./_generic_forward.ts";
import { BufferUsage, type Dispatch, type Gpu } from "./gpu.ts";
import type { LayerGradientTensors } from "./mixer/layer.ts";
import type { Plan } from "./plan.ts";
import { Tensor } from "./tensor.ts";
import { Work } from "./_work.ts";

export interface GenericBackwardOptions {
  /** Bytes that the states of a batch row may take: longer sequences run in slabs. Default 16 MiB. */
  readonly slabBytes?: number;
}

/** The pieces of a plan that dispatches of every slab share. */
interface Pieces {
  readonly work: Work;
  readonly model: AnyAffineModel;
  readonly dims: Dims;
  readonly shaders: BackwardShaders;
  readonly lanes: number;
  readonly buffers: { readonly [name in BufferName]?: GPUBuffer };
}

const groups = (threads: number): number => Math.ceil(threads / THREADS);

async function add(
  { work, model, buffers }: Pieces,
  { label, code, buffers: names }: Shader,
  workgroups: number,
  own: { readonly [name in BufferName]?: GPUBuffer },
): Promise<void> {
  if (workgroups === 0) return;
  const pipeline = await work.gpu.compile({ label: `${model.name}: ${label}`, code });
  const dispatch: Dispatch = { pipeline, buffers: names.map((name) => own[name] ?? buffers[name]!), workgroups };
  work.add(dispatch);
}

// A serial scan takes a workgroup per column; a chunked one a thread per lane and chunk, and one per lane to carry.
async function addScan(
  pieces: Pieces,
  phases: readonly Shader[],
  chunks: number,
  own: { readonly [name in BufferName]?: GPUBuffer },
): Promise<void> {
  const { dims: { B, H, sizes }, model, lanes } = pieces;
  const threads = B * H * lanes;
  if (phases.length === 1) return await add(pieces, phases[0]!, B * H * stateColumns(model, sizes), own);
  const [reduce, carry, apply] = phases as readonly [Shader, Shader, Shader];
  await add(pieces, reduce, groups(threads * chunks), own);
  await add(pieces, carry, groups(threads), own);
  await add(pieces, apply, groups(threads * chunks), own);
}

/** Plans the gradients of T ≥ 0 tokens. */
export async function planGenericBackward(
  gpu: Gpu,
  model: AnyAffineModel,
  dims: Dims,
  { inputs, dOutputs, gradients, accumulate, initial, dFinal, dInitial }: LayerGradientTensors,
  { slabBytes = ROW_BYTES }: GenericBackwardOptions = {},
): Promise<Plan> {
  const { B, T, H, sizes } = dims;
  const n = microSteps(model);
  const gradient = traceGradient(model, sizes);
  const shaders = backwardShaders(gradient);
  const lanes = stateRows(model, sizes) * stateColumns(model, sizes);
  const { width, cotangents } = gradient;
  const tokens = slabTokens(gpu, model, dims, lanes * Math.max(width, cotangents), slabBytes);
  const slabs = Math.max(1, Math.ceil(T / Math.max(tokens, 1)));
  const allChunks = Math.ceil(T * n / CHUNK);
  const entries = inputEntries(model);
  const elementWidth = model.action === "matrix"
    ? 0
    : Math.max(laneActions[model.action as keyof typeof laneActions].elementWidth, backAction(gradient).elementWidth);

  const work = new Work(gpu);
  try {
    const room = (label: string, numbers: number): GPUBuffer => work.room(label, [Math.max(numbers, 1)]).buffer;
    const state = B * H * lanes * width;
    const most = tokens * n;
    const all = room(
      "inputs",
      entries.reduce(
        (sum, [, spec]) => sum + inputWidth(spec, sizes) * (spec.per === "parameter" ? H : B * most * H),
        0,
      ),
    );
    const pieces: Pieces = {
      work,
      model,
      dims,
      shaders,
      lanes,
      buffers: {
        inputs: all,
        outputs: dOutputs.buffer,
        states: room("states", B * H * (most + 1) * lanes * width),
        lambda: room("cotangents of the states", B * H * (most + 1) * lanes * cotangents),
        elements: room("elements", B * H * Math.ceil(most / CHUNK) * lanes * elementWidth),
      },
    };
    const starts = [initial?.buffer ?? room("zero state", state)];
    while (starts.length < slabs) starts.push(room("state before a slab", state));
    /** Gathers the inputs of a slab and runs its states forward. */
    const opened = async (slab: number): Promise<{ own: { [name in BufferName]?: GPUBuffer }; steps: number }> => {
      const from = slab * most;
      const steps = Math.min(most, T * n - from);
      const offsets: { [name: string]: number } = {};
      let end = 0;
      for (const [name, spec] of entries) {
        offsets[name] = end;
        end += inputWidth(spec, sizes) * H * (spec.per === "parameter" ? 1 : B * steps);
      }
      const words = [B, steps, H, Math.ceil(steps / CHUNK), T * n, from, ...entries.map(([name]) => offsets[name]!)];
      const usage = BufferUsage.STORAGE | BufferUsage.COPY_DST;
      const own = { extent: work.words("extent", Uint32Array.from(words), usage), initial: starts[slab]! };
      work.add(...await gatherInputs(work, model, dims, inputs, all, offsets, { from, steps }));
      await addScan(pieces, shaders.forward, Math.ceil(steps / CHUNK), own);
      return { own, steps };
    };
    for (let slab = 0; slab + 1 < slabs; slab++) {
      await opened(slab);
      const entry = lanes * width;
      await work.map(
        "state before a slab",
        [state],
        { states: new Tensor(gpu, pieces.buffers.states!, [B * H * (most + 1) * entry]) },
        `states[(id / ${entry}u * ${most + 1}u + ${most}u) * ${entry}u + id % ${entry}u]`,
        { into: new Tensor(gpu, starts[slab + 1]!, [state]) },
      );
    }
    const shares: { [name: string]: GPUBuffer } = {};
    for (const [name, spec] of entries) {
      if (gradients[name] === undefined || spec.per !== "parameter" || B * allChunks < 2) continue;
      shares[name] = room(`gradient of ${name} by chunk`, B * allChunks * H * inputWidth(spec, sizes));
    }
    let behind = dFinal?.buffer ?? room("zero cotangent", state);
    const between = Array.from(
      { length: Math.min(slabs - 1, 2) },
      () => room("cotangent between slabs", state),
    );
    for (let slab = slabs - 1; slab >= 0; slab--) {
      const { own, steps } = await opened(slab);
      const chunks = Math.ceil(steps / CHUNK);
      await add(pieces, shaders.local, groups(B * H * (steps + 1) * lanes), { ...own, final_state: behind });
      await addScan(pieces, shaders.back, chunks, own);
      for (const [name, spec] of entries) {
        const into = gradients[name];
        if (into === undefined) continue;
        const parameter = spec.per === "parameter";
        const shader = shaders.input(name, { add: accumulate?.has(name) === true && shares[name] === undefined });
        const threads = parameter
          ? B * chunks * H * inputWidth(spec, sizes)
          : inputRows(model, spec, { ...dims, T: steps / n }) * inputWidth(spec, sizes);
        await add(pieces, shader, groups(threads), { ...own, result: shares[name] ?? into.buffer });
      }
      if (slab === 0 && dInitial === undefined) continue;
      const result = slab === 0 ? dInitial!.buffer : between[slab % 2] ?? between[0]!;
      await add(pieces, shaders.start, groups(B * H * lanes), { ...own, result });
      behind = result;
    }
    for (const [name, spec] of entries) {
      const into = gradients[name];
      if (into === undefined || spec.per !== "parameter") continue;
      const adding = accumulate?.has(name) === true;
      if (shares[name] !== undefined) await addFolds(work, shares[name], B * allChunks, into, adding);
      else if (T === 0 && !adding) await work.clear(into);
    }
    return work.finish({
      name: `${model.name} backward`,
      variant: `generic, ${slabs} slab${slabs === 1 ? "" : `s of ${tokens} tokens`}`,
      bytes: [...Object.values(inputs), ...Object.values(gradients), dOutputs, initial, dFinal, dInitial]
        .reduce((sum, tensor) => sum + (tensor?.bytes ?? 0), 0),
      // Per entry of the state: its update, its read-out's share, λ and a gradient, a multiply-add each.
      operations: B * T * n * H * lanes * width * (model.action === "matrix" ? 8 + 4 * stateRows(model, sizes) : 10),
    });
  } catch (error) {
    work.release();
    throw error;
  }
}
