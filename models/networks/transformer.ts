/**
 * The softmax-attention baselines: a GPT-2-style decoder, and one whose tokens see a window.
 *
 * @module
 */
import { checkStack, runStack, type StackOptions, stackParameters, type StackRun } from "./attention_stack.ts";
import { InputError } from "../error.ts";
import { headFrom, headParameters } from "./head.ts";
import { joined, type Parameters, type ParameterSpecs, type Rows, type TensorOps, under } from "./ops.ts";
import { parameter, positions, weights } from "./parameters.ts";
import type { CachedTokens, ResumableNetwork } from "./resumable.ts";

/** A decoder over tokens. */
export interface TransformerOptions extends Omit<StackOptions, "mask"> {
  readonly vocabulary: number;
  /** Whether the head is the table of tokens, transposed; default false: a matrix of its own. */
  readonly tied?: boolean;
}

/** Every token of the past, absolute positions. */
export interface Gpt2Options extends TransformerOptions {
  /** Positions there are, and so the longest sequence. */
  readonly context: number;
}

/** A token and the `window − 1` before it. */
export interface WindowOptions extends TransformerOptions {
  readonly window: number;
}

/** A stack over embedded tokens whose position is that of t within a period; whose end is the end where there is no next. */
function decoder(
  name: string,
  { vocabulary, tied = false, ...stack }: StackOptions & Pick<TransformerOptions, "vocabulary" | "tied">,
  { period, repeats }: { readonly period: number; readonly repeats: boolean },
): ResumableNetwork {
  checkStack(name, stack);
  for (const [what, value] of Object.entries({ vocabulary, [repeats ? "window" : "context"]: period })) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new InputError(`Cannot define ${name}: ${what} must be a whole number ≥ 1, got ${value}`);
    }
  }
  const { d, dropout = 0 } = stack;
  const head = headFrom(tied, "tokens");
  const parameters: ParameterSpecs = {
    tokens: weights(vocabulary, d),
    positions: positions(period, d),
    ...joined({ blocks: stackParameters(stack) }),
    ...headParameters(head, d, vocabulary),
  };
  const run = <T, I>(
    ops: TensorOps<T, I>,
    p: Parameters<T>,
    x: T,
    state: StackRun<T, I>,
  ): { readonly hidden: T; readonly cache: readonly T[] } =>
    runStack(ops, under(p, "blocks"), ops.dropout(x, dropout), stack, state);
  /** Embedded tokens with their positions. */
  const placed = <T, I>(ops: TensorOps<T, I>, p: Parameters<T>, tokens: I, places: I): T =>
    ops.add(
      ops.embedding(parameter(p, "tokens"), tokens),
      ops.embedding(parameter(p, "positions"), places),
    );
  const cached: CachedTokens = {
    arrays: 2 * stack.layers,
    width: d,
    reach: repeats ? period - 1 : period,
    next(ops, p, { token, place, count }, caches) {
      const { hidden, cache } = run(ops, p, placed(ops, p, token, place), { cache: caches, count });
      return { hidden, state: cache };
    },
  };
  return {
    name,
    vocabulary,
    parameters,
    ...head,
    ...(repeats ? {} : { longest: period }),
    hidden(ops, p, tokens) {
      const x = ops.embedding(parameter(p, "tokens"), tokens);
      const n = ops.shape(x)[1]!;
      if (!repeats && n > period) {
        throw new InputError(`Cannot run ${name}: its context has ${period} positions, got ${n} tokens`);
      }
      const rows: Rows[] = [];
      for (let from = 0; from < n; from += period) rows.push({ source: 0, from: 0, count: Math.min(period, n - from) });
      return run(ops, p, ops.add(x, ops.take([parameter(p, "positions")], rows)), {}).hidden;
    },
    resume(ops, p, tokens, places, state) {
      const { hidden, cache } = run(ops, p, placed(ops, p, tokens, places), { cache: state });
      return { hidden, state: cache };
    },
    // A window of one keeps nothing.
    ...(cached.reach === 0 ? {} : { cached }),
    placeOf: (t) => repeats ? t % period : t,
  };
}

/** A GPT-2-style decoder: pre-norm blocks, learned absolute positions. */
export function gpt2(options: Gpt2Options): ResumableNetwork {
  const { context, ...rest } = options;
  return decoder("gpt2", { ...rest, mask: "causal" }, { period: context, repeats: false });
}

/**
 * A decoder with sliding-window attention. Positions repeat with the window, so that those of the tokens in sight differ and
 * a sequence may be longer than any trained on.
 */
export function slidingWindow(options: WindowOptions): ResumableNetwork {
  const { window, ...rest } = options;
  return decoder("sliding-window", { ...rest, mask: { window } }, { period: window, repeats: true });
}
