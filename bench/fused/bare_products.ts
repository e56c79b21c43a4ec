/**
 * Matrix products of halves with f32 sums, bare: whole blocks, as they lie, unscaled. Probes of what matrix units reach by way
 * of workgroup memory, and of what each part of a kernel costs: `kernels/matmul` should come near (NOTES.md).
 *
 * @module
 */
import { matrixEnables, withoutHardware } from "../../kernels/_matrix_hardware.ts";
import { packHalves } from "../../kernels/half.ts";
import { BufferUsage, type Gpu } from "../../kernels/gpu.ts";
import { planOf } from "../../kernels/plan.ts";
import { Tensor } from "../../kernels/tensor.ts";
import { assemble, compileShader, dispatch, type Shader } from "../../kernels/wgsl.ts";
import { InputError } from "../../models/error.ts";
import { lineError } from "./errors.ts";
import type { FusedLine, LineError, LineShape, Prepared, Variant } from "./line.ts";

export interface BareProduct {
  /** Tiles of 16 × 16 of a group of lanes; groups of a workgroup. */
  readonly rows: number;
  readonly columns: number;
  readonly down: number;
  readonly across: number;
  /** Terms of the sum at a time. */
  readonly terms: number;
  /** Blocks of operands in workgroup memory: with two, the next is read while this one multiplies. */
  readonly buffers?: number;
  /** B as its columns lie, `[N, K]`. */
  readonly transposed?: boolean;
  /** Operands are brought once, and multiplied over and over. */
  readonly once?: boolean;
  /** Sums go to C by way of workgroup memory, number by number. */
  readonly strips?: boolean;
  /** Sums are multiplied by a number of the uniform, 1, as matrices. */
  readonly scaled?: boolean;
  /** Numbers of C are read again, and a bias, 0, added: without workgroup memory. */
  readonly again?: boolean;
  /** A workgroup beyond the last returns early. */
  readonly guarded?: boolean;
  /** Workgroup memory that nothing needs, in KiB. */
  readonly spare?: number;
  /** Sizes in a uniform instead of in the text. */
  readonly uniform?: boolean;
}

const range = (count: number): readonly number[] => Array.from({ length: count }, (_, i) => i);

