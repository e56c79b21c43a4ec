/**
 * Products that the kernels of gradients take, each stored to the scratch array `sums`.
 *
 * Operands: `op_x`, `op_y` hold a chunk of tokens by a slice of keys or values, `op_z` a part of a state's slice, `op_p` a
 * chunk by a chunk.
 *
 * @module
 */
import type { Operand } from "../matrix_unit.ts";
import { BLOCK, type ChunkLayout } from "./_backward_layout.ts";
import { barrier, loopBound, putRows, repeat, rowsAtOnce, share, within } from "./_backward_text.ts";

export type Tokens = "op_x" | "op_y";

/** A product over tiles: operands from the first row or column (in elements) of a group's tiles. */
interface TileProduct {
  readonly rows: number;
  readonly columns: number;
  readonly inner: number;
  readonly a: (row: string) => Operand;
  readonly b: (column: string) => Operand;
  /** Elements of `sums` from one row to the next, and where the first is. */
  readonly width: number;
  readonly at?: string;
}

/** Statements: a product to `sums`; every group does a block of its tiles, or, where loops stay loops, tile by tile. */
export function productToSums(layout: ChunkLayout, product: TileProduct): string {
  const { unit, groups, unrolled } = layout;
  const { rows, columns, inner, width, at = "0u" } = product;
  const text = (own: { rows: number; columns: number; rowAt: string; columnAt: string }): string =>
    [
      unit.accumulators("acc", own.rows, own.columns),
      unit.product({
        into: "acc",
        rows: own.rows,
        columns: own.columns,
        inner,
        a: product.a(own.rowAt),
        b: product.b(own.columnAt),
      }),
      unit.store("acc", own.rows, own.columns, {
        array: "sums",
        at: `${own.rowAt} * ${width}u + ${own.columnAt} + ${at}`,
        stride: width,
      }),
    ].join("\n");
  if (unrolled) {
    const tiles = share(layout, rows, columns);
    return within(layout, tiles, text(tiles));
  }
  return `for (var tile = group; tile < ${loopBound(layout, rows * columns)}; tile += ${groups}u) {
let tile_row = tile / ${columns}u * ${BLOCK}u;
let tile_column = tile % ${columns}u * ${BLOCK}u;
${text({ rows: 1, columns: 1, rowAt: "tile_row", columnAt: "tile_column" })}
}`;
}

/** Statements: `sums[chunk × chunk] = X Yᵀ` over a slice. */
export function pairProduct(layout: ChunkLayout, x: Tokens, y: Tokens): string {
  const { chunk, slice, blocks, stride } = layout;
  const width = stride(slice);
  return productToSums(layout, {
    rows: blocks,
    columns: blocks,
    inner: slice / BLOCK,
    a: (row) => ({ name: x, at: `${row} * ${width}u`, stride: width }),
    b: (column) => ({ name: y, at: `${column} * ${width}u`, stride: width, transposed: true }),
    width: chunk,
  });
}

/** Statements: `sums[chunk × slice] = P Y`, or `Pᵀ Y`. */
export function spreadProduct(layout: ChunkLayout, y: Tokens, transposed: boolean): string {
  const { chunk, slice, blocks, stride } = layout;
  const p = stride(chunk);
  return productToSums(layout, {
    rows: blocks,
    columns: slice / BLOCK,
    inner: blocks,
    a: (row) =>
      transposed ? { name: "op_p", at: row, stride: p, transposed } : { name: "op_p", at: `${row} * ${p}u`, stride: p },
    b: (column) => ({ name: y, at: column, stride: stride(slice) }),
    width: slice,
  });
}

/** Parts of a state's slice. */
export function parts({ slice, part }: ChunkLayout): number {
  return slice / part;
}

/** Rows of a state's slice that an invocation moves. */
export function stateRowsOf(layout: ChunkLayout): number {
  return layout.slice / rowsAtOnce(layout);
}

/** Statements: puts the part of the state's vectors `name` into `op_z`. */
function putPart(layout: ChunkLayout, name: string, part: number, e: string): string {
  const all = putRows(layout, "op_z", name, stateRowsOf(layout), e, {
    width: layout.part,
    column: `(col0 - ${part * layout.part}u)`,
  });
  if (parts(layout) === 1) return all;
  return `if (col0 / ${layout.part}u == ${part}u) {\n${all}\n}`;
}

/** A state in the registers `name`, to be scaled by the exponent `e`. */
export interface StateOperand {
  readonly name: string;
  readonly e: string;
}

