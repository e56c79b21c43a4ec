/**
 * Agg of the Transformer-PSM: the right half of a block stack on `[earlier | later]`, with its final layer norm. Not
 * associative by design.
 *
 * @module
 */
import { checkStack, runStack, type StackOptions, stackParameters } from "./attention_stack.ts";
import type { ChunkAggregator } from "./psm_parts.ts";

/** Sizes of the stack; the mask is the paper's `bidirectional` unless told otherwise (the authors' code has `causal`). */
export type AttentionAggregatorOptions = Omit<StackOptions, "mask"> & {
  readonly mask?: "bidirectional" | "causal";
};

/** Summaries `[N, c, d]`; one set of weights for every level and both sweeps, no positions on the 2c vectors. */
export function attentionAggregator(options: AttentionAggregatorOptions): ChunkAggregator {
  const { mask = "bidirectional" } = options;
  const name = `attention (${mask})`;
  checkStack(name, options);
  const stack: StackOptions = { ...options, mask };
  return {
    name,
    parameters: stackParameters(stack),
    combine: (ops, p, earlier, later) =>
      runStack(ops, p, ops.concat([earlier, later], 1), stack, { last: ops.shape(later)[1]! }).hidden,
  };
}
