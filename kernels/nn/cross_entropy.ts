/**
 * Cross-entropy of `softmax(x·head)` at given targets, weighted: `Σ_r w_r · −log p_r[target_r] / Σ_r w_r`, and 0 where all
 * weights are 0; and, if asked for, each row's own loss, the likeliest id and by how much it wins.
 *
 * Logits are held for a block of rows at a time, in scratch memory. What is stored for a row does not depend on the other
 * rows.
 *
 * @module
 */
import { InputError } from "../../models/error.ts";
import type { Dispatch, Gpu } from "../gpu.ts";
import { type Plan, planOf } from "../plan.ts";
import { assertShape, Tensor } from "../tensor.ts";
import { compileShader, dispatch } from "../wgsl.ts";
import {
  blockExtent,
  BlockProducts,
  blocksOf,
  type CrossEntropyInputs,
  type CrossEntropyOptions,
  crossEntropySizes,
  firstRows,
  headOptions,
} from "./_cross_entropy_blocks.ts";
import { meanShader, rowsShader } from "./_cross_entropy_rows.ts";

export type { CrossEntropyInputs, CrossEntropyOptions } from "./_cross_entropy_blocks.ts";

export interface CrossEntropyTensors extends CrossEntropyInputs {
  /** `[1]`. */
  readonly loss: Tensor;
  /** `[R]`: −log p of the target, unweighted. */
  readonly losses?: Tensor;
  /** `[R]` ids of u32: that of the largest logit, the lowest of equal ones. */
  readonly best?: GPUBuffer;
  /** `[R]`: the largest logit minus the second largest. */
  readonly margins?: Tensor;
}

/** Makes a cross-entropy ready. Throws an {@link InputError} on tensors that do not fit. */
export async function planCrossEntropy(
  gpu: Gpu,
  tensors: CrossEntropyTensors,
  options: CrossEntropyOptions = {},
): Promise<Plan> {
  const sizes = crossEntropySizes(gpu, tensors, options);
  const { rows, width, vocabulary, each, threads } = sizes;
  const { x, head, targets, weights, stats, loss, losses, best, margins } = tensors;
  assertShape("loss", loss, [1]);
  if (losses !== undefined) assertShape("losses", losses, [rows]);
  if (margins !== undefined) assertShape("margins", margins, [rows]);
  if (best !== undefined && best.size < 4 * rows) {
    throw new InputError(`Cannot take a cross-entropy: best must hold ${rows} ids, got ${best.size / 4}`);
  }
  const scratch: GPUBuffer[] = [];
  const keep = (buffer: GPUBuffer): GPUBuffer => {
    scratch.push(buffer);
    return buffer;
  };
  const products = new BlockProducts(gpu);
  try {
    const logits = Tensor.empty(gpu, [each, vocabulary], { label: "logits" });
    keep(logits.buffer);
    const buffers = {
      ...{ logits: logits.buffer, targets, weights: weights.buffer, stats: stats.buffer, loss: loss.buffer },
      losses: losses?.buffer ?? keep(gpu.createBuffer({ bytes: 4 * rows, label: "losses" })),
      ...(best === undefined ? {} : { best }),
      ...(margins === undefined ? {} : { margins: margins.buffer }),
    };
    const kinds = { losses: true, best: best !== undefined, margins: margins !== undefined };
    const blocks = blocksOf(sizes);
    // Kernels are compiled together.
    const [ofRows, mean, ofBlocks] = await Promise.all([
      compileShader(gpu, rowsShader(threads, kinds)),
      compileShader(gpu, meanShader(true)),
      Promise.all(blocks.map((block) => {
        const product = { a: firstRows(x, block.count), b: head, c: firstRows(logits, block.count) };
        return products.dispatches("logits", block, product, [x], headOptions(sizes, options, { invariant: true }));
      })),
    ]);
    const dispatches: Dispatch[] = blocks.flatMap((block, i) => [
      ...ofBlocks[i]!,
      dispatch(ofRows, { ...buffers, extent: keep(blockExtent(gpu, block, vocabulary)) }, block.count),
    ]);
    const extent = keep(blockExtent(gpu, { first: 0, count: rows }, vocabulary));
    dispatches.push(dispatch(mean, { ...buffers, extent }, 1));
    const plan = planOf({
      name: "cross-entropy",
      variant: `${each} rows at a time`,
      dispatches,
      bytes: x.bytes + head.bytes + 4 * rows * (4 + Number(best !== undefined) + Number(margins !== undefined)),
      operations: rows * vocabulary * (2 * width + 2),
      scratch,
    });
    return {
      ...plan,
      scratchBytes: plan.scratchBytes + products.scratchBytes,
      release: () => {
        plan.release();
        products.release();
      },
    };
  } catch (error) {
    scratch.forEach((buffer) => buffer.destroy());
    products.release();
    throw error;
  }
}
