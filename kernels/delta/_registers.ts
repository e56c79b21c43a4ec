/** WGSL of what an invocation does with its registers: R rows × N columns of a state, as R vectors. */
import { columnType } from "./_staging.ts";
import type { Tile } from "./tile.ts";

/** Writes statements on the registers `name0 … name{R−1}`. */
export interface Registers {
  /** f32 or vec. */
  readonly type: string;
  /** Statements: reads the invocation's rows of a staged array along K; `part(as, r)` is then row r. `as`: default `array`. */
  read(array: string, at: string, as?: string): string;
  /** The f32 of row r of an array that was read. */
  part(array: string, r: number): string;
  /** The state's row of register r, a WGSL expression. */
  row(r: number): string;
  /** Statements: for every row. */
  each(statement: (r: number) => string): string;
  /**
   * Statement: declares `into`, the sum over this invocation's rows of factor × register. In one chain it takes an addition a
   * column less, in two, the default, half the latency. `at`: of one component of the registers, such as `.x`.
   */
  dot(into: string, factor: (r: number) => string, register: string, chains?: 1 | 2, at?: string): string;
  /** The sum over the group of a value, in all of its invocations. */
  total(x: string): string;
  /**
   * Statements: of `unroll` values `${name}0 …`, declares `into`: for invocation i of a group, i < unroll, the sum over the
   * group of value i. `whole`: every invocation holds the sums already.
   */
  spread(into: string, name: string, whole: boolean): string;
  /** {@linkcode spread} of what every invocation adds, in parts that each wait for the one before; the first reads all values. */
  spreadParts(into: string, name: string): readonly string[];
  /** Functions and workgroup arrays the statements use. */
  readonly functions: string;
}

/** `suffix`: of the names of functions and workgroup arrays, where a kernel has registers of two shapes. */
export function registers(tile: Tile, suffix: string = ""): Registers {
  const { rows, columns, group, interleaved, unroll, threads, subgroups } = tile;
  const type = columnType(columns);
  const wide = (x: string): string => columns === 1 ? x : `${type}(${x})`;
  const part = (array: string, r: number): string => `${array}${r >> 2}.${"xyzw"[r & 3]}`;
  const index = Array.from({ length: rows }, (_, r) => r);
  const shared = group > 1 && !subgroups;
  const shuffle = (x: string, mask: number): string => `subgroupShuffleXor(${x}, ${mask * interleaved}u)`;
  const masks = (from: number): number[] => {
    const out: number[] = [];
    for (let mask = from; mask < group; mask *= 2) out.push(mask);
    return out;
  };
  const sumFrom = (name: string, type: string, from: number): string =>
    [`fn ${name}(given: ${type}) -> ${type} {`, "  var x = given;"]
      .concat(masks(from).map((mask) => `  x += ${shuffle("x", mask)};`), "  return x;", "}").join("\n");
  const functions = group === 1 ? "" : shared
    ? /* wgsl */ `
var<workgroup> parts${suffix}: array<${type}, ${threads}>;
fn group_total${suffix}(x: ${type}, lid: u32) -> ${type} {
  parts${suffix}[lid] = x;
  workgroupBarrier();
  let start = lid - lid % ${group}u;
  var sum = parts${suffix}[start];
  for (var i = 1u; i < ${group}u; i++) { sum += parts${suffix}[start + i]; }
  workgroupBarrier();
  return sum;
}`
    : [sumFrom(`group_total${suffix}`, type, 1), sumFrom(`group_rest${suffix}`, type, unroll)].join("\n");
  const total = (x: string): string => group === 1 ? x : `group_total${suffix}(${x}${shared ? ", lid" : ""})`;

  /** The sums land where they are wanted by halving: each step sends away the half that belongs to the other side. */
  function halved(into: string, name: string): readonly string[] {
    const parts: string[] = [];
    let values = Array.from({ length: unroll }, (_, i) => `${name}${i}`);
    let level = 0;
    for (let mask = unroll / 2; mask >= 1; mask /= 2, level++) {
      const half = values.length / 2;
      const lines = [`let ${into}_up${level} = (lane & ${mask}u) != 0u;`];
      const next = Array.from({ length: half }, (_, i) => `${into}_${level}_${i}`);
      next.forEach((sum, i) => {
        const [low, high] = [values[i]!, values[i + half]!];
        const up = `${into}_up${level}`;
        lines.push(
          `let ${sum} = select(${low}, ${high}, ${up}) + ${shuffle(`select(${high}, ${low}, ${up})`, mask)};`,
        );
      });
      parts.push(lines.join("\n"));
      values = next;
    }
    return [...parts, `let ${into} = ${unroll < group ? `group_rest${suffix}(${values[0]})` : values[0]};`];
  }

  function spread(into: string, name: string, whole: boolean): readonly string[] {
    if (!whole && !shared && group > 1) return halved(into, name);
    const sum = (i: number): string => whole ? `${name}${i}` : total(`${name}${i}`);
    const others = Array.from({ length: unroll - 1 }, (_, n) => {
      const i = n + 1;
      return `let ${into}_${i} = ${sum(i)}; ${into} = select(${into}, ${into}_${i}, lane == ${i}u);`;
    });
    return [[`var ${into} = ${sum(0)};`, ...others].join("\n")];
  }

  return {
    type,
    functions,
    part,
    total,
    row: (r) => `4u * lane + ${4 * group * (r >> 2) + (r & 3)}u`,
    each: (statement) => index.map(statement).join("\n"),
    read: (array, at, as = array) =>
      Array.from(
        { length: rows / 4 },
        (_, piece) => `let ${as}${piece} = s_${array}[${at} + ${piece * group}u + lane];`,
      ).join("\n"),
    dot(into, factor, register, chains = 2, at = "") {
      const by = (r: number): string => at === "" ? wide(factor(r)) : factor(r);
      const chain = (parity: number): string =>
        index.filter((r) => r % chains === parity).reduce(
          (sum, r) => sum === "" ? `${by(r)} * ${register}${r}${at}` : `fma(${by(r)}, ${register}${r}${at}, ${sum})`,
          "",
        );
      return `let ${into} = ${chain(0)}${chains === 2 ? ` + ${chain(1)}` : ""};`;
    },
    spread: (into, name, whole) => spread(into, name, whole).join("\n"),
    spreadParts: (into, name) => spread(into, name, false),
  };
}
