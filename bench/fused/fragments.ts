/**
 * What loads from workgroup memory cost: probes, whose figures say what other kernels' tiles can reach (NOTES.md).
 *
 * - 16 bytes an invocation, of 8, 32 or one address a warp: what walks do for every token (kernels/walk);
 * - a fragment of 16 × 16 halves on its way to a matrix unit, by its order and stride; `products` without the loads.
 *
 * Four warps a workgroup, four loads a round, each used at once.
 *
 * @module
 */
import { matrixEnables, withoutHardware } from "../../kernels/_matrix_hardware.ts";
import { BufferUsage, type Gpu } from "../../kernels/gpu.ts";
import { planOf } from "../../kernels/plan.ts";
import { Tensor } from "../../kernels/tensor.ts";
import { assemble, compileShader, dispatch, type Shader } from "../../kernels/wgsl.ts";
import { InputError } from "../../models/error.ts";
import { lineError } from "./errors.ts";
import type { FusedLine, LineError, LineShape, Prepared, Variant } from "./line.ts";

const WARPS = 4;
const FRAGMENTS = 4;

/** Addresses that the lanes of a warp read 16 bytes from. */
interface WordProbe {
  readonly addresses: number;
}

/** The kernel: N rounds of four loads an invocation, each added to its own sum. */
function wordShader({ addresses }: WordProbe): Shader {
  const all = Array.from({ length: FRAGMENTS }, (_, j) => j);
  return assemble(`16 bytes of ${addresses} addresses`, {
    bindings: [
      { name: "p", access: "uniform", type: "vec4u" },
      { name: "result", access: "read_write", type: "array<vec4f>" },
    ],
    source: /* wgsl */ `
var<workgroup> numbers: array<vec4f, ${32 * FRAGMENTS}>;
@compute @workgroup_size(${32 * WARPS})
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let flat = flat_workgroup(workgroup, grid);
  numbers[lid] = vec4f(vec4u(4u * lid) + vec4u(0u, 1u, 2u, 3u));
  workgroupBarrier();
  ${all.map((j) => `var sum_${j} = vec4f();`).join("\n  ")}
  for (var n = 0u; n < p.x; n++) {
    // Nothing, which no compiler knows: p.y is 0.
    let first = n * p.y + lid % ${addresses}u;
    ${all.map((j) => `sum_${j} += numbers[first + ${32 * j}u];`).join("\n    ")}
  }
  ${all.map((j) => `result[(flat * ${32 * WARPS}u + lid) * ${FRAGMENTS}u + ${j}u] = sum_${j};`).join("\n  ")}
}
`,
  });
}

/** The sums of a workgroup after so many rounds. */
function wordTruth({ addresses }: WordProbe, rounds: number): Float64Array {
  return Float64Array.from(
    { length: 32 * WARPS * FRAGMENTS * 4 },
    (_, n) => rounds * (4 * (Math.floor(n / 4 / FRAGMENTS) % addresses + 32 * (Math.floor(n / 4) % FRAGMENTS)) + n % 4),
  );
}

/** Which operand is loaded in the loop, in which order, and how many halves apart its rows are. */
export interface FragmentProbe {
  readonly operand: "left" | "right" | "none";
  readonly order: "row_major" | "col_major";
  readonly stride: number;
}

/** Small whole numbers: sums of a thousand products of them are exact. */
const numberAt = (n: number): number => n * 7 % 13 - 6;

/** The kernel: N rounds of {@link FRAGMENTS} fragments a warp, each added to its own sums. */
export function fragmentShader({ operand, order, stride }: FragmentProbe): Shader {
  const all = Array.from({ length: FRAGMENTS }, (_, j) => j);
  // All warps read the same tiles, one below the other.
  const load = (type: string, order: string, j: number, moved: string): string =>
    `subgroupMatrixLoad<${type}, ${order}>(&numbers, ${16 * j * stride}u + ${moved}, ${stride}u)`;
  const loaded = operand === "left" ? "Left" : "Right";
  const product = (j: number): string =>
    operand === "none"
      ? `sums_${j} = subgroupMatrixMultiplyAccumulate(left, right_${j}, sums_${j});`
      : operand === "left"
      ? `let f_${j} = ${
        load(loaded, order, j, "moved")
      }; sums_${j} = subgroupMatrixMultiplyAccumulate(f_${j}, right, sums_${j});`
      : `let f_${j} = ${
        load(loaded, order, j, "moved")
      }; sums_${j} = subgroupMatrixMultiplyAccumulate(left, f_${j}, sums_${j});`;
  return assemble(`fragments: ${operand} ${order} ${stride}`, {
    enable: matrixEnables,
    bindings: [
      { name: "p", access: "uniform", type: "vec4u" },
      { name: "result", access: "read_write", type: "array<f32>" },
    ],
    source: /* wgsl */ `
alias Left = subgroup_matrix_left<f16, 16, 16>;
alias Right = subgroup_matrix_right<f16, 16, 16>;
alias Sums = subgroup_matrix_result<f32, 16, 16>;
var<workgroup> numbers: array<f16, ${16 * FRAGMENTS * stride}>;
@compute @workgroup_size(${32 * WARPS})
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let flat = flat_workgroup(workgroup, grid);
  for (var n = lid; n < ${16 * FRAGMENTS * stride}u; n += ${32 * WARPS}u) {
    numbers[n] = f16(i32(n * 7u % 13u) - 6);
  }
  workgroupBarrier();
  let left = ${load("Left", "row_major", 0, "0u")};
  let right = ${load("Right", "row_major", 0, "0u")};
  ${operand === "none" ? all.map((j) => `let right_${j} = ${load("Right", "row_major", j, "0u")};`).join("\n  ") : ""}
  ${all.map((j) => `var sums_${j} = Sums();`).join("\n  ")}
  for (var n = 0u; n < p.x; n++) {
    // Nothing, which no compiler knows: p.y is 0.
    let moved = n * p.y;
    ${all.map(product).join("\n    ")}
  }
  let at = (flat * ${WARPS}u + lid / 32u) * ${256 * FRAGMENTS}u;
  ${all.map((j) => `subgroupMatrixStore<row_major>(&result, at + ${256 * j}u, sums_${j}, 16u);`).join("\n  ")}
}
`,
  });
}

