/** A cross-entropy cut into blocks of rows, so that their logits fit a scratch buffer. */

import { InputError } from "../../models/error.ts";
import { BufferUsage, type Dispatch, type Gpu } from "../gpu.ts";
import { type MatmulOptions, type MatmulPlan, planMatmul } from "../matmul.ts";
import type { MatrixMode } from "../matrix_unit.ts";
import { assertShape, Tensor } from "../tensor.ts";
import { chosenProducts } from "./_products.ts";

/** Rows at a time, all but the last block's: a multiple of 64, so that they start where a binding may. */
const ROWS = 64;

export interface CrossEntropyInputs {
  /** `[R, d]`. */
  readonly x: Tensor;
  /** `[d, V]`. */
  readonly head: Tensor;
  /** `[R]` ids of u32. One at or above V counts as V − 1; a row of weight 0 may have any. */
  readonly targets: GPUBuffer;
  /** `[R]`, each ≥ 0. */
  readonly weights: Tensor;
  /** `[R]`: log-sum-exp of the logits; the forward pass writes it, the backward pass reads it. */
  readonly stats: Tensor;
}

export interface CrossEntropyOptions {
  /** Bytes of scratch for logits; default 256 MiB, on a software adapter 4 MiB. At least 64 rows are held. */
  readonly logitsBytes?: number;
  /** How products with a large head are computed on matrix units; default: as `planMatmul` chooses. */
  readonly mode?: MatrixMode | undefined;
}

export interface CrossEntropySizes {
  readonly rows: number;
  readonly width: number;
  readonly vocabulary: number;
  /** Rows of a block. */
  readonly each: number;
  /** Invocations of a row's workgroup. */
  readonly threads: number;
}

/** Throws an {@link InputError} if the tensors do not fit each other. */
export function crossEntropySizes(
  gpu: Gpu,
  { x, head, targets, weights, stats }: CrossEntropyInputs,
  { logitsBytes = (gpu.adapter.software ? 4 : 256) * 2 ** 20 }: CrossEntropyOptions,
): CrossEntropySizes {
  assertShape("x", x, [-1, -1]);
  const [rows, width] = x.shape as readonly [number, number];
  assertShape("head", head, [width, -1]);
  const vocabulary = head.shape[1]!;
  assertShape("weights", weights, [rows]);
  assertShape("stats", stats, [rows]);
  for (const [name, { dtype }] of Object.entries({ x, head, weights, stats })) {
    if (dtype !== "f32") throw new InputError(`Cannot take a cross-entropy: ${name} must be f32, got ${dtype}`);
  }
  if (rows < 1 || width < 1 || vocabulary < 2) {
    throw new InputError(
      `Cannot take a cross-entropy: there must be a row, a width and two ids, got ${rows}, ${width}, ${vocabulary}`,
    );
  }
  if (targets.size < 4 * rows) {
    throw new InputError(`Cannot take a cross-entropy: targets must be ${rows} ids, got ${targets.size / 4}`);
  }
  const room = Math.floor(logitsBytes / (4 * vocabulary * ROWS)) * ROWS;
  const blocks = Math.ceil(rows / Math.max(ROWS, room));
  const each = blocks === 1 ? rows : Math.ceil(rows / (blocks * ROWS)) * ROWS;
  return { rows, width, vocabulary, each, threads: vocabulary <= 1024 || gpu.adapter.software ? 64 : 256 };
}

/** A block of rows: its first, and how many. */
export interface Block {
  readonly first: number;
  readonly count: number;
}

export function blocksOf({ rows, each }: CrossEntropySizes): Block[] {
  return Array.from({ length: Math.ceil(rows / each) }, (_, block) => ({
    first: block * each,
    count: Math.min(each, rows - block * each),
  }));
}

/** A uniform buffer: first row, rows, vocabulary. */
export function blockExtent(gpu: Gpu, { first, count }: Block, vocabulary: number): GPUBuffer {
  return gpu.upload(Uint32Array.of(first, count, vocabulary, 0), {
    label: "cross-entropy block",
    usage: BufferUsage.UNIFORM | BufferUsage.COPY_DST,
  });
}

/** The first `count` rows of a tensor of two axes, whatever it holds beyond. */
export function firstRows({ gpu, buffer, shape }: Tensor, count: number): Tensor {
  return new Tensor(gpu, buffer, [count, shape[1]!]);
}

/**
 * Products over blocks of rows: planned once for each number of rows, for rows from the first on, then moved along. Small
 * vocabularies are multiplied in plain f32, a single dispatch. The sum is never cut into parts by the number of rows: a row's logits
 * do not depend on the others.
 */
export class BlockProducts {
  readonly #gpu: Gpu;
  readonly #plans = new Map<string, Promise<MatmulPlan>>();
  readonly #made: MatmulPlan[] = [];
  #released = false;

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /** The dispatches of a product for a block; `along` are those of its tensors whose rows begin at `block.first`. */
  async dispatches(
    name: string,
    block: Block,
    tensors: { readonly a: Tensor; readonly b: Tensor; readonly c: Tensor },
    along: readonly Tensor[],
    options: MatmulOptions,
  ): Promise<Dispatch[]> {
    const key = `${name} ${block.count}`;
    let planned = this.#plans.get(key);
    if (planned === undefined) {
      planned = this.#plan(tensors, options);
      this.#plans.set(key, planned);
    }
    const { dispatches } = await planned;
    if (block.first === 0) return [...dispatches];
    const moved = (buffer: GPUBuffer | GPUBufferBinding): GPUBuffer | GPUBufferBinding => {
      const tensor = along.find((tensor) => tensor.buffer === buffer);
      if (tensor === undefined) return buffer;
      const row = 4 * tensor.shape[1]!;
      return { buffer: tensor.buffer, offset: block.first * row, size: block.count * row };
    };
    return dispatches.map((dispatch) => ({ ...dispatch, buffers: dispatch.buffers.map(moved) }));
  }

  get scratchBytes(): number {
    return this.#made.reduce((sum, { scratchBytes }) => sum + scratchBytes, 0);
  }

  /** Frees scratch buffers; those of plans not yet made as soon as they are. */
  release(): void {
    this.#released = true;
    for (const plan of this.#made.splice(0)) plan.release();
  }

  async #plan(
    tensors: { readonly a: Tensor; readonly b: Tensor; readonly c: Tensor },
    options: MatmulOptions,
  ): Promise<MatmulPlan> {
    const plan = await planMatmul(this.#gpu, tensors, options);
    if (this.#released) plan.release();
    else this.#made.push(plan);
    return plan;
  }
}

/** The mode of a product with a head: small vocabularies in plain f32. */
export function headOptions(
  { vocabulary }: CrossEntropySizes,
  { mode }: CrossEntropyOptions,
  options: MatmulOptions,
): MatmulOptions {
  return { ...options, ...(vocabulary <= 1024 ? { mode: "f32" } : chosenProducts(mode)) };
}