/** The kernel of C `[M, N]`, whole blocks of it. */
export function bareShader(bare: BareProduct, { K, N }: { readonly K: number; readonly N: number }): Shader {
  const {
    rows,
    columns,
    down,
    across,
    terms,
    buffers = 1,
    transposed = false,
    once = false,
    strips = false,
  } = bare;
  const threads = 32 * down * across;
  const [high, wide] = [16 * rows * down, 16 * columns * across];
  // So padded, rows of a tile meet no bank twice.
  const a = { outer: high, inner: terms, width: terms + 8, from: "tile_row", stride: "k_all" };
  const b = transposed
    ? { outer: wide, inner: terms, width: terms + 8, from: "tile_column", stride: "k_all" }
    : { outer: terms, inner: wide, width: wide + 8, from: "tile_column", stride: "n_all" };
  const each = (line: (i: number, j: number) => string): string =>
    range(rows).flatMap((i) => range(columns).map((j) => line(i, j))).join("\n");
  const side = (name: "a" | "b", { outer, inner, width, from, stride }: typeof a) => {
    const quads = inner / 4;
    const count = outer * quads / threads;
    const across = name === "b" && !transposed;
    const source = (n: number): string => {
      const quad = `(lid + ${n * threads}u)`;
      return across
        ? `${name}_given[((k + ${quad} / ${quads}u) * ${stride} + ${from} * ${inner}u) / 4u + ${quad} % ${quads}u]`
        : `${name}_given[((${from} * ${outer}u + ${quad} / ${quads}u) * ${stride} + k) / 4u + ${quad} % ${quads}u]`;
    };
    return {
      declared: `var<workgroup> ${name}_tile: array<f16, ${buffers * outer * width}>;`,
      size: outer * width,
      registers: range(count).map((n) => `var ${name}_${n}: vec4<f16>;`).join(" "),
      read: range(count).map((n) => `${name}_${n} = ${source(n)};`).join("\n"),
      write: range(count).map((n) =>
        `{ let quad = lid + ${n * threads}u; ` +
        `let to = at_${name} + quad / ${quads}u * ${width}u + quad % ${quads}u * 4u; ` +
        `${range(4).map((c) => `${name}_tile[to + ${c}u] = ${name}_${n}[${c}];`).join(" ")} }`
      ).join("\n"),
    };
  };
  const [sideA, sideB] = [side("a", a), side("b", b)];
  const product = range(terms / 16).map((k) => {
    const left = range(rows).map((i) =>
      `let left_${i} = subgroupMatrixLoad<Left, row_major>(&a_tile, ` +
      `at_a + (first_row + ${16 * i}u) * ${a.width}u + ${16 * k}u, ${a.width}u);`
    );
    const right = range(columns).map((j) =>
      transposed
        ? `let right_${j} = subgroupMatrixLoad<Right, col_major>(&b_tile, ` +
          `at_b + (first_column + ${16 * j}u) * ${b.width}u + ${16 * k}u, ${b.width}u);`
        : `let right_${j} = subgroupMatrixLoad<Right, row_major>(&b_tile, ` +
          `at_b + ${16 * k * b.width}u + first_column + ${16 * j}u, ${b.width}u);`
    );
    const sums = each((i, j) => `c_${i}_${j} = subgroupMatrixMultiplyAccumulate(left_${i}, right_${j}, c_${i}_${j});`);
    return `{ ${left.join("\n")}\n${right.join("\n")}\n${sums} }`;
  }).join("\n");
  const places = (buffer: string): string =>
    `let at_a = ${buffer} * ${sideA.size}u; let at_b = ${buffer} * ${sideB.size}u;`;
  const staging = (buffer: string): string => `{ ${places(buffer)}\n${sideA.write}\n${sideB.write} }`;
  const multiplied = (buffer: string): string => `{ ${places(buffer)}\n${product} }`;
  const reading = `${sideA.read}\n${sideB.read}`;
  const loop = once
    ? `{ let k = 0u; ${reading}\n${staging("0u")} }
    for (var k = 0u; k < k_all; k += ${terms}u) { workgroupBarrier(); ${multiplied("0u")} workgroupBarrier(); }`
    : buffers === 1
    ? `for (var k = 0u; k < k_all; k += ${terms}u) {
      ${reading}\n${staging("0u")}\nworkgroupBarrier();\n${multiplied("0u")}\nworkgroupBarrier();
    }`
    : `{ let k = 0u; ${reading}\n${staging("0u")} }
    workgroupBarrier();
    var buffer = 0u;
    for (var k = ${terms}u; k < k_all; k += ${terms}u) {
      ${reading}\n${multiplied("buffer")}\nbuffer = 1u - buffer;\n${staging("buffer")}\nworkgroupBarrier();
    }
    ${multiplied("buffer")}`;
  const width = 16 * columns + 8;
  const scaling = bare.scaled ? each((i, j) => `c_${i}_${j} = subgroupMatrixScalarMultiply(c_${i}_${j}, one);`) : "";
  const count = 16 * rows * 16 * columns / 32;
  const again = bare.again
    ? /* wgsl */ `
    storageBarrier();
    workgroupBarrier();
    for (var n = 0u; n < ${count / 4}u; n++) {
      let number = n * 128u + lid % 32u * 4u;
      let at = (corner_row + number / ${16 * columns}u) * n_all + corner_column + number % ${16 * columns}u;
      let bias = bitcast<f32>(sizes.w);
      for (var i = 0u; i < 4u; i++) { c[at + i] += bias; }
    }`
    : "";
  const out = scaling +
    (strips
      ? range(rows).map((i) =>
        `${
          range(columns).map((j) =>
            `subgroupMatrixStore<row_major>(&strips, strip + ${16 * j}u, c_${i}_${j}, ${width}u);`
          ).join("\n")
        }
    workgroupBarrier();
    for (var n = lid % 32u; n < ${256 * columns}u; n += 32u) {
      let row = n / ${16 * columns}u; let column = n % ${16 * columns}u;
      c[(corner_row + ${16 * i}u + row) * n_all + corner_column + column] = strips[strip + row * ${width}u + column];
    }
    workgroupBarrier();`
      ).join("\n")
      : each((i, j) =>
        `subgroupMatrixStore<row_major>(&c, (corner_row + ${16 * i}u) * n_all + corner_column + ${
          16 * j
        }u, c_${i}_${j}, n_all);`
      )) +
    again;
  return assemble(`bare product ${nameOf(bare)}`, {
    enable: matrixEnables,
    bindings: [
      { name: "sizes", access: "uniform", type: "vec4u" },
      { name: "a_given", access: "read", type: "array<vec4<f16>>" },
      { name: "b_given", access: "read", type: "array<vec4<f16>>" },
      { name: "c", access: "read_write", type: "array<f32>" },
    ],
    source: /* wgsl */ `
alias Left = subgroup_matrix_left<f16, 16, 16>;
alias Right = subgroup_matrix_right<f16, 16, 16>;
alias Sums = subgroup_matrix_result<f32, 16, 16>;
${sideA.declared}
${sideB.declared}
${bare.spare === undefined ? "" : `var<workgroup> spare: array<f32, ${256 * bare.spare}>;`}
${strips ? `var<workgroup> strips: array<f32, ${16 * width * down * across}>;` : ""}
@compute @workgroup_size(${threads})
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let k_all = ${bare.uniform ? "sizes.x" : `${K}u`};
  let n_all = ${bare.uniform ? "sizes.y" : `${N}u`};
  let flat = flat_workgroup(workgroup, grid);
  ${bare.guarded ? "if (flat >= sizes.z) { return; }" : ""}
  ${bare.scaled ? "let one = f32(min(sizes.x, 1u));" : ""}
  let tile_row = flat / (n_all / ${wide}u);
  let tile_column = flat % (n_all / ${wide}u);
  let group = lid / 32u;
  let first_row = group / ${across}u * ${16 * rows}u;
  let first_column = group % ${across}u * ${16 * columns}u;
  let corner_row = tile_row * ${high}u + first_row;
  let corner_column = tile_column * ${wide}u + first_column;
  ${strips ? `let strip = group * ${16 * width}u;` : ""}
  ${bare.spare === undefined ? "" : "spare[lid] = f32(lid);"}
  ${sideA.registers}
  ${sideB.registers}
  ${each((i, j) => `var c_${i}_${j} = Sums();`)}
  ${loop}
  ${out}
  ${bare.spare === undefined ? "" : "if (sizes.w == 1u) { c[lid] = spare[sizes.x % 256u]; }"}
}
`,
  });
}

