/**
 * Outputs that are divided where they are stored, by a function of z_tᵀ n_t: n is what the state would be in one more column,
 * whose y is 1.
 *
 *     n_t = a_t n_{t−1} + x_t        out_t = (scale · z_t)ᵀ S_t / divisor((scale · z_t)ᵀ n_t)
 *
 * Every group of invocations holds all of n, each its rows: 2 R operations a token besides the 2 R N of its columns, and a
 * number more to exchange. As a column of its own it would have a workgroup of its own, with all of the loads, beside a kernel that
 * divides and one that writes the ones: on an H200 mLSTM took 2.1 ms so, and Mamba-2 0.33.
 */
import { type Registers, registers } from "../delta/_registers.ts";
import type { Beside } from "../delta/_serial_shader.ts";
import type { Tile } from "../delta/tile.ts";
import { type Binding, storage } from "../wgsl.ts";

/** What the kernel is told of a normaliser. */
export interface NormaliserText {
  /** The divisor, a WGSL f32, of the sum `sum`, and of `least`: what was given for the token. */
  divisor(sum: string, least: string): string;
  readonly least: boolean;
  readonly initial: boolean;
  readonly final: boolean;
}

/** WGSL of a normaliser. */
export interface Normaliser {
  readonly bindings: readonly Binding[];
  readonly functions: string;
  /** Statements: n before the first token. */
  readonly start: string;
  /**
   * Statements: adds a token to n and reads it out. `kept`: n as its decay leaves it, `added`: what is added, both of row r;
   * `z`: row r of z.
   */
  step(token: number, rows: {
    readonly kept: (r: number) => string;
    readonly added: (r: number) => string;
    readonly z: (r: number) => string;
  }): string;
  /** Statements: multiplies n. */
  times(factor: string): string;
  readonly beside: Beside;
  /** An output divided. */
  divided(sum: string): string;
  /** Statements: n behind the last token. */
  readonly store: string;
}

export function normaliserOf({ divisor, least, initial, final }: NormaliserText, rows: number, tile: Tile): Normaliser {
  const lanes: Registers = registers({ ...tile, columns: 1 }, "_beside");
  const { each, row } = lanes;
  const at = (r: number): string => `sequence * ${rows}u + ${row(r)}`;
  return {
    bindings: [
      ...(least ? [storage("in_least", "f32")] : []),
      ...(initial ? [storage("initial_sums", "f32")] : []),
      ...(final ? [storage("final_sums", "f32", "read_write")] : []),
    ],
    functions: lanes.functions,
    start: each((r) =>
      `var n${r} = 0.0;` + (initial ? ` if (${row(r)} < ${rows}u) { n${r} = initial_sums[${at(r)}]; }` : "")
    ),
    step: (token, { kept, added, z }) =>
      [
        each((r) => `n${r} = ${kept(r)} + ${added(r)};`),
        lanes.dot("sum", z, "n", 1),
        `beside${token} = sum;`,
      ].join("\n"),
    times: (factor) => each((r) => `n${r} *= ${factor};`),
    beside: {
      lanes,
      load: (row, there) => least ? `var least = 1.0;\nif (${there}) { least = in_least[${row}]; }` : "",
    },
    divided: (sum) => `${sum} / ${divisor("beside_sum", "least")}`,
    store: final
      ? `if (first_column == 0u && place == 0u && lid < ${tile.group * tile.interleaved}u) {\n${
        each((r) => `if (${row(r)} < ${rows}u) { final_sums[${at(r)}] = n${r}; }`)
      }\n}`
      : "",
  };
}
