/**
 * Matrix products: `C = A·B`, `C = A·B + bias` or `C += A·B`, batched, of any sizes, either side transposed, f32 or f16 in
 * storage.
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
 * On matrix units a kernel first brings each operand into halves: 16 rows of A, and columns of B, at a time are scaled by a
 * power of two per `chunk` terms of the sum, so that their largest number lies in [2^14, 2^15); rows of A one by one where
 * they must not depend on each other (`invariant`). A number keeps the precision of its mode down to 2^−28 of that
 * largest one in `f16`, to 2^−17 in `split`. The product of a chunk is summed by the matrix unit,
 * then unscaled; chunks are added in f32 proper: with `chunk` 256 the truncation of `split` is no more than what plain f32
 * loses in rounding. {@linkcode matmulBound} has the exact figures.
 *
 * Sizes are in uniforms: what is compiled for one product serves all others of its mode, layout and tiling.
 *
 * @module
 */
import { InputError } from "../models/error.ts";
import { BufferUsage, type Gpu } from "./gpu.ts";
import { matrixUnit } from "./matrix_unit.ts";
import { type ChoiceOptions, choose } from "./matmul/_choice.ts";
import type { Memory, Scratch, SharedOperands, Summation, Uniform } from "./matmul/_design.ts";
import { planFinish } from "./matmul/_finish.ts";
import { type PlainTuning, planPlain } from "./matmul/_plan_plain.ts";
import { planTiles, type TilesTuning } from "./matmul/_plan_tiles.ts";
import { type MatmulTensors, problemOf, type Transposes } from "./matmul/_problem.ts";
import { type Plan, planOf } from "./plan.ts";

export type { Scratch, Shared, SharedOperands, Summation, Uniform } from "./matmul/_design.ts";
export type { MatmulTensors } from "./matmul/_problem.ts";
export * from "./matmul/bound.ts";

export interface MatmulOptions extends ChoiceOptions, Transposes, TilesTuning, PlainTuning {
  /** Add to C rather than replace it; default false. */
  readonly accumulate?: boolean;
  /**
   * Parts of the sum at least, each by workgroups of its own; default: as many as keep the device busy, or `chunk` asks for.
   */
  readonly parts?: number;
  /**
   * Where scratch buffers come from; they stay the caller's, who may share them with whatever does not run meanwhile.
   * Called before `planMatmul` first waits. Default: buffers of the plan's own.
   */
  readonly scratch?: Scratch;
  /** Where the kernels' sizes come from, likewise the caller's, who may share those of the same words. */
  readonly uniform?: Uniform;
  /**
   * Where matrix units' packed operands lie that other products of the same arrays use too: the first to be made ready packs
   * them, and must run before the others. The caller's too, and likewise asked. Default: every product packs its own.
   */
  readonly shared?: SharedOperands;
}

/** A product made ready, and how it is computed: what {@linkcode matmulBound} has to know. */
export interface MatmulPlan extends Plan, Summation {}

/** Makes a product ready. Throws an {@link InputError} on tensors or options that do not fit. */
export async function planMatmul(gpu: Gpu, tensors: MatmulTensors, options: MatmulOptions = {}): Promise<MatmulPlan> {
  const problem = problemOf(tensors, options);
  const { c, bias } = tensors;
  const { accumulate = false } = options;
  if (accumulate && bias !== undefined) {
    throw new InputError("Cannot multiply: a bias must go into a product that replaces C, got accumulate");
  }
  if (options.parts !== undefined && !(Number.isInteger(options.parts) && options.parts >= 1)) {
    throw new InputError(`Cannot multiply: parts must be an integer ≥ 1, got ${options.parts}`);
  }
  const spread = { ...options, accumulate };
  const { mode, hardware } = choose(gpu, problem, spread);
  const shared = {
    name: "matmul",
    bytes: tensors.a.bytes + tensors.b.bytes + (accumulate ? 2 : 1) * c.bytes + (bias?.bytes ?? 0),
    operations: 2 * problem.batches * problem.M * problem.N * problem.K,
  };
  const scratch: GPUBuffer[] = [];
  const own = (buffer: GPUBuffer): GPUBuffer => {
    scratch.push(buffer);
    return buffer;
  };
  const usage = BufferUsage.UNIFORM | BufferUsage.COPY_DST;
  const memory: Memory = {
    scratch: options.scratch ?? ((bytes, label) => own(gpu.createBuffer({ bytes, label }))),
    uniform: options.uniform ?? ((words) => own(gpu.upload(words, { label: "sizes", usage }))),
    ...(options.shared && { shared: options.shared }),
  };
  try {
    if (c.length === 0 || problem.K === 0) {
      const empty = planFinish(gpu, memory, { c: problem.c, bias, before: accumulate ? "added" : "replaced" });
      const dispatches = c.length === 0 ? [] : [await empty()];
      const plan = planOf({ ...shared, variant: "empty sums", dispatches, scratch });
      return { ...plan, mode, hardware, chunk: 1, parts: 1 };
    }
    const design = mode === "f32" && !hardware && options.rows === undefined
      ? planPlain(gpu, problem, memory, spread)
      : planTiles(gpu, problem, matrixUnit(gpu, { mode, hardware }), memory, spread);
    const { variant, chunk, scaled, parts } = design;
    const dispatches = await design.dispatches();
    return { ...planOf({ ...shared, variant, dispatches, scratch }), mode, hardware, chunk, scaled, parts };
  } catch (error) {
    scratch.forEach((buffer) => buffer.destroy());
    throw error;
  }
}
