/** Where the numbers of a matrix in workgroup memory lie. */

/** The row and column of number `at` of a matrix that lies tile by tile, `across` tiles to a row. */
export function tiledPlace(at: string, across: number): { readonly row: string; readonly column: string } {
  const tile = `${at} / 256u`;
  return across === 1 ? { row: `(${at} / 16u)`, column: `(${at} % 16u)` } : {
    row: `(${tile} / ${across}u * 16u + ${at} % 256u / 16u)`,
    column: `(${tile} % ${across}u * 16u + ${at} % 16u)`,
  };
}

/** The element of an operand of `width` columns that holds (row, column). */
export function operandPlace({ pad }: { readonly pad: number }, width: number, row: string, column: string): string {
  if (pad > 0) return `(${row}) * ${width + pad}u + ${column}`;
  if (width === 16) return `(${row}) * 16u + ${column}`;
  return `((${row}) / 16u * ${width / 16}u + (${column}) / 16u) * 256u + (${row}) % 16u * 16u + (${column}) % 16u`;
}
