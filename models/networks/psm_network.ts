/**
 * Prefix-scannable networks (arXiv 2506.10918): Enc, Agg and Inf over arrays, trained as one network.
 *
 * Tokens `[B, n]` are cut into chunks of c. With x_i the embedded tokens of chunk i, each with its place in the chunk:
 *
 *     s_i = tree prefix of leaf(x_0) … leaf(x_{i−1}) by Agg        nothing for i = 0
 *     vectors of chunk i = Inf(read(s_i), x_i)
 *
 * The tree is that of scan/blelloch.ts over handles of nodes; a whole level, of the whole batch, is one call of Agg. The
 * last position of a chunk has seen all of it and predicts the first token of the next.
 *
 * @module
 */
import { blellochExclusive } from "../../scan/mod.ts";
import { arrayTree, flat, type TreeNode } from "./_array_tree.ts";
import { InputError } from "../error.ts";
import { headParameters } from "./head.ts";
import { joined, type Parameters, type TensorOps, under } from "./ops.ts";
import type { ChunkAggregator, PsmNetwork, PsmParts } from "./psm_parts.ts";

export type { CachedChunk, ChunkAggregator, ChunkDecoder, ChunkEncoder, PsmNetwork, PsmParts } from "./psm_parts.ts";

/** x `[n·m, …]` as `[m·n, …]`: row i·m + j becomes row j·n + i. */
function exchanged<T, I>(ops: TensorOps<T, I>, x: T, n: number, m: number): T {
  if (n === 1 || m === 1) return x;
  const rows = Array.from(
    { length: n * m },
    (_, row) => ({ source: 0, from: (row % n) * m + Math.floor(row / n), count: 1 }),
  );
  return ops.take([x], rows);
}

/**
 * The exclusive prefixes of `slots` chunks: summaries `[r, B, …]` of the first r ≥ slots − 1 of them → `[slots − 1, B, …]`,
 * those of chunks 1, 2, …. One call of Agg per level of the tree.
 */
function prefixesOf<T, I>(
  ops: TensorOps<T, I>,
  parameters: Parameters<T>,
  agg: ChunkAggregator,
  leaves: T,
  slots: number,
): T {
  const tree = arrayTree(ops, parameters, agg, leaves);
  // The last slot is not combined, so a chunk begun, which has no summary, may take it.
  const nodes = Array.from({ length: slots }, (_, index) => tree.leaf(index));
  return tree.gathered(blellochExclusive(tree.op, nodes).slice(1) as TreeNode[]);
}

/** The summaries of encoded chunks x `[N, c, d]`. */
export function leavesOf<T, I>(ops: TensorOps<T, I>, p: Parameters<T>, { agg }: PsmParts, x: T): T {
  return agg.leaf === undefined ? x : agg.leaf(ops, under(p, "agg"), x);
}

/** What Inf sees of summaries. */
export function readOf<T, I>(ops: TensorOps<T, I>, p: Parameters<T>, { agg }: PsmParts, summaries: T): T {
  return agg.read === undefined ? summaries : agg.read(ops, under(p, "agg"), summaries);
}

/**
 * The whole chunks of embedded tokens `[B, n, d]`, each with its places, chunk after chunk and the batch inside:
 * `[r·B, c, d]`, so that a node of the tree is one row of `[r, B, c, d]`.
 */
export function wholeChunks<T, I>(ops: TensorOps<T, I>, p: Parameters<T>, { chunk, d, enc }: PsmParts, embedded: T): T {
  const [B, n] = ops.shape(embedded) as [number, number];
  const r = Math.floor(n / chunk);
  const cut = n === r * chunk ? embedded : ops.slice(embedded, 1, 0, r * chunk);
  return exchanged(ops, enc.place(ops, under(p, "enc"), ops.reshape(cut, [B * r, chunk, d]), 0), B, r);
}

/** The network of the given parts. Throws an {@link InputError} if a size is not an integer ≥ 1. */
export function psmNetwork(parts: PsmParts): PsmNetwork {
  const { name, vocabulary, d, chunk: c, enc, agg, inf } = parts;
  for (const [what, value] of Object.entries({ vocabulary, d, chunk: c })) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new InputError(`Cannot define ${name}: ${what} must be a whole number ≥ 1, got ${value}`);
    }
  }
  const head: Pick<PsmNetwork, "head"> = enc.head === undefined ? {} : {
    head: (ops, parameters) => enc.head!(ops, under(parameters, "enc")),
  };
  return {
    ...{ name, vocabulary, d, chunk: c, enc, agg, inf },
    parameters: {
      ...joined({ enc: enc.parameters, agg: agg.parameters, inf: inf.parameters }),
      ...headParameters(head, d, vocabulary),
    },
    ...head,
    hidden<T, I>(ops: TensorOps<T, I>, parameters: Parameters<T>, tokens: I): T {
      const [encoder, decoder] = [under(parameters, "enc"), under(parameters, "inf")];
      const embedded = enc.embed(ops, encoder, tokens);
      const [B, n] = ops.shape(embedded) as [number, number];
      const [r, rest] = [Math.floor(n / c), n % c];
      const begun = (): T => enc.place(ops, encoder, ops.slice(embedded, 1, n - rest, n), 0);
      if (r === 0) return inf.whole(ops, decoder, undefined, begun());
      const x = wholeChunks(ops, parameters, parts, embedded);
      const first = inf.whole(ops, decoder, undefined, r === 1 ? x : ops.slice(x, 0, 0, B));
      const slots = r + (rest > 0 ? 1 : 0);
      if (slots === 1) return first;
      const leaves = leavesOf(ops, parameters, parts, x);
      const nodes = ops.reshape(leaves, [r, B, ...ops.shape(leaves).slice(1)]);
      const summaries = flat(ops, prefixesOf(ops, under(parameters, "agg"), agg, nodes, slots));
      const prefixes = readOf(ops, parameters, parts, summaries);
      const later = (r - 1) * B;
      const outputs = [first];
      if (later > 0) {
        const before = rest === 0 ? prefixes : ops.slice(prefixes, 0, 0, later);
        outputs.push(inf.whole(ops, decoder, before, ops.slice(x, 0, B, B + later)));
      }
      const byChunk = outputs.length === 1 ? first : ops.concat(outputs, 0);
      const hidden = ops.reshape(exchanged(ops, byChunk, r, B), [B, r * c, d]);
      if (rest === 0) return hidden;
      const last = later === 0 ? prefixes : ops.slice(prefixes, 0, later, later + B);
      return ops.concat([hidden, inf.whole(ops, decoder, last, begun())], 1);
    },
  };
}
