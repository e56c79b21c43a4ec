/** An array of a network on the GPU. */
import { type Gpu } from "../gpu.ts";
import { Tensor } from "../tensor.ts";
import { Slot } from "./slot.ts";

export class Value {
  readonly slot: Slot;
  /** Whether the gradient with respect to it is wanted, or one that flows through it. */
  readonly tracked: boolean;

  constructor(slot: Slot, tracked = false) {
    this.slot = slot;
    this.tracked = tracked;
  }

  /** Numbers that lie on the GPU already; `tracked` for parameters. */
  static of(tensor: Tensor, tracked = false): Value {
    return new Value(Slot.of(tensor), tracked);
  }

  static from(gpu: Gpu, data: ArrayLike<number>, shape: readonly number[], tracked = false): Value {
    return Value.of(Tensor.from(gpu, data, shape, { label: "value" }), tracked);
  }

  get shape(): readonly number[] {
    return this.slot.shape;
  }
}
