/**
 * A stack of pre-norm Transformer blocks (GPT-2's: Radford et al. 2019), with or without keys and values from before.
 *
 *     x ← x + out(attention(q, k, v))      q, k, v = norm(x)·W + b
 *     x ← x + down(gelu(up(norm(x))))      and a layer norm after the last block
 *
 * The cache of a stack is `[k_0, v_0, k_1, v_1, …]`, `[N, m, d]` each (nothing for a window of 1). A stack over n tokens with the cache of the m before
 * computes what it computes over all m + n, for the last n. Where caches have room for more, `[N, room, d]`, new tokens go into them, and how
 * many there are is read when it runs.
 *
 * @module
 */
import { InputError } from "../error.ts";
import { layerNorm, mlp, mlpParameters } from "./mlp.ts";
import {
  type AttentionMask,
  type AttentionOptions,
  joined,
  type Parameters,
  type ParameterSpecs,
  type TensorOps,
  under,
} from "./ops.ts";
import { normParameters, parameter, residualStd, weights, zeros } from "./parameters.ts";

/** The size of a stack and what its tokens see. */
export interface StackOptions {
  readonly d: number;
  readonly heads: number;
  readonly layers: number;
  /** Width inside the MLPs; default 4d. */
  readonly hidden?: number;
  readonly mask: AttentionMask;
  /** Rate of dropout on what a block adds; default 0. */
  readonly dropout?: number;
}

/** What a stack goes on from and what it is asked for. */
export interface StackRun<T, I = never> {
  /** Of the tokens before; none unless given. */
  readonly cache?: readonly T[];
  /** Tokens there are, `[1]`, those of this run the last of them: the cache then has room, and is used up. */
  readonly count?: I;
  /** How many of the last tokens are wanted; default all of them. The last block computes no other. */
  readonly last?: number;
}

/** Checks sizes; throws an {@link InputError}. */
export function checkStack(name: string, { d, heads, layers }: Omit<StackOptions, "mask">): void {
  for (const [what, value] of Object.entries({ d, heads, layers })) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new InputError(`Cannot define ${name}: ${what} must be a whole number ≥ 1, got ${value}`);
    }
  }
  if (d % heads !== 0) throw new InputError(`Cannot define ${name}: heads must divide d = ${d}, got ${heads}`);
}

function blockParameters(d: number, hidden: number, layers: number): ParameterSpecs {
  return joined({
    attention: {
      ...joined({ norm: normParameters(d) }),
      query: weights(d, d),
      queryBias: zeros(d),
      key: weights(d, d),
      keyBias: zeros(d),
      value: weights(d, d),
      valueBias: zeros(d),
      out: weights(d, d, residualStd(layers)),
      outBias: zeros(d),
    },
    mlp: mlpParameters(d, hidden, layers),
  });
}

/** Parameters of a stack: those of block i under `i`, of the last norm under `norm`. */
export function stackParameters({ d, hidden = 4 * d, layers }: StackOptions): ParameterSpecs {
  const blocks = Array.from({ length: layers }, (_, i) => [`${i}`, blockParameters(d, hidden, layers)] as const);
  return joined({ ...Object.fromEntries(blocks), norm: normParameters(d) });
}

function projected<T, I>(ops: TensorOps<T, I>, p: Parameters<T>, name: string, x: T): T {
  return ops.linear(x, parameter(p, name), parameter(p, `${name}Bias`));
}

/** The last `count` tokens of x `[N, n, …]`. */
function lastTokens<T, I>(ops: TensorOps<T, I>, x: T, count: number): T {
  const n = ops.shape(x)[1]!;
  return count === n ? x : ops.slice(x, 1, n - count, n);
}

/** Keys and values of a block's tokens, behind those of the cache. */
function keysAndValues<T, I>(
  ops: TensorOps<T, I>,
  p: Parameters<T>,
  normed: T,
  cache: readonly T[],
): readonly [k: T, v: T] {
  const [k, v] = [projected(ops, p, "key", normed), projected(ops, p, "value", normed)];
  return cache.length === 0 ? [k, v] : [ops.concat([cache[0]!, k], 1), ops.concat([cache[1]!, v], 1)];
}

