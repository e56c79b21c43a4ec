/**
 * Gradients of the cross-entropy (cross_entropy.ts) in x and the head: logits are computed again, a block of rows at a time,
 * and turned in place into `(p − [target]) · w / Σ w · cotangent`, of which both gradients are products.
 *
 * @module
 */
import { InputError } from "../../models/error.ts";
import type { Dispatch, Gpu } from "../gpu.ts";
import { type Plan, planOf } from "../plan.ts";
import { assertShape, Tensor } from "../tensor.ts";
import { compileShader, dispatch } from "../wgsl.ts";
import {
  type Block,
  blockExtent,
  BlockProducts,
  blocksOf,
  type CrossEntropyInputs,
  type CrossEntropyOptions,
  crossEntropySizes,
  firstRows,
  headOptions,
} from "./_cross_entropy_blocks.ts";
import { meanShader, slopesShader } from "./_cross_entropy_rows.ts";

export interface CrossEntropyGradients extends CrossEntropyInputs {
  /** `[R, d]`. */
  readonly dx: Tensor;
  /** `[d, V]`. */
  readonly dHead: Tensor;
  /** `[1]`: the gradient of the loss; default: 1. */
  readonly cotangent?: Tensor;
}

export interface PlanCrossEntropyBackwardOptions extends CrossEntropyOptions {
  /** Add to the gradients rather than replace them; default false. */
  readonly accumulate?: boolean;
}

/** Makes the gradients ready; `stats` are the forward pass's. Throws an {@link InputError} on tensors that do not fit. */
export async function planCrossEntropyBackward(
  gpu: Gpu,
  tensors: CrossEntropyGradients,
  options: PlanCrossEntropyBackwardOptions = {},
): Promise<Plan> {
  const sizes = crossEntropySizes(gpu, tensors, options);
  const { rows, width, vocabulary, each, threads } = sizes;
  const { x, head, targets, weights, stats, dx, dHead, cotangent } = tensors;
  assertShape("dx", dx, x.shape);
  assertShape("dHead", dHead, head.shape);
  if (cotangent !== undefined && cotangent.length !== 1) {
    throw new InputError(
      `Cannot differentiate a cross-entropy: the cotangent must be a number, got [${cotangent.shape.join(", ")}]`,
    );
  }
  const { accumulate = false } = options;
  const scratch: GPUBuffer[] = [];
  const keep = (buffer: GPUBuffer): GPUBuffer => {
    scratch.push(buffer);
    return buffer;
  };
  const products = new BlockProducts(gpu);
  try {
    const logits = Tensor.empty(gpu, [each, vocabulary], { label: "logits" });
    keep(logits.buffer);
    const total = keep(gpu.createBuffer({ bytes: 4, label: "sum of weights" }));
    const buffers = {
      ...{ logits: logits.buffer, targets, weights: weights.buffer, stats: stats.buffer, total },
      cotangent: cotangent?.buffer ?? keep(gpu.upload(Float32Array.of(1), { label: "cotangent" })),
    };
    const blocks = blocksOf(sizes);
    const productsOf = (block: Block): Promise<[Dispatch[], Dispatch[], Dispatch[]]> => {
      const [xRows, slopeRows, dxRows] = [x, logits, dx].map((tensor) => firstRows(tensor, block.count)) as [
        Tensor,
        Tensor,
        Tensor,
      ];
      const add = accumulate || block.first > 0;
      const product = (name: string, a: Tensor, b: Tensor, c: Tensor, more = {}): Promise<Dispatch[]> =>
        products.dispatches(name, block, { a, b, c }, [x, dx], headOptions(sizes, options, more));
      return Promise.all([
        product("logits", xRows, head, slopeRows, { invariant: true }),
        product("dx", slopeRows, head, dxRows, { transposeB: true, accumulate }),
        product(`dHead ${add}`, xRows, slopeRows, dHead, { transposeA: true, accumulate: add }),
      ]);
    };
    // Kernels are compiled together.
    const [sum, slopes, ofBlocks] = await Promise.all([
      compileShader(gpu, meanShader(false)),
      compileShader(gpu, slopesShader(threads)),
      Promise.all(blocks.map(productsOf)),
    ]);
    const extent = keep(blockExtent(gpu, { first: 0, count: rows }, vocabulary));
    const dispatches: Dispatch[] = [
      dispatch(sum, { extent, weights: weights.buffer, loss: total }, 1),
      ...blocks.flatMap((block, i) => {
        const [ofLogits, ofX, ofHead] = ofBlocks[i]!;
        const inputs = { ...buffers, extent: keep(blockExtent(gpu, block, vocabulary)) };
        return [...ofLogits, dispatch(slopes, inputs, block.count), ...ofX, ...ofHead];
      }),
    ];
    const plan = planOf({
      name: "cross-entropy backward",
      variant: `${each} rows at a time`,
      dispatches,
      bytes: 2 * (x.bytes + head.bytes) + (accumulate ? x.bytes + head.bytes : 0) + 12 * rows,
      operations: rows * vocabulary * (6 * width + 3),
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
