/**
 * Inf of the Transformer-PSM: the right part of a causal block stack on `[prefix | chunk]`, with its final layer norm.
 *
 * @module
 */
import { checkStack, runStack, stackCache, type StackOptions, stackParameters } from "./attention_stack.ts";
import type { ChunkDecoder } from "./psm_parts.ts";

/** A stack over prefix and chunk; chunk 0 runs without a prefix. */
export function attentionDecoder(options: Omit<StackOptions, "mask">): ChunkDecoder {
  checkStack("the decoder of a chunk", options);
  const stack: StackOptions = { ...options, mask: "causal" };
  return {
    parameters: stackParameters(stack),
    whole(ops, p, prefix, x) {
      const all = prefix === undefined ? x : ops.concat([prefix, x], 1);
      return runStack(ops, p, all, stack, { last: ops.shape(x)[1]! }).hidden;
    },
    seed: (ops, p, prefix) => stackCache(ops, p, prefix, stack),
    append: (ops, p, cache, x) => runStack(ops, p, x, stack, { cache }),
    cached: {
      arrays: 2 * stack.layers,
      width: stack.d,
      next: (ops, p, cache, count, x) => runStack(ops, p, x, stack, { cache, count }),
    },
  };
}
