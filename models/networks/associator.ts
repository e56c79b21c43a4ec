/**
 * How far an aggregator is from associative: `‖Agg(Agg(a, b), c) − Agg(a, Agg(b, c))‖` on neighbouring spans of real tokens.
 * A model whose aggregator is not associative depends on its tree; this says how much, and whether training changes it.
 *
 * @module
 */
import { flat } from "./_array_tree.ts";
import { streamCalls } from "./_stream_calls.ts";
import { InputError } from "../error.ts";
import { type Evaluator, type Parameters, type TensorOps, under } from "./ops.ts";
import { leavesOf, wholeChunks } from "./psm_network.ts";
import type { PsmNetwork } from "./psm_parts.ts";

/** Of one triple of spans. */
export interface Associator {
  /** `‖left − right‖₂` */
  readonly distance: number;
  /** `distance / √((‖left‖² + ‖right‖²) / 2)`; 0 where both are 0. From 0, associative, to 2. */
  readonly relative: number;
}

/** Which triples. */
export interface AssociatorOptions {
  /** Tokens `[B, n]`, row-major. */
  readonly tokens: ArrayLike<number>;
  readonly B: number;
  /** Spans of `2^level` chunks, summarised by their tree; default 0, single chunks. */
  readonly level?: number;
}

/** Over the entries `from … to − 1`. */
function associatorOf(left: ArrayLike<number>, right: ArrayLike<number>, from: number, to: number): Associator {
  let difference = 0;
  let size = 0;
  for (let i = from; i < to; i++) {
    difference += (left[i]! - right[i]!) ** 2;
    size += (left[i]! ** 2 + right[i]! ** 2) / 2;
  }
  return { distance: Math.sqrt(difference), relative: size === 0 ? 0 : Math.sqrt(difference / size) };
}

/** Rows `start, start + step, …` of x `[m, …]`, `count` of them. */
function every<T, I>(ops: TensorOps<T, I>, x: T, start: number, step: number, count: number): T {
  return ops.take([x], Array.from({ length: count }, (_, i) => ({ source: 0, from: start + i * step, count: 1 })));
}

/**
 * The associator of every three neighbouring spans: span after span, the batch inside.
 *
 * @throws {InputError} if the tokens are not B rows with at least three spans each.
 */
export async function associators<T, I>(
  evaluator: Evaluator<T, I>,
  network: PsmNetwork,
  parameters: Parameters<T>,
  { tokens, B, level = 0 }: AssociatorOptions,
): Promise<Associator[]> {
  const n = tokens.length / B;
  const spans = Math.floor(n / network.chunk / 2 ** level);
  if (!Number.isInteger(n) || !(spans >= 3)) {
    throw new InputError(
      `Cannot measure the associator of ${network.name}: tokens must be ${B} rows of at least ${
        3 * network.chunk * 2 ** level
      }, got ${tokens.length}`,
    );
  }
  const { agg } = network;
  const calls = streamCalls(network, evaluator, parameters, { batch: B });
  const found = await calls.call(
    `associators of level ${level}`,
    [],
    [[Array.from(tokens), [B, n]]],
    (ops, p, _, [all]) => {
      const combine = (earlier: T, later: T): T => agg.combine(ops, under(p, "agg"), earlier, later);
      const rows = (x: T, start: number, step: number, count: number): T =>
        flat(ops, every(ops, x, start, step, count));
      const perSpan = (x: T): T => ops.reshape(x, [ops.shape(x)[0]! / B, B, ...ops.shape(x).slice(1)]);
      const embedded = network.enc.embed(ops, under(p, "enc"), all!);
      let x = perSpan(leavesOf(ops, p, network, wholeChunks(ops, p, network, embedded)));
      for (let l = 0; l < level; l++) {
        const pairs = Math.floor(ops.shape(x)[0]! / 2);
        x = perSpan(combine(rows(x, 0, 2, pairs), rows(x, 1, 2, pairs)));
      }
      const [a, b, c] = [0, 1, 2].map((start) => rows(x, start, 1, spans - 2)) as [T, T, T];
      return [combine(combine(a, b), c), combine(a, combine(b, c))];
    },
  );
  const l = await calls.taken(found[0]!);
  const r = await calls.taken(found[1]!);
  const count = (spans - 2) * B;
  const width = l.length / count;
  return Array.from({ length: count }, (_, i) => associatorOf(l, r, i * width, (i + 1) * width));
}
