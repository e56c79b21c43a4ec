/**
 * A model's forward pass on the scan: gates and inputs, the scan, the read-out, in one submit.
 *
 * @module
 */
import type { AnyAffineModel } from "../../models/affine.ts";
import { type Batch, type Dims, inputEntries, type Inputs, prepare, prepareState } from "../../models/inputs.ts";
import { InputError } from "../../models/error.ts";
import type { RunOptions, RunResult } from "../../models/execution.ts";
import type { Fault } from "../faults.ts";
import { BufferUsage, type Dispatch, type Gpu } from "../gpu.ts";
import { packParams } from "../lane_scan.ts";
import { fieldOffset, inputNumbers } from "../layout.ts";
import { type ModelProgram, modelProgram, readShader } from "../model_program.ts";
import { f32Profile } from "../profile.ts";
import { Tensor } from "../tensor.ts";
import { compileShader, dispatchItems, type NamedBuffers } from "../wgsl.ts";
import { liftShader } from "./_model_shaders.ts";
import type { ScanPlan } from "./_plan.ts";
import { planScan } from "./scan.ts";

/** Tokens of a partial sum of a parameter's gradient. */
export const SUM_CHUNK = 64;

/** A model's scan on the device. */
export interface ModelRun {
  readonly batch: Batch;
  readonly program: ModelProgram;
  /** Channels of all heads. */
  readonly channels: number;
  readonly a: Tensor;
  readonly h0: Tensor;
  readonly h: Tensor;
  readonly final: Tensor;
  /** p, inputs, states, initial: what the model's own kernels read. */
  readonly buffers: NamedBuffers;
  /** Up to the states. */
  readonly dispatches: readonly Dispatch[];
  readonly scan: ScanPlan;
  /** Whether gates, inputs and outputs are a, b and h themselves. */
  readonly plain: boolean;
  room(shape: readonly number[]): Tensor;
  upload(data: Float32Array | Uint32Array): GPUBuffer;
  release(): void;
}

/** Whether a model is the recurrence itself: fields a and b, read as they are. */
function isPlain({ traced: { element, read } }: ModelProgram): boolean {
  const [a, b] = element!;
  return a!.op === "load" && a!.field === "a" && b!.op === "load" && b!.field === "b" && read.op === "state";
}

/** Opens a run of T ≥ 1 tokens; to be released. */
export async function openRun(
  gpu: Gpu,
  model: AnyAffineModel,
  dims: Dims,
  inputs: Inputs,
  initialState: ArrayLike<number> | undefined,
  fault: Fault | undefined,
): Promise<ModelRun> {
  const batch = prepare(model, dims, inputs);
  const initial = Float32Array.from(prepareState(model, dims, initialState));
  const bad = initial.findIndex((x) => !Number.isFinite(x));
  if (bad >= 0) {
    throw new InputError(
      `Cannot run ${model.name}: the initial state must fit f32, got ${initialState?.[bad]} at ${bad}`,
    );
  }
  const { B, T, H } = dims;
  const program = modelProgram(model, dims.sizes, { profile: f32Profile, from: "raw" });
  const { layout, columns } = program;
  const channels = H * columns;
  const made: { destroy(): void }[] = [];
  const keep = <M extends { destroy(): void }>(one: M): M => {
    made.push(one);
    return one;
  };
  const room = (shape: readonly number[]): Tensor => keep(Tensor.empty(gpu, shape));
  const upload = (data: Float32Array | Uint32Array): GPUBuffer => keep(gpu.upload(data));
  try {
    const h0 = keep(Tensor.from(gpu, initial, [B, channels]));
    const final = room([B, channels]);
    const h = room([B, T, channels]);
    const chunks = Math.ceil(T / SUM_CHUNK);
    const params = packParams({ B, H, lanes: channels, steps: T, chunks, chunk: SUM_CHUNK });
    const p = keep(gpu.upload(params, { usage: BufferUsage.UNIFORM | BufferUsage.COPY_DST }));
    const all = keep(gpu.createBuffer({ bytes: 4 * Math.max(1, inputNumbers(layout, B, H, T)), label: "inputs" }));
    for (const field of layout.fields) {
      gpu.write(all, batch.inputs[field.name]!, 4 * fieldOffset(layout, field, B, H, T));
    }
    const buffers: NamedBuffers = { p, inputs: all, states: h.buffer, initial: h0.buffer };
    const plain = isPlain(program);
    const shape = [B, T, channels];
    const given = (name: string): Tensor => keep(Tensor.from(gpu, batch.inputs[name]!, shape));
    const a = plain ? given("a") : room(shape);
    const b = plain ? given("b") : room(shape);
    const lift = plain ? [] : [
      dispatchItems(
        await compileShader(gpu, liftShader(program)),
        { ...buffers, gates: a.buffer, tokens: b.buffer },
        B * T * channels,
      ),
    ];
    const scan = await planScan(gpu, { a, b, h, h0, final }, { layout: "columns", ...(fault && { fault }) });
    made.push({ destroy: () => scan.release() });
    return {
      batch,
      program,
      channels,
      a,
      h0,
      h,
      final,
      buffers,
      dispatches: [...lift, ...scan.dispatches],
      scan,
      plain,
      room,
      upload,
      release: () => made.forEach((one) => one.destroy()),
    };
  } catch (error) {
    made.forEach((one) => one.destroy());
    throw error;
  }
}

/** Throws unless all numbers are finite. */
export function finite(model: AnyAffineModel, what: string, values: Float32Array): Float32Array {
  const bad = values.findIndex((x) => !Number.isFinite(x));
  if (bad < 0) return values;
  throw new Error(`Cannot run ${model.name} in f32: ${what} must stay finite, got ${values[bad]} at ${bad}`);
}

/** Runs a model. */
export async function runModel(
  gpu: Gpu,
  model: AnyAffineModel,
  dims: Dims,
  inputs: Inputs,
  { initialState, states: wanted = false }: RunOptions,
  fault: Fault | undefined,
): Promise<RunResult> {
  const { B, T, H } = dims;
  if (T === 0) {
    prepare(model, dims, inputs);
    const finalState = Float32Array.from(prepareState(model, dims, initialState));
    return { outputs: new Float32Array(0), finalState, ...(wanted ? { states: new Float32Array(0) } : {}) };
  }
  const run = await openRun(gpu, model, dims, inputs, initialState, fault);
  try {
    const { program, plain, buffers } = run;
    const outputs = plain ? run.h : run.room([B, T, H, program.outputs]);
    const read = plain ? [] : [
      dispatchItems(
        await compileShader(gpu, readShader(program)!),
        { ...buffers, outputs: outputs.buffer },
        outputs.length,
      ),
    ];
    await gpu.run(`${model.name} element-wise`, [...run.dispatches, ...read]);
    const result = {
      outputs: finite(model, "outputs", await outputs.read()),
      finalState: finite(model, "the final state", await run.final.read()),
    };
    return wanted ? { ...result, states: finite(model, "states", await run.h.read()) } : result;
  } finally {
    run.release();
  }
}

/** Whether a model's parameter; its gradient is a sum over time. */
export function isParameter(model: AnyAffineModel, name: string): boolean {
  return inputEntries(model).some(([other, spec]) => other === name && spec.per === "parameter");
}