/** Small whole numbers, of which all sums are exact. */
const valueA = (i: number, k: number): number => (7 * i + 3 * k) % 13 - 6;
const valueB = (k: number, j: number): number => (5 * k + 11 * j) % 13 - 6;

async function prepare(gpu: Gpu, { M = 1, K = 1, N = 1 }: LineShape, bare: BareProduct): Promise<Prepared> {
  const missing = withoutHardware(gpu);
  if (missing !== undefined) throw new InputError(`Cannot multiply on matrix units: ${missing}`);
  const [high, wide] = [16 * bare.rows * bare.down, 16 * bare.columns * bare.across];
  if (M % high !== 0 || N % wide !== 0 || K % bare.terms !== 0) {
    throw new InputError(
      `Cannot multiply: C must be whole blocks of ${high} × ${wide}, K of ${bare.terms}, got M ${M}, N ${N}, K ${K}`,
    );
  }
  const kernel = await compileShader(gpu, bareShader(bare, { K, N }));
  const given = (count: number, value: (n: number) => number): GPUBuffer =>
    gpu.upload(packHalves(Float32Array.from({ length: count }, (_, n) => value(n))), { label: "operand" });
  const a = given(M * K, (n) => valueA(Math.floor(n / K), n % K));
  const b = given(
    K * N,
    bare.transposed ? (n) => valueB(n % K, Math.floor(n / K)) : (n) => valueB(Math.floor(n / N), n % N),
  );
  const usage = BufferUsage.UNIFORM | BufferUsage.COPY_DST;
  const sizes = gpu.upload(Uint32Array.of(K, N, M / high * (N / wide), 0), { label: "sizes", usage });
  const c = Tensor.empty(gpu, [M, N]);
  const plan = planOf({
    name: "bare product",
    variant: kernel.shader.label,
    dispatches: [dispatch(kernel, { sizes, a_given: a, b_given: b, c: c.buffer }, M / high * (N / wide))],
    bytes: 2 * K * (M + N) + c.bytes,
    operations: 2 * M * N * K,
    scratch: [sizes, a, b],
  });
  const rounds = bare.once ? K / bare.terms : 1;
  const summed = bare.once ? bare.terms : K;
  return {
    plans: [plan],
    tokens: M,
    async check(): Promise<LineError> {
      const row = M - 5;
      const got = await gpu.read(c.buffer, Float32Array, { offset: row * N, length: N });
      const truth = Float64Array.from({ length: N }, (_, j) => {
        let sum = 0;
        for (let k = 0; k < summed; k++) sum += rounds * valueA(row, k) * valueB(k, j);
        return sum;
      });
      // Whole numbers below 2^24: exact, but for units that keep fewer bits of a sum.
      const rms = Math.sqrt(truth.reduce((sum, x) => sum + x * x, 0) / N) || 1;
      return lineError(got, truth, 2 ** -12 * Math.max(...truth.map(Math.abs)) / rms);
    },
    release() {
      plan.release();
      c.destroy();
    },
  };
}

