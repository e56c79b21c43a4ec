/**
 * What a converter makes of an upstream call: this kit's model, inputs and initial state, and the way back.
 *
 * @module
 */
import type { AnyAffineModel } from "../affine.ts";
import type { Dims } from "../inputs.ts";
import type { NdArray } from "./layout.ts";

/** A run of this kit that stands for an upstream call. */
export interface Call {
  readonly model: AnyAffineModel;
  readonly dims: Dims;
  /** In this kit's layout and conventions. */
  readonly inputs: { readonly [name: string]: ArrayLike<number> };
  /** `[B, H, rows, columns, width]`; absent where the call starts from zero. */
  readonly initialState?: ArrayLike<number>;
  /** This kit's outputs and final state in the upstream's names, layouts and conventions. */
  results(result: { readonly outputs: ArrayLike<number>; readonly finalState: ArrayLike<number> }): {
    readonly [name: string]: NdArray;
  };
}