/** What later tokens need of keys and values: all, those that a window still reaches, or nothing. */
function kept<T, I>(ops: TensorOps<T, I>, keysAndValues: readonly T[], mask: AttentionMask): readonly T[] {
  if (typeof mask !== "object") return keysAndValues;
  if (mask.window === 1) return [];
  return keysAndValues.map((x) => lastTokens(ops, x, Math.min(mask.window - 1, ops.shape(x)[1]!)));
}

/** Attention of a block's next tokens to a cache with room. */
function attendNext<T, I>(
  ops: TensorOps<T, I>,
  tokens: { readonly q: T; readonly k: T; readonly v: T },
  cache: readonly T[],
  count: I,
  options: AttentionOptions,
): { readonly y: T; readonly cache: readonly T[] } {
  if (ops.attentionNext === undefined) {
    throw new InputError("Cannot stream: operations must have attentionNext, got none");
  }
  const { y, keys, values } = ops.attentionNext(tokens, { keys: cache[0]!, values: cache[1]! }, count, options);
  return { y, cache: [keys, values] };
}

/** What the blocks make of x, before the last norm. */
function runBlocks<T, I>(
  ops: TensorOps<T, I>,
  parameters: Parameters<T>,
  x: T,
  { heads, layers, mask, dropout = 0 }: StackOptions,
  { cache = [], last = ops.shape(x)[1]!, count }: StackRun<T, I> = {},
): { readonly hidden: T; readonly cache: readonly T[] } {
  const next: T[] = [];
  let hidden = x;
  for (let i = 0; i < layers; i++) {
    const block = under(parameters, `${i}`);
    const attention = under(block, "attention");
    const normed = layerNorm(ops, under(attention, "norm"), hidden);
    const before = cache.slice(2 * i, 2 * i + 2);
    const [k, v] = keysAndValues(ops, attention, normed, count === undefined ? before : []);
    // Keys come from all tokens, queries only from those that are still wanted.
    const wanted = i === layers - 1 ? last : ops.shape(hidden)[1]!;
    const q = projected(ops, attention, "query", lastTokens(ops, normed, wanted));
    let y: T;
    if (count === undefined) {
      next.push(...kept(ops, [k, v], mask));
      y = ops.attention(q, k, v, { heads, mask });
    } else {
      const attended = attendNext(ops, { q, k, v }, before, count, { heads, mask });
      next.push(...attended.cache);
      y = attended.y;
    }
    const seen = projected(ops, attention, "out", y);
    hidden = ops.add(lastTokens(ops, hidden, wanted), ops.dropout(seen, dropout));
    hidden = mlp(ops, under(block, "mlp"), hidden, dropout);
  }
  return { hidden, cache: next };
}

/** Final vectors `[N, last, d]` of tokens x `[N, n, d]`, and the cache with theirs. */
export function runStack<T, I>(
  ops: TensorOps<T, I>,
  parameters: Parameters<T>,
  x: T,
  options: StackOptions,
  run: StackRun<T, I> = {},
): { readonly hidden: T; readonly cache: readonly T[] } {
  const { hidden, cache } = runBlocks(ops, parameters, x, options, run);
  return { hidden: layerNorm(ops, under(parameters, "norm"), hidden), cache };
}

/** The cache alone of tokens x `[N, n, d]`: the last block computes no more than its keys and values. */
export function stackCache<T, I>(
  ops: TensorOps<T, I>,
  parameters: Parameters<T>,
  x: T,
  options: StackOptions,
): readonly T[] {
  const below = options.layers - 1;
  const { hidden, cache } = runBlocks(ops, parameters, x, { ...options, layers: below });
  const attention = under(parameters, `${below}.attention`);
  const normed = layerNorm(ops, under(attention, "norm"), hidden);
  return [...cache, ...kept(ops, keysAndValues(ops, attention, normed, []), options.mask)];
}