function nameOf({ rows, columns, down, across, terms, ...flags }: BareProduct): string {
  const words = Object.entries(flags).map(([name, value]) => value === true ? name : `${name} ${value}`);
  return [`${rows}x${columns} by ${down}x${across}, ${terms} terms`, ...words].join(", ");
}

const eight = { rows: 2, columns: 4, down: 4, across: 2 };
const four = { rows: 4, columns: 4, down: 2, across: 2 };

/** Tilings, and what each of these costs: B's other order, the way of the sums, sizes in a uniform, workgroup memory by itself, two buffers; then products alone. */
export const bareProducts: readonly BareProduct[] = [
  { ...four, terms: 32 },
  { ...four, terms: 16 },
  { ...four, terms: 32, transposed: true },
  { ...four, terms: 32, strips: true },
  { ...four, terms: 32, uniform: true },
  ...[4, 8, 12, 16, 24].map((spare) => ({ ...four, terms: 32, spare })),
  { ...four, terms: 32, scaled: true },
  { ...four, terms: 32, again: true },
  { ...four, terms: 32, guarded: true },
  { ...four, terms: 64 },
  { ...four, terms: 64, transposed: true, uniform: true, scaled: true, again: true, guarded: true },
  { ...four, terms: 32, transposed: true, uniform: true, scaled: true, again: true, guarded: true },
  { ...four, terms: 32, transposed: true, strips: true, uniform: true },
  { rows: 4, columns: 4, down: 4, across: 2, terms: 32 },
  { rows: 4, columns: 4, down: 2, across: 4, terms: 32 },
  { ...four, terms: 32, buffers: 2 },
  { ...four, terms: 32, once: true },
  { ...eight, terms: 32 },
  { ...eight, terms: 64 },
  { ...eight, terms: 32, buffers: 2 },
  { ...eight, terms: 32, once: true },
  { rows: 4, columns: 2, down: 2, across: 4, terms: 32 },
  { rows: 2, columns: 2, down: 2, across: 2, terms: 32 },
];

export const bareProductLines: readonly FusedLine[] = [{
  name: "bare product",
  dtype: "f16",
  shapes: [{ M: 4096, K: 4096, N: 4096 }],
  small: { M: 128, K: 64, N: 128 },
  variants: bareProducts.map((bare): Variant => ({ name: nameOf(bare), options: { ...bare } })),
  prepare: (gpu, shape, { options }) => prepare(gpu, shape, options as unknown as BareProduct),
}];
