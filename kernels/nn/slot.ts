/**
 * An array of a program before it has a buffer: a shape over storage that the program places once it knows how long it is
 * needed. A *fixed* one lies in a tensor of somebody else: a parameter, an input.
 */
import { InputError } from "../../models/error.ts";
import { lengthOf, type Tensor } from "../tensor.ts";

/** What slots lie in; several of different shapes may share one. */
export interface Storage {
  /** Numbers, 32 bits each. */
  readonly length: number;
  readonly fixed: Tensor | undefined;
}

export class Slot {
  readonly storage: Storage;
  readonly shape: readonly number[];

  constructor(storage: Storage, shape: readonly number[]) {
    this.storage = storage;
    this.shape = shape;
  }

  static of(tensor: Tensor): Slot {
    return new Slot({ length: tensor.length, fixed: tensor }, tensor.shape);
  }

  get length(): number {
    return this.storage.length;
  }

  /** The same numbers in another shape. Throws an {@link InputError} if it does not hold as many. */
  view(shape: readonly number[]): Slot {
    if (lengthOf(shape) !== this.length) {
      throw new InputError(
        `Cannot reshape [${this.shape.join(", ")}]: the new shape must hold ${this.length} numbers, got [${
          shape.join(", ")
        }]`,
      );
    }
    return new Slot(this.storage, shape);
  }
}
