/**
 * Converters at the edge: other projects' conventions ↔ this kit's.
 *
 * @module
 */
export type { Call } from "./call.ts";
export * as fla from "./fla.ts";
export * as mamba from "./mamba.ts";
export * as mlstmKernels from "./mlstm_kernels.ts";
export {
  mapped,
  type NdArray,
  permute,
  queryOf,
  scaledQuery,
  swapHeadsAndTime,
  swapLastTwo,
  toLogGates,
  toPlainGates,
} from "./layout.ts";
