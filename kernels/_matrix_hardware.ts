/** Products of tiles by subgroup matrices: f16 operands, f32 sums, 16 × 16 × 16. */

import type { Gpu } from "./gpu.ts";
import { operandLayout } from "./_matrix_layout.ts";
import type { Fragments, MatrixMode, MatrixUnit, Operand, Product, Sums } from "./_matrix_types.ts";

const FEATURE = "chromium-experimental-subgroup-matrix";
/** What a module with subgroup matrices begins with. */
export const matrixEnables = `enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);
diagnostic(off, subgroup_uniformity);`;
/** Multiply-adds of tiles that are written out before a loop is. */
const UNROLLED = 32;

/** Why a device's matrices cannot be used; undefined if they can. */
export function withoutHardware(gpu: Gpu): string | undefined {
  for (const feature of [FEATURE, "shader-f16", "subgroups"]) {
    if (!gpu.features.has(feature)) return `the device lacks ${feature}`;
  }
  const { min, max } = gpu.subgroups ?? { min: 0, max: 0 };
  if (min !== max) return `subgroups may have ${min} to ${max} invocations`;
  const fits = gpu.subgroupMatrices?.some(({ M, N, K, componentType, resultComponentType }) =>
    M === 16 && N === 16 && K === 16 && componentType === "f16" && resultComponentType === "f32"
  );
  return fits === false ? "the adapter has no 16 × 16 × 16 matrices of f16 with f32 sums" : undefined;
}

export function hardwareUnit(gpu: Gpu, mode: "f16" | "split"): MatrixUnit {
  const lanes = gpu.subgroups!.max;
  return {
    mode,
    hardware: true,
    lanes,
    key: `${mode} subgroup-matrix 16x16x16`,
    prelude: `\n${matrixEnables}\n`,
    functions: /* wgsl */ `
alias MatrixLeft = subgroup_matrix_left<f16, 16, 16>;
alias MatrixRight = subgroup_matrix_right<f16, 16, 16>;
alias MatrixSums = subgroup_matrix_result<f32, 16, 16>;
`,
    bytes: (count) => (mode === "split" ? 4 : 2) * count,
    declare: (name, count) =>
      halves(mode, name).map((array) => `var<workgroup> ${array}: array<f16, ${count}>;`).join("\n"),
    element: "f16",
    arrays: (name) => halves(mode, name),
    storage: (name, binding, access) =>
      halves(mode, name).map((array, part) =>
        `@group(0) @binding(${binding + part}) var<storage, ${access}> ${array}: array<f16>;`
      ).join("\n"),
    put: (name, index, value) =>
      mode === "f16"
        ? `${name}_hi[${index}] = f16(${value});`
        // The high half is rounded on the bits, half away from zero: a compiler that takes f32(f16(x)) for x, as NVIDIA's
        // does, would leave nothing for the low one.
        : `{ let mu_value = f32(${value}); let mu_index = ${index}; ` +
          `let mu_high = bitcast<f32>((bitcast<u32>(mu_value) + 0x1000u) & 0xffffe000u); ` +
          `${name}_hi[mu_index] = f16(mu_high); ${name}_lo[mu_index] = f16(mu_value - mu_high); }`,
    fours: {
      storage: (name, binding, access) =>
        halves(mode, name).map((array, part) =>
          `@group(0) @binding(${binding + part}) var<storage, ${access}> ${array}: array<vec4<f16>>;`
        ).join("\n"),
      put: (name, index, value) =>
        mode === "f16"
          ? `${name}_hi[${index}] = vec4<f16>(${value});`
          // Rounded on the bits, as above.
          : `{ let mu_value = vec4f(${value}); let mu_index = ${index}; ` +
            `let mu_high = bitcast<vec4f>((bitcast<vec4u>(mu_value) + vec4u(0x1000u)) & vec4u(0xffffe000u)); ` +
            `${name}_hi[mu_index] = vec4<f16>(mu_high); ${name}_lo[mu_index] = vec4<f16>(mu_value - mu_high); }`,
    },
    get: (name, index) => `(${halves(mode, name).map((array) => `f32(${array}[${index}])`).join(" + ")})`,
    accumulators: (name, rows, columns) => each(rows, columns, (i, j) => `var ${name}_${i}_${j} = MatrixSums();`),
    holds: true,
    fragments: ({ name, side, tiles, inner }) =>
      parts(mode).map((part) =>
        each(tiles, inner, (i, k) => `var ${name}_${part}_${i}_${k}: Matrix${side === "left" ? "Left" : "Right"};`)
      ).join("\n"),
    hold: (fragments, operand) => holdText(mode, fragments, operand),
    product: (product) => productText(mode, product),
    load: (name, rows, columns, from) =>
      each(
        rows,
        columns,
        (i, j) =>
          `${name}_${i}_${j} = subgroupMatrixLoad<MatrixSums, ${order(from)}>(&${from.array}, ${tile(from, i, j)}, ${
            strideOf(from)
          });`,
      ),
    scale: (name, { row, column }, x, y) => {
      const sums = `${name}_${row}_${column}`;
      return `${sums} = subgroupMatrixScalarMultiply(subgroupMatrixScalarMultiply(${sums}, ${x}), ${y});`;
    },
    store: (name, rows, columns, to, { row, column } = { row: 0, column: 0 }) =>
      each(rows, columns, (i, j) => {
        const sums = `${name}_${row + i}_${column + j}`;
        return `subgroupMatrixStore<${order(to)}>(&${to.array}, ${tile(to, i, j)}, ${sums}, ${strideOf(to)});`;
      }),
  };
}

