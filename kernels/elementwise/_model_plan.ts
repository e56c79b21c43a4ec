/**
 * A model's forward pass on the scan, on tensors: gates and inputs, the scan, the read-out. What already is one of these as
 * the caller gives or wants it is not made again.
 *
 * @module
 */
import { type AnyAffineModel, stateColumns } from "../../models/affine.ts";
import type { Dims } from "../../models/inputs.ts";
import { v } from "../../models/traced.ts";
import type { Fault } from "../faults.ts";
import type { Gpu } from "../gpu.ts";
import { packParams } from "../lane_scan.ts";
import { fieldOffset, inputNumbers, type InputPlaces } from "../layout.ts";
import type { LayerOptions, LayerTensors } from "../mixer/layer.ts";
import { type ModelProgram, modelProgram, readShader } from "../model_program.ts";
import type { Plan } from "../plan.ts";
import { f32Profile } from "../profile.ts";
import { Tensor } from "../tensor.ts";
import { compileShader, dispatchItems, type NamedBuffers, type Shader } from "../wgsl.ts";
import { gatherInputs } from "../_gather_inputs.ts";
import { type Named, Work } from "../_work.ts";
import { liftShader } from "./_model_shaders.ts";
import { planScan, type ScanTuning } from "./scan.ts";

/** Tokens of a partial sum of a parameter's gradient. */
export const SUM_CHUNK = 64;

/** A model of a state of one row on the device. */
export interface ScanModel {
  readonly program: ModelProgram;
  /** Channels of all heads. */
  readonly channels: number;
  /** Whether gates and inputs are the model's own. */
  readonly plain: boolean;
  /** Whether outputs are the states. */
  readonly bare: boolean;
  /** Where the model's own kernels find inputs and what they are told. */
  readonly buffers: NamedBuffers;
}

/** Whether all shaders bind few enough buffers. */
function bindable(gpu: Gpu, shaders: readonly Shader[]): boolean {
  const most = gpu.limits.maxStorageBuffersPerShaderStage;
  return shaders.every(({ bindings }) => bindings.filter((name) => name !== "p").length <= most);
}

/** Traces a model; `shaders` are those that will be run of it. */
export async function scanModel(
  work: Work,
  model: AnyAffineModel,
  dims: Dims,
  inputs: Named,
  shaders: (program: ModelProgram) => readonly Shader[],
): Promise<ScanModel> {
  const { B, T, H, sizes } = dims;
  const traced = (places: InputPlaces): ModelProgram =>
    modelProgram(model, sizes, { profile: f32Profile, from: "raw", places });
  const each = traced("each");
  const fits = bindable(work.gpu, shaders(each));
  const program = fits ? each : traced("one");
  const channels = H * stateColumns(model, sizes);
  const chunks = Math.ceil(T / SUM_CHUNK);
  const p = work.words("params", packParams({ B, H, lanes: channels, steps: T, chunks, chunk: SUM_CHUNK }));
  const [a, b] = program.traced.element!;
  const { layout, traced: { read } } = program;
  let buffers: NamedBuffers = { p };
  if (fits) {
    buffers = { p, ...Object.fromEntries(Object.entries(inputs).map(([name, { buffer }]) => [`in_${name}`, buffer])) };
  } else {
    const all = work.room("inputs", [inputNumbers(layout, B, H, T)]).buffer;
    const offsets = Object.fromEntries(layout.fields.map((field) => [field.name, fieldOffset(layout, field, B, H, T)]));
    work.add(...await gatherInputs(work, model, dims, inputs, all, offsets, { from: 0, steps: T }));
    buffers = { p, inputs: all };
  }
  const bare = read.op === "state" && read.v === v;
  return {
    program,
    channels,
    plain: a!.op === "load" && a!.field === "a" && b!.op === "load" && b!.field === "b" && bare,
    bare,
    buffers,
  };
}

/** The scan's tuning of a layer's options. */
export function tuningOf({ split, fault }: LayerOptions): ScanTuning & { readonly fault?: Fault } {
  return { ...(split === true ? {} : { path: "columns" as const }), ...(fault === undefined ? {} : { fault }) };
}

/** The same numbers in another shape. */
export function viewed({ gpu, buffer, dtype }: Tensor, shape: readonly number[]): Tensor {
  return new Tensor(gpu, buffer, shape, dtype);
}

/** What the scan goes over. */
export interface Scanned {
  readonly a: Tensor;
  /** Undefined where only the gates were asked for. */
  readonly b: Tensor | undefined;
}

/** The gates and inputs of the scan, `[B, T, channels]`. */
export async function addLift(
  work: Work,
  { program, channels, plain, buffers }: ScanModel,
  { B, T }: Dims,
  inputs: Named,
  only?: "gates",
): Promise<Scanned> {
  const shape = [B, T, channels];
  if (plain) return { a: viewed(inputs["a"]!, shape), b: viewed(inputs["b"]!, shape) };
  const a = work.room("gates of the scan", shape);
  const b = only === undefined ? work.room("inputs of the scan", shape) : undefined;
  const kernel = await compileShader(work.gpu, liftShader(program, only));
  const results = { gates: a.buffer, ...(b === undefined ? {} : { tokens: b.buffer }) };
  work.add(dispatchItems(kernel, { ...buffers, ...results }, a.length));
  return { a, b };
}

/** Plans the forward pass. */
export async function planModelScan(
  gpu: Gpu,
  model: AnyAffineModel,
  dims: Dims,
  { inputs, outputs, initial, final, states }: LayerTensors,
  options: LayerOptions,
): Promise<Plan> {
  const { B, T } = dims;
  const work = new Work(gpu);
  try {
    const scanned = await scanModel(
      work,
      model,
      dims,
      inputs,
      (program) => [liftShader(program), readShader(program)!],
    );
    const { channels, bare, buffers, program } = scanned;
    const { a, b } = await addLift(work, scanned, dims, inputs);
    const shape = [B, T, channels];
    const h = viewed(bare ? outputs : states ?? work.room("states", shape), shape);
    const scan = await planScan(gpu, {
      a,
      b: b!,
      h,
      ...(initial === undefined ? {} : { h0: viewed(initial, [B, channels]) }),
      ...(final === undefined ? {} : { final: viewed(final, [B, channels]) }),
    }, { layout: "columns", ...tuningOf(options) });
    work.plan(scan);
    if (!bare) {
      const kernel = await compileShader(gpu, readShader(program)!);
      work.add(dispatchItems(kernel, { ...buffers, states: h.buffer, outputs: outputs.buffer }, outputs.length));
    } else if (states !== undefined) await work.copy(outputs, viewed(states, outputs.shape));
    const given = [...Object.values(inputs), outputs, initial, final];
    return work.finish({
      name: `${model.name} element-wise forward`,
      variant: scan.variant,
      bytes: given.reduce((sum, tensor) => sum + (tensor?.bytes ?? 0), 0),
      operations: scan.operations,
    });
  } catch (error) {
    work.release();
    throw error;
  }
}
