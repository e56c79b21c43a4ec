/**
 * Matrix products: `C = A·B`, or `C += A·B`, batched, of any sizes, either side transposed, f32 or f16 in storage.
 *
 * ```ts
 * const plan = await planMatmul(gpu, { a, b, c }, { transposeB: true });
 * await runPlans(gpu, "project", [plan]);
 * ```
 *
 * | mode | where | an entry of C errs by |
 * |---|---|---|
 * | `f32` | everywhere | 2^−24 of every product and partial sum |
 * | `split` | matrix units, or loops that imitate them | 2^−21 of every product, and the sums' truncation |
 * | `f16` | the same | 2^−10 of every product unless A and B are f16 already, and the sums' truncation |
 *
 * On matrix units a kernel first brings each operand into halves: rows of A and columns of B are scaled by a power of two
 * per `chunk` terms of the sum, so that their largest number lies in [2^14, 2^15). The product of a chunk is summed by the
 * matrix unit, then unscaled and added in f32 proper: with `chunk` 256 the truncation of `split` is no more than what plain
 * f32 loses in rounding. {@linkcode matmulBound} has the exact figures. Operands that are halves to begin with and fit
 * whole tiles are multiplied as they lie, unscaled.
 *
 * @module
 */
import { InputError } from "../models/error.ts";
import type { Dispatch, Gpu } from "./gpu.ts";
import { withoutHardware } from "./_matrix_hardware.ts";
import { type MatrixMode, matrixUnit } from "./matrix_unit.ts";
import { type Scratch, type Summation, writesPartial } from "./matmul/_design.ts";
import { finishShader, finishWorkgroups } from "./matmul/_finish.ts";
import { type PlainTuning, planPlain } from "./matmul/_plan_plain.ts";
import { planTiles, type TilesTuning } from "./matmul/_plan_tiles.ts";
import { type MatmulTensors, problemOf, type Transposes } from "./matmul/_problem.ts";
import { type Plan, planOf } from "./plan.ts";
import type { Tensor } from "./tensor.ts";

export type { Scratch, Summation } from "./matmul/_design.ts";
export type { MatmulTensors } from "./matmul/_problem.ts";
export * from "./matmul/bound.ts";

export interface MatmulOptions extends Transposes, TilesTuning, PlainTuning {
  /** Add to C rather than replace it; default false. */
  readonly accumulate?: boolean;
  /** Default: on matrix units `f16` where A and B are f16, else `split`; without them `f32`. */
  readonly mode?: MatrixMode;
  /** Whether to use matrix units; default: whether the device has them, unless the mode is `f32`. */
  readonly hardware?: boolean;
  /** Parts of the sum, each by workgroups of its own; default: as many as keep the device busy. */
  readonly parts?: number;
  /**
   * Where scratch buffers come from; they stay the caller's, who may share them with whatever does not run meanwhile.
   * Called before `planMatmul` first waits. Default: buffers of the plan's own.
   */
  readonly scratch?: Scratch;
}

/** A product made ready, and how it is computed: what {@linkcode matmulBound} has to know. */
export interface MatmulPlan extends Plan, Summation {}

/** Makes a product ready. Throws an {@link InputError} on tensors or options that do not fit. */
export async function planMatmul(gpu: Gpu, tensors: MatmulTensors, options: MatmulOptions = {}): Promise<MatmulPlan> {
  const problem = problemOf(tensors, options);
  const { c } = tensors;
  const { accumulate = false } = options;
  if (options.parts !== undefined && !(Number.isInteger(options.parts) && options.parts >= 1)) {
    throw new InputError(`Cannot multiply: parts must be an integer ≥ 1, got ${options.parts}`);
  }
  const { mode, hardware } = choose(gpu, tensors, options);
  const shared = {
    name: "matmul",
    bytes: tensors.a.bytes + tensors.b.bytes + (accumulate ? 2 : 1) * c.bytes,
    operations: 2 * problem.batches * problem.M * problem.N * problem.K,
  };
  if (c.length === 0 || problem.K === 0) {
    const dispatches = c.length === 0 ? [] : [await finish(gpu, c, 0, accumulate)];
    const plan = planOf({ ...shared, variant: "empty sums", dispatches });
    return { ...plan, mode, hardware, chunk: 1, direct: true, parts: 1 };
  }
  const design = mode === "f32" && !hardware && options.rows === undefined
    ? planPlain(gpu, problem, c, { ...options, accumulate })
    : planTiles(gpu, problem, c, matrixUnit(gpu, { mode, hardware }), { ...options, accumulate });
  const partial = writesPartial(c, design)
    ? (options.scratch ?? createScratch(gpu))(4 * design.parts * c.length, "partial sums")
    : undefined;
  const scratch = [...design.scratch, ...(partial === undefined || options.scratch ? [] : [partial])];
  try {
    const dispatches = await design.dispatches(partial ?? c.buffer);
    if (partial !== undefined) dispatches.push(await finish(gpu, c, design.parts, accumulate, partial));
    const { variant, chunk, direct, parts } = design;
    return { ...planOf({ ...shared, variant, dispatches, scratch }), mode, hardware, chunk, direct, parts };
  } catch (error) {
    scratch.forEach((buffer) => buffer.destroy());
    throw error;
  }
}

function choose(
  gpu: Gpu,
  { a, b }: MatmulTensors,
  options: MatmulOptions,
): { readonly mode: MatrixMode; readonly hardware: boolean } {
  const hardware = options.hardware ??
    (options.mode !== "f32" && withoutHardware(gpu) === undefined && gpu.subgroups?.max === 32);
  const halves = a.dtype === "f16" && b.dtype === "f16";
  return { hardware, mode: options.mode ?? (hardware ? halves ? "f16" : "split" : "f32") };
}

function createScratch(gpu: Gpu): Scratch {
  return (bytes, label) => gpu.createBuffer({ bytes, label });
}

async function finish(gpu: Gpu, c: Tensor, parts: number, accumulate: boolean, partial?: GPUBuffer): Promise<Dispatch> {
  const code = finishShader(c, parts, accumulate);
  const pipeline = await gpu.compile({ label: "matmul finish", code });
  return {
    pipeline,
    buffers: partial === undefined ? [c.buffer] : [c.buffer, partial],
    workgroups: finishWorkgroups(c),
  };
}
