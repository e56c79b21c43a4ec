/**
 * What kernels offer to be a layer of a network: a model's forward and backward pass as plans on tensors, for any family of
 * models. planMixer (kernels/mixer.ts) checks and completes what these are given.
 *
 * @module
 */
import type { AnyAffineModel } from "../../models/affine.ts";
import type { Dims } from "../../models/inputs.ts";
import type { Fault } from "../faults.ts";
import type { Gpu } from "../gpu.ts";
import type { MatrixMode } from "../matrix_unit.ts";
import type { Plan } from "../plan.ts";
import type { Tensor } from "../tensor.ts";
import type { Named } from "../_work.ts";

/** f32. Inputs are all there: `[B, T, H, …axes]` (`[B, T·n, H, …axes]` where given for n micro-steps), `[H, …axes]`. */
export interface LayerTensors {
  readonly inputs: Named;
  /** `[B, T, H, columns]`. */
  readonly outputs: Tensor;
  /** `[B, H, rows, columns]`, and 2 where an entry is two numbers; zero where not given. */
  readonly initial?: Tensor | undefined;
  readonly final?: Tensor | undefined;
  /** In the shapes of {@linkcode Layer.kept}, all or none: filled for the backward pass. */
  readonly kept?: Named | undefined;
  /** `[B, T, H, rows, columns]`: the state after every token, where the layer {@linkcode Layer.hasStates}. */
  readonly states?: Tensor | undefined;
}

/** The backward pass: gradients go where they are asked for, each in its input's shape. */
export interface LayerGradientTensors {
  readonly inputs: Named;
  /** `[B, T, H, columns]`. */
  readonly dOutputs: Tensor;
  /** As the forward pass wrote them: where outputs are states, they need not be computed again. */
  readonly outputs?: Tensor | undefined;
  readonly gradients: Named;
  /** Names of gradients that are added to what is there, where the layer can. */
  readonly accumulate?: ReadonlySet<string> | undefined;
  readonly initial?: Tensor | undefined;
  readonly dFinal?: Tensor | undefined;
  readonly dInitial?: Tensor | undefined;
  readonly kept?: Named | undefined;
}

export interface LayerOptions {
  /** Of products on tiles, which are taken then where a walk would have been (kernels/chunk); default: what is usual there. */
  readonly mode?: MatrixMode | undefined;
  readonly hardware?: boolean | undefined;
  /**
   * Whether time may be cut into pieces that run side by side, by how many sequences there are. Then results depend on B
   * and T beyond what they must, in their last bits.
   */
  readonly split?: boolean | undefined;
  /**
   * Of a backward pass: whether gradients of gates may be sums over later tokens, off by a few hundred roundings of what is summed
   * even where they are small. Training can do with it; the harness judges the gradients without. Whether they are then is chosen by
   * how many sequences there are and how long, and with it a row's last bits.
   */
  readonly summed?: boolean | undefined;
  /** Bytes that a batch row's states may take in the generic kernel: longer sequences run in slabs. Default 16 MiB. */
  readonly slabBytes?: number | undefined;
  /** For tests. */
  readonly fault?: Fault | undefined;
}

/** A model's passes, of T ≥ 1 tokens. */
export interface Layer {
  /** Whether gradients can be added to what is there without holding them elsewhere first. */
  readonly accumulates: boolean;
  /** Whether it has all states at hand and can return them. */
  readonly hasStates?: boolean;
  /**
   * Shapes of what the forward pass can keep, without which the backward pass computes it again. They do not depend on `split` and
   * `summed`, which may differ between the two.
   */
  kept(
    gpu: Gpu,
    model: AnyAffineModel,
    dims: Dims,
    options: LayerOptions,
  ): { readonly [name: string]: readonly number[] };
  forward(gpu: Gpu, model: AnyAffineModel, dims: Dims, tensors: LayerTensors, options: LayerOptions): Promise<Plan>;
  backward(
    gpu: Gpu,
    model: AnyAffineModel,
    dims: Dims,
    tensors: LayerGradientTensors,
    options: LayerOptions,
  ): Promise<Plan>;
}
