/**
 * The static tree over rows of arrays: scan/blelloch.ts works on handles of nodes, and every level it joins, of the whole
 * batch, is one call of Agg.
 *
 * @module
 */
import type { Operator } from "../../scan/mod.ts";
import type { Parameters, Rows, TensorOps } from "./ops.ts";
import type { ChunkAggregator } from "./psm_parts.ts";

/** A summary of a span, of every row of the batch: row `index` of array `array`. */
export interface TreeNode {
  readonly array: number;
  readonly index: number;
}

/** The operator of a tree whose leaves are rows of an array. */
export interface ArrayTree<T> {
  readonly op: Operator<TreeNode>;
  /** Leaf i. */
  leaf(index: number): TreeNode;
  /** The nodes' summaries, one after the other, `[nodes, B, …]`. */
  gathered(nodes: readonly TreeNode[]): T;
}

/** Nodes as rows to take, neighbours joined. */
function rowsOf(nodes: readonly TreeNode[], sources: ReadonlyMap<number, number>): Rows[] {
  const rows: { source: number; from: number; count: number }[] = [];
  for (const { array, index } of nodes) {
    const source = sources.get(array)!;
    const last = rows.at(-1);
    if (last?.source === source && last.from + last.count === index) last.count++;
    else rows.push({ source, from: index, count: 1 });
  }
  return rows;
}

/** x `[n, m, …]` as `[n·m, …]`. */
export function flat<T, I>(ops: TensorOps<T, I>, x: T): T {
  const [n, m, ...rest] = ops.shape(x) as [number, number, ...number[]];
  return ops.reshape(x, [n * m, ...rest]);
}

/** The tree over summaries `[r, B, …]`. */
export function arrayTree<T, I>(
  ops: TensorOps<T, I>,
  parameters: Parameters<T>,
  agg: ChunkAggregator,
  leaves: T,
): ArrayTree<T> {
  const arrays: T[] = [leaves];
  const B = ops.shape(leaves)[1]!;
  const gathered = (nodes: readonly TreeNode[]): T => {
    const used = [...new Set(nodes.map(({ array }) => array))];
    const sources = used.map((array) => arrays[array]!);
    const rows = rowsOf(nodes, new Map(used.map((array, source) => [array, source])));
    const whole = rows.length === 1 && rows[0]!.from === 0 && rows[0]!.count === ops.shape(sources[0]!)[0];
    return whole ? sources[0]! : ops.take(sources, rows);
  };
  const combineLevel = (earlier: readonly TreeNode[], later: readonly TreeNode[]): TreeNode[] => {
    const joined = agg.combine(ops, parameters, flat(ops, gathered(earlier)), flat(ops, gathered(later)));
    const array = arrays.push(ops.reshape(joined, [earlier.length, B, ...ops.shape(joined).slice(1)])) - 1;
    return earlier.map((_, index) => ({ array, index }));
  };
  return {
    op: { combine: (earlier, later) => combineLevel([earlier], [later])[0]!, combineLevel },
    leaf: (index) => ({ array: 0, index }),
    gathered,
  };
}
