/** The compiled kernels of a model, made once for each device, model, extent of the state and variant. */
import type { AnyAffineModel, Sizes } from "../models/affine.ts";
import { stateWidth } from "../models/inputs.ts";
import { InputError } from "../models/error.ts";
import type { Fault } from "./faults.ts";
import type { Gpu } from "./gpu.ts";
import { laneShaders } from "./lane_scan.ts";
import { DENSE_ROWS, elementNumbers, matrixShaders, MAX_ROWS } from "./matrix_scan.ts";
import { laneProgram, type ModelProgram, modelProgram, readShader } from "./model_program.ts";
import type { Profile } from "./profile.ts";
import { compileShader, type Kernel, poisonShader, type Shader } from "./wgsl.ts";

/** What distinguishes two programs of one model. */
export interface Variant {
  readonly profile: Profile;
  readonly from: "raw" | "activated";
  readonly subgroups: boolean;
  readonly fault: Fault | undefined;
}

/** Every shader of a model. */
export interface ModelShaders {
  readonly program: ModelProgram;
  readonly kernels: { readonly [name: string]: Shader };
  /** Whether several chunks can run side by side. */
  readonly parallel: boolean;
  /** Numbers of a chunk's element, per sequence. */
  readonly elementNumbers: number;
}

/** The kernels of a model, compiled. */
export interface ModelKernels extends Omit<ModelShaders, "kernels"> {
  readonly kernels: { readonly [name: string]: Kernel };
}

/** The shaders of a model: `apply`, `read` unless the profile cannot; if parallel `reduce`, and `scan` or `carry`. */
export function modelShaders(model: AnyAffineModel, sizes: Sizes, variant: Variant): ModelShaders {
  const program = modelProgram(model, sizes, variant);
  const { rows, columns } = program;
  const read = readShader(program);
  const reading = read === undefined ? {} : { read };
  if (model.action !== "matrix") {
    const lanes = laneProgram(program);
    return {
      program,
      kernels: { ...laneShaders(lanes, variant), ...reading },
      parallel: true,
      elementNumbers: rows * columns * lanes.elementWidth,
    };
  }
  if (rows > MAX_ROWS) {
    throw new InputError(`Cannot run ${model.name} on the GPU: its state must have ≤ ${MAX_ROWS} rows, got ${rows}`);
  }
  const { reduce, carry, apply } = matrixShaders(program);
  const parallel = rows <= DENSE_ROWS;
  return {
    program,
    kernels: { apply, ...reading, ...(parallel ? { reduce, carry } : {}) },
    parallel,
    elementNumbers: parallel ? elementNumbers(program) : 0,
  };
}

const cache = new WeakMap<Gpu, WeakMap<AnyAffineModel, Map<string, Promise<ModelKernels>>>>();

/** Compiles a model's shaders, or finds them compiled. */
export function modelKernels(gpu: Gpu, model: AnyAffineModel, sizes: Sizes, variant: Variant): Promise<ModelKernels> {
  const ofGpu = cache.get(gpu) ?? new WeakMap<AnyAffineModel, Map<string, Promise<ModelKernels>>>();
  cache.set(gpu, ofGpu);
  const ofModel = ofGpu.get(model) ?? new Map<string, Promise<ModelKernels>>();
  ofGpu.set(model, ofModel);
  const { profile, ...rest } = variant;
  const key = JSON.stringify([Object.entries(sizes).sort(), profile.name, rest]);
  const known = ofModel.get(key);
  if (known !== undefined) return known;
  const made = compileAll(gpu, model, sizes, variant);
  ofModel.set(key, made);
  made.catch(() => ofModel.delete(key));
  return made;
}

async function compileAll(gpu: Gpu, model: AnyAffineModel, sizes: Sizes, variant: Variant): Promise<ModelKernels> {
  const { kernels, ...rest } = modelShaders(model, sizes, variant);
  const compiled = await Promise.all(
    Object.entries({ ...kernels, poison: poisonShader }).map(async ([name, shader]) =>
      [name, await compileShader(gpu, shader)] as const
    ),
  );
  return { ...rest, kernels: Object.fromEntries(compiled) };
}

/** Numbers of one sequence's state at one step. */
export function sequenceNumbers({ model, rows, columns }: ModelProgram): number {
  return rows * columns * stateWidth(model);
}