const parts = (mode: MatrixMode): readonly string[] => mode === "split" ? ["hi", "lo"] : ["hi"];

function halves(mode: MatrixMode, name: string): readonly string[] {
  return parts(mode).map((part) => `${name}_${part}`);
}

function each(rows: number, columns: number, text: (i: number, j: number) => string): string {
  return Array.from({ length: rows * columns }, (_, n) => text(Math.floor(n / columns), n % columns)).join("\n");
}

type Placed = Pick<Sums, "at" | "stride" | "transposed">;

const order = ({ transposed }: Placed): string => transposed === true ? "col_major" : "row_major";
const strideOf = ({ stride }: Placed): string => `u32(${stride})`;

/** The element at which tile (i, j) starts. */
function tile({ at, stride, transposed }: Placed, i: number, j: number): string {
  const offset = transposed === true
    ? `${16 * j} * u32(${stride}) + ${16 * i}`
    : `${16 * i} * u32(${stride}) + ${16 * j}`;
  return `(${at}) + ${offset}`;
}

function loaded(kind: "Left" | "Right", array: string, operand: Operand, at: string): string {
  return `subgroupMatrixLoad<Matrix${kind}, ${order(operand)}>(&${array}, ${at}, ${strideOf(operand)});`;
}

function holdText(mode: MatrixMode, { name, side, tiles, inner }: Fragments, operand: Operand): string {
  const [kind, layout] = side === "left"
    ? ["Left", operandLayout(operand, "a")] as const
    : ["Right", operandLayout(operand, "b")] as const;
  return parts(mode).map((part) =>
    each(tiles, inner, (i, k) => {
      const at = `${layout.start(i)} + ${k}u * ${layout.step}`;
      return `${name}_${part}_${i}_${k} = ${loaded(kind, `${operand.name}_${part}`, operand, at)}`;
    })
  ).join("\n");
}

function productText(mode: MatrixMode, product: Product): string {
  const { into, first = 0, rows, columns, inner, a, b } = product;
  const [left, right] = [operandLayout(a, "a"), operandLayout(b, "b")];
  const nameOf = (side: "a" | "b", { held }: Operand, part: string, n: number, k: string): string =>
    held === undefined ? `mu_${side}_${part}_${n}` : `${held}_${part}_${n}_${parseInt(k)}`;
  const lefts = (part: string, k: string): string =>
    a.held !== undefined ? "" : Array.from({ length: rows }, (_, i) => {
      const at = `${left.start(i)} + ${k} * ${left.step}`;
      return `let ${nameOf("a", a, part, i, k)} = ${loaded("Left", `${a.name}_${part}`, a, at)}`;
    }).join("\n");
  const rights = (part: string, k: string): string =>
    b.held !== undefined ? "" : Array.from({ length: columns }, (_, j) => {
      const at = `${right.start(j)} + ${k} * ${right.step}`;
      return `let ${nameOf("b", b, part, j, k)} = ${loaded("Right", `${b.name}_${part}`, b, at)}`;
    }).join("\n");
  const sums = (x: string, y: string, k: string): string =>
    each(rows, columns, (i, j) => {
      const sum = `${into}_${first + i}_${j}`;
      return `${sum} = subgroupMatrixMultiplyAccumulate(${nameOf("a", a, x, i, k)}, ${
        nameOf("b", b, y, j, k)
      }, ${sum});`;
    });
  // Smallest first; and no fragment is loaded before the one whose registers it takes is done with.
  const step = (k: string): string =>
    mode === "split"
      ? `{
${rights("hi", k)}
{ ${lefts("lo", k)}
${sums("lo", "hi", k)} }
${lefts("hi", k)}
{ ${rights("lo", k)}
${sums("hi", "lo", k)} }
${sums("hi", "hi", k)}
}`
      : `{\n${lefts("hi", k)}\n${rights("hi", k)}\n${sums("hi", "hi", k)}\n}`;
  const held = a.held !== undefined || b.held !== undefined;
  if (held || rows * columns * inner <= UNROLLED) {
    return Array.from({ length: inner }, (_, k) => step(`${k}u`)).join("\n");
  }
  return `for (var mu_k = 0u; mu_k < ${inner}u; mu_k++) ${step("mu_k")}`;
}
