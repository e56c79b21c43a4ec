/** What a matrix unit is: see matrix_unit.ts. */

export type MatrixMode = "f32" | "f16" | "split";

/** An array declared by {@linkcode MatrixUnit.declare} or {@linkcode MatrixUnit.storage}, read as a matrix from element `at` (a WGSL u32 expression). */
export interface Operand {
  readonly name: string;
  readonly at: string;
  /** Elements from one row to the next: a number, or a u32 expression. */
  readonly stride: number | string;
  /** Whether the array holds the matrix's transpose: element (i, j) at `at + j·stride + i`. */
  readonly transposed?: boolean;
  /** Where A's rows of tiles, or B's columns of tiles, start after `at`, if not 16 rows or columns apart: u32 expressions. */
  readonly starts?: readonly string[];
  /** Elements from one tile to the next along the sum, if not those of 16 columns of A, or rows of B. */
  readonly step?: number | string;
  /** Fragments that hold it: {@linkcode MatrixUnit.hold}. Where the unit holds none they are read from the array. */
  readonly held?: string;
}

/** Tiles of an operand of one side: rows of A's tiles or columns of B's, by those along the sum. */
export interface Fragments {
  readonly name: string;
  readonly side: "left" | "right";
  readonly tiles: number;
  readonly inner: number;
}

/** An f32 array, in workgroup or storage memory, as a matrix. */
export interface Sums {
  readonly array: string;
  readonly at: string;
  readonly stride: number | string;
  readonly transposed?: boolean;
}

/** A tile among accumulators. */
export interface Tile {
  readonly row: number;
  readonly column: number;
}

/** `accumulators += A·B`: A is `[16·rows, 16·inner]`, B `[16·inner, 16·columns]`. */
export interface Product {
  /** The accumulators' name, and the first of their rows of tiles that is meant; default 0. */
  readonly into: string;
  readonly first?: number;
  readonly rows: number;
  readonly columns: number;
  readonly inner: number;
  readonly a: Operand;
  readonly b: Operand;
}

/**
 * Writes the WGSL of one kernel's tile products; names of its own begin with `mu_` or `Matrix`. Statements are in uniform control flow of the group; the caller puts a
 * `workgroupBarrier` between the writes of an operand and the products that read it.
 *
 * Every workgroup array of a kernel takes a multiple of 16 bytes, and every operand has rows that do: hardware reads rows of
 * tiles 16 bytes at a time, and where drivers lay arrays out one behind the other, one of 12 bytes shifts those behind it,
 * whose rows are then read from too early, without an error: on an H200 the first kernels of chunks on matrix units were
 * wrong until their arrays were whole.
 */
export interface MatrixUnit {
  readonly mode: MatrixMode;
  /** Whether subgroup matrices do the products. */
  readonly hardware: boolean;
  /** Invocations of a group. `local_invocation_index / lanes` is the group, for one-dimensional workgroups. */
  readonly lanes: number;
  /** `split subgroup-matrix 16x16x16`, for plans' `variant`. */
  readonly key: string;
  /** `enable` and `diagnostic` lines: what a module begins with. */
  readonly prelude: string;
  /** Functions and aliases that the statements use: once, at module scope. */
  readonly functions: string;
  /** Bytes of workgroup memory of an operand of `count` numbers. */
  bytes(count: number): number;
  /** Declares an operand of `count` numbers, at module scope. */
  declare(name: string, count: number): string;
  /** The type of the elements of an operand's arrays. */
  readonly element: "f32" | "f16" | "u32";
  /** The arrays that an operand takes, of equal length: two for halves apart. */
  arrays(name: string): readonly string[];
  /** Declares an operand in storage memory, its {@linkcode arrays} bound in group 0 from `binding` on. */
  storage(name: string, binding: number, access: "read" | "read_write"): string;
  /** Statement: stores the f32 expression `value` as element `index`. Either may be any expression; each is evaluated once. */
  put(name: string, index: string, value: string): string;
  /**
   * The same of four neighbours at a time, of arrays in storage memory that are declared as vectors of four: `index` counts
   * those. Absent where numbers are put one by one.
   */
  readonly fours?: {
    storage(name: string, binding: number, access: "read" | "read_write"): string;
    put(name: string, index: string, value: string): string;
  };
  /** f32 expression: element `index` as it is kept, both halves together. */
  get(name: string, index: string): string;
  /** Statement: declares `rows × columns` tiles of sums, zero: 8 registers a tile. Use it in a function's scope. */
  accumulators(name: string, rows: number, columns: number): string;
  /** Whether fragments are held in registers, so that their array may be written over. */
  readonly holds: boolean;
  /** Statement: declares fragments, in a function's scope; nothing where the unit holds none. */
  fragments(fragments: Fragments): string;
  /** Statement: loads fragments, declared before. */
  hold(fragments: Fragments, operand: Operand): string;
  /** Statement: `accumulators += A·B`. The invocation's index in the workgroup is the u32 variable `lid`. */
  product(product: Product): string;
  /** Statement: sets accumulators, declared before, to what an f32 array holds. */
  load(name: string, rows: number, columns: number, from: Sums): string;
  /** Statement: multiplies a tile of accumulators by `x`, then by `y`: f32 expressions, each evaluated once. */
  scale(name: string, tile: Tile, x: string, y: string): string;
  /** Statement: stores sums to an f32 array; with `from`, `rows × columns` tiles of them from that tile on. */
  store(name: string, rows: number, columns: number, to: Sums, from?: Tile): string;
}