/** What a warp's sums are after so many rounds. */
function truthOf({ operand, order, stride }: FragmentProbe, rounds: number): Float64Array {
  const truth = new Float64Array(256 * FRAGMENTS);
  const plain = (j: number, i: number, k: number): number => numberAt(16 * j * stride + i * stride + k);
  const tested = (j: number, i: number, k: number): number =>
    order === "row_major" || operand === "none" ? plain(j, i, k) : plain(j, k, i);
  for (let n = 0; n < truth.length; n++) {
    const [j, i, c] = [Math.floor(n / 256), Math.floor(n / 16) % 16, n % 16];
    for (let k = 0; k < 16; k++) {
      truth[n]! += rounds *
        (operand === "left" ? tested(j, i, k) * plain(0, k, c) : plain(0, i, k) * tested(j, k, c));
    }
  }
  return truth;
}

async function prepare(
  gpu: Gpu,
  { W = 1, N = 1 }: LineShape,
  probe: FragmentProbe | WordProbe,
): Promise<Prepared> {
  const words = "addresses" in probe;
  const missing = words ? undefined : withoutHardware(gpu);
  if (missing !== undefined) throw new InputError(`Cannot load fragments: ${missing}`);
  const kernel = await compileShader(gpu, words ? wordShader(probe) : fragmentShader(probe));
  const truth = words ? wordTruth(probe, N) : truthOf(probe, N);
  const p = gpu.upload(Uint32Array.of(N, 0, 0, 0), {
    label: "rounds",
    usage: BufferUsage.UNIFORM | BufferUsage.COPY_DST,
  });
  const result = Tensor.empty(gpu, [W * (words ? 1 : WARPS), truth.length]);
  const plan = planOf({
    name: "loads from workgroup memory",
    variant: kernel.shader.label,
    dispatches: [dispatch(kernel, { p, result: result.buffer }, W)],
    bytes: result.bytes,
    operations: W * WARPS * FRAGMENTS * N * (words ? 128 : 2 * 16 ** 3),
    scratch: [p],
  });
  return {
    plans: [plan],
    // A "token" is a warp's load: its rate is what is asked for.
    tokens: W * WARPS * FRAGMENTS * N,
    async check(): Promise<LineError> {
      const got = (await result.read()).subarray(-truth.length);
      // Whole numbers below 2^24: exact, but for units that keep fewer bits of a sum.
      const rms = Math.sqrt(truth.reduce((sum, x) => sum + x * x, 0) / truth.length);
      return lineError(Float32Array.from(got), truth, 2 ** -12 * Math.max(...truth.map(Math.abs)) / rms);
    },
    release() {
      plan.release();
      result.destroy();
    },
  };
}

/** The products alone; each operand by rows and by columns; rows next to each other, padded, and of one tile. */
export const fragmentProbes: readonly FragmentProbe[] = [
  { operand: "none", order: "row_major", stride: 72 },
  ...(["left", "right"] as const).flatMap((operand) =>
    (["row_major", "col_major"] as const).flatMap((order) => [72, 64, 16].map((stride) => ({ operand, order, stride })))
  ),
];

export const fragmentLines: readonly FusedLine[] = [{
  name: "workgroup memory loads",
  dtype: "f32",
  shapes: [{ W: 1056, N: 1000 }],
  small: { W: 2, N: 3 },
  variants: [
    ...[8, 32, 1].map((addresses): Variant => ({ name: `16 bytes of ${addresses}`, options: { addresses } })),
    ...fragmentProbes.map(({ operand, order, stride }): Variant => ({
      name: operand === "none" ? "products" : `${operand} ${order.replace("_", " ")} ${stride}`,
      options: { operand, order, stride },
    })),
  ],
  prepare: (gpu, shape, { options }) => prepare(gpu, shape, options as unknown as FragmentProbe | WordProbe),
}];
