/** An array of a network on the GPU. */
import { type Gpu } from "../gpu.ts";
import { Tensor } from "../tensor.ts";
import { Slot } from "./slot.ts";

/** Whole rows of other values, one after the other. */
export interface Taken {
  readonly rows: readonly TakenRow[];
}

export type TakenRow = readonly [source: Value, row: number];

/** Other values one after the other along an axis. */
export interface Joined {
  readonly axis: number;
  readonly parts: readonly Value[];
}

/** What another array is but for what dropout dropped. */
export interface Dropped {
  readonly x: Slot;
  readonly rate: number;
  readonly site: number;
}

/** Where a value's numbers come from, if they are those of others. */
export interface Origin {
  readonly taken?: Taken | undefined;
  readonly joined?: Joined | undefined;
  readonly dropped?: Dropped | undefined;
}

export class Value {
  readonly slot: Slot;
  /** Whether the gradient with respect to it is wanted, or one that flows through it. */
  readonly tracked: boolean;
  readonly taken: Taken | undefined;
  readonly joined: Joined | undefined;
  readonly dropped: Dropped | undefined;

  constructor(slot: Slot, tracked = false, { taken, joined, dropped }: Origin = {}) {
    this.slot = slot;
    this.tracked = tracked;
    this.taken = taken;
    this.joined = joined;
    this.dropped = dropped;
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