/** What is multiplied with a state's slice. */
export interface StateFactors {
  /** `sums[chunk × slice of keys] = X Zᵀ`, over the slice of values. */
  readonly values?: Tokens;
  /** `sums[chunk × slice of values] = Y Z`, over the slice of keys. */
  readonly keys?: Tokens;
  /** Statements that take the second from `sums`, before the first is there. */
  readonly between?: string;
}

/** Statements, between barriers: one or both products with a state. */
export function stateProducts(layout: ChunkLayout, state: StateOperand, factors: StateFactors): string {
  if (layout.unrolled || parts(layout) > 1) return stateProductsByPart(layout, state, factors);
  const { slice, blocks, stride } = layout;
  const { values, keys, between = "" } = factors;
  const out = [putPart(layout, state.name, 0, state.e), barrier];
  if (keys !== undefined) {
    out.push(
      productToSums(layout, {
        rows: blocks,
        columns: slice / BLOCK,
        inner: slice / BLOCK,
        a: (row) => ({ name: keys, at: `${row} * ${stride(slice)}u`, stride: stride(slice) }),
        b: (column) => ({ name: "op_z", at: column, stride: stride(slice) }),
        width: slice,
      }),
      barrier,
      between,
      barrier,
    );
  }
  if (values !== undefined) {
    out.push(
      productToSums(layout, {
        rows: blocks,
        columns: slice / BLOCK,
        inner: slice / BLOCK,
        a: (row) => ({ name: values, at: `${row} * ${stride(slice)}u`, stride: stride(slice) }),
        b: (column) => ({ name: "op_z", at: `${column} * ${stride(slice)}u`, stride: stride(slice), transposed: true }),
        width: slice,
      }),
      barrier,
    );
  }
  return `{\n${out.join("\n")}\n}`;
}

/** Both products while a part of the state is in workgroup memory, that over values in accumulators over all parts. */
function stateProductsByPart(layout: ChunkLayout, state: StateOperand, factors: StateFactors): string {
  const { unit, slice, part, blocks, stride } = layout;
  const { values, keys, between = "" } = factors;
  const out: string[] = [];
  const over = share(layout, blocks, slice / BLOCK);
  const along = share(layout, blocks, part / BLOCK);
  if (values !== undefined) out.push(unit.accumulators("total", over.rows, over.columns));
  for (let n = 0; n < parts(layout); n++) {
    out.push(putPart(layout, state.name, n, state.e), barrier);
    if (values !== undefined) {
      const product = unit.product({
        into: "total",
        rows: over.rows,
        columns: over.columns,
        inner: part / BLOCK,
        a: { name: values, at: `${over.rowAt} * ${stride(slice)}u + ${n * part}u`, stride: stride(slice) },
        b: { name: "op_z", at: `${over.columnAt} * ${stride(part)}u`, stride: stride(part), transposed: true },
      });
      out.push(within(layout, over, product));
    }
    if (keys !== undefined) {
      const body = [
        unit.accumulators("own", along.rows, along.columns),
        unit.product({
          into: "own",
          rows: along.rows,
          columns: along.columns,
          inner: slice / BLOCK,
          a: { name: keys, at: `${along.rowAt} * ${stride(slice)}u`, stride: stride(slice) },
          b: { name: "op_z", at: along.columnAt, stride: stride(part) },
        }),
        unit.store("own", along.rows, along.columns, {
          array: "sums",
          at: `${along.rowAt} * ${slice}u + ${along.columnAt} + ${n * part}u`,
          stride: slice,
        }),
      ];
      out.push(within(layout, along, body.join("\n")));
    }
    out.push(barrier);
  }
  if (keys !== undefined) out.push(between, ...(values === undefined ? [] : [barrier]));
  if (values !== undefined) {
    const store = unit.store("total", over.rows, over.columns, {
      array: "sums",
      at: `${over.rowAt} * ${slice}u + ${over.columnAt}`,
      stride: slice,
    });
    out.push(within(layout, over, store), barrier);
  }
  return `{\n${out.join("\n")}\n}`;
}

/** Statements: reads the state's slice at `state0` into the vectors `name`. */
export function loadState(layout: ChunkLayout, name: string, from: string, row: string, column: string): string {
  return repeat(
    layout,
    stateRowsOf(layout),
    (n) => `${name}[${n}] = ${from}_at(state0, ${row} + row0 + ${n} * ${rowsAtOnce(layout)}u, ${column} + col0);`,
  );
}
