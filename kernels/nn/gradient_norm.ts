/**
 * The Euclidean norm of all gradients together: `√ Σ g²`, in a fixed order.
 *
 * Squares are summed over chunks, each scaled by the power of two of its largest magnitude, so that no square overflows or
 * vanishes. A gradient that is not finite makes the norm +∞, by its bits; so does a guard's loss that is not finite, and
 * from then on every norm is +∞ until the guard's word is cleared.
 *
 * @module
 */
import { InputError } from "../../models/error.ts";
import { BufferUsage, type Dispatch, type Gpu } from "../gpu.ts";
import { type Plan, planOf } from "../plan.ts";
import { assertShape, type Tensor } from "../tensor.ts";
import { assemble, compileShader, dispatch, type NamedBuffers, type Shader, storage } from "../wgsl.ts";
import { finite } from "./_finite.ts";

const THREADS = 256;
/** Numbers of a chunk. */
const CHUNK = 4096;
/** Tensors of a dispatch: storage buffers that every device can bind, but one. */
const TENSORS = 7;

/** Additions that a square meets, at most. */
export const normAdditions = (chunks: number): number =>
  CHUNK / THREADS + Math.ceil(chunks / THREADS) + 2 * Math.log2(THREADS);

const tensors = Array.from({ length: TENSORS }, (_, i) => i);

/** Statement: `NAME[0]` of a workgroup becomes the combination of all. */
const tree = (name: string, combine: (a: string, b: string) => string): string => /* wgsl */ `
  for (var other = ${THREADS / 2}u; other > 0u; other /= 2u) {
    workgroupBarrier();
    if (lid < other) { ${name}[lid] = ${combine(`${name}[lid]`, `${name}[lid + other]`)}; }
  }
  workgroupBarrier();`;

const most = (a: string, b: string): string => `max(${a}, ${b})`;
const sum = (a: string, b: string): string => `${a} + ${b}`;

/**
 * A workgroup a chunk: `partial` gets the sum of its squares over 4^(exponent − 127), as bits, and the bits of its largest
 * magnitude. Bits of magnitudes are in the order of the magnitudes, infinities and NaNs behind.
 */
const chunkShader: Shader = assemble("gradient norm chunks", {
  bindings: [
    // Per tensor its numbers and its first chunk; then the number of chunks, and the place of the first in `partial`.
    { name: "extent", access: "uniform", type: `array<vec4u, ${TENSORS + 1}>` },
    ...tensors.map((i) => storage(`gradient_${i}`, "u32")),
    { name: "partial", access: "read_write", type: "array<vec2u>" },
  ],
  source: /* wgsl */ `
var<workgroup> magnitudes: array<u32, ${THREADS}>;
var<workgroup> sums: array<f32, ${THREADS}>;
fn bits_of(tensor: u32, at: u32) -> u32 {
  switch tensor {
    ${tensors.slice(1).map((i) => `case ${i}u: { return gradient_${i}[at]; }`).join("\n    ")}
    default: { return gradient_0[at]; }
  }
}
// A subnormal is an integer times 2^-149: a device that takes one for 0 does not see any.
fn scaled(bits: u32, scale: f32) -> f32 {
  if ((bits & 0x7f800000u) != 0u) { return bitcast<f32>(bits) * scale; }
  return f32(bits & 0x007fffffu) * (scale * ${2 ** -126}) * ${2 ** -23};
}
@compute @workgroup_size(${THREADS})
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let chunk = flat_workgroup(workgroup, grid);
  if (chunk >= extent[${TENSORS}].x) { return; }
  var tensor = 0u;
  for (var i = 1u; i < ${TENSORS}u; i++) { if (chunk >= extent[i].y) { tensor = i; } }
  let start = (chunk - extent[tensor].y) * ${CHUNK}u;
  let end = min(extent[tensor].x, start + ${CHUNK}u);
  var magnitude = 0u;
  for (var at = start + lid; at < end; at += ${THREADS}u) { magnitude = max(magnitude, bits_of(tensor, at) & 0x7fffffffu); }
  magnitudes[lid] = magnitude;
  ${tree("magnitudes", most)}
  let largest = magnitudes[0];
  let scale = bitcast<f32>(max(1u, 254u - min(254u, largest >> 23u)) << 23u);
  var total = 0.0;
  for (var at = start + lid; at < end; at += ${THREADS}u) {
    let x = scaled(bits_of(tensor, at), scale);
    total = fma(x, x, total);
  }
  sums[lid] = total;
  ${tree("sums", sum)}
  if (lid == 0u) { partial[extent[${TENSORS}].y + chunk] = vec2u(bitcast<u32>(sums[0]), largest); }
}
`,
});

/** Lets one step that is not finite stop those that were submitted behind it. */
export interface StepGuard {
  /** `[1]` */
  readonly loss: Tensor;
  /** `[1]`, a word: 0 until a loss or norm was not finite, 1 from then on. */
  readonly halted: Tensor;
}

/** The norm from the chunks' sums; `guarded` by a {@link StepGuard}. */
const normShader = (guarded: boolean): Shader =>
  assemble(`gradient norm${guarded ? ", guarded" : ""}`, {
    bindings: [
      { name: "extent", access: "uniform", type: "vec4u" },
      { name: "partial", access: "read", type: "array<vec2u>" },
      storage("norm", "u32", "read_write"),
      ...(guarded ? [storage("loss", "u32"), storage("halted", "u32", "read_write")] : []),
    ],
    source: (guarded ? finite : "") + /* wgsl */ `
var<workgroup> magnitudes: array<u32, ${THREADS}>;
var<workgroup> sums: array<f32, ${THREADS}>;
// The exponent that a chunk was divided by, biased.
fn exponent_of(largest: u32) -> u32 { return min(253u, largest >> 23u); }
@compute @workgroup_size(${THREADS})
fn main(@builtin(local_invocation_index) lid: u32) {
  var magnitude = 0u;
  for (var at = lid; at < extent.x; at += ${THREADS}u) { magnitude = max(magnitude, partial[at].y); }
  magnitudes[lid] = magnitude;
  ${tree("magnitudes", most)}
  let exponent = exponent_of(magnitudes[0]);
  var total = 0.0;
  for (var at = lid; at < extent.x; at += ${THREADS}u) {
    let below = 2u * (exponent - exponent_of(partial[at].y));
    if (below < 126u) { total = fma(bitcast<f32>(partial[at].x), bitcast<f32>((127u - below) << 23u), total); }
  }
  sums[lid] = total;
  ${tree("sums", sum)}
  if (lid != 0u) { return; }
  // √ of the sum is at least 1 where any number is normal: its exponent and the chunks' add up to the norm's.
  let root = bitcast<u32>(sqrt(sums[0]));
  let together = (root >> 23u) + exponent;
  var bits = 0u;
  if (magnitudes[0] >= 0x7f800000u || together >= 382u) { bits = 0x7f800000u; }
  else if (sums[0] > 0.0 && together > 127u) { bits = (root & 0x007fffffu) | ((together - 127u) << 23u); }
  ${
      guarded
        ? /* wgsl */ `
  if (halted[0] != 0u || !finite(loss[0])) { bits = 0x7f800000u; }
  if (bits == 0x7f800000u) { halted[0] = 1u; }`
        : ""
    }
  norm[0] = bits;
}
`,
  });

export interface GradientNormTensors {
  /** `[1]`: the result. */
  readonly norm: Tensor;
  /** Default: none; every norm stands for itself. */
  readonly guard?: StepGuard;
}

/** Makes the norm of tensors ready: a dispatch for every seven of them, and one more. */
export async function planGradientNorm(
  gpu: Gpu,
  gradients: readonly Tensor[],
  { norm: result, guard }: GradientNormTensors,
): Promise<Plan> {
  for (const [name, tensor] of Object.entries({ norm: result, ...guard })) assertShape(name, tensor, [1]);
  for (const { dtype } of gradients) {
    if (dtype !== "f32") throw new InputError(`Cannot take a norm: gradients must be f32, got ${dtype}`);
  }
  const given = gradients.filter(({ length }) => length > 0);
  const chunksOf = ({ length }: Tensor): number => Math.ceil(length / CHUNK);
  const chunks = given.reduce((count, tensor) => count + chunksOf(tensor), 0);
  const scratch: GPUBuffer[] = [];
  const uniform = (words: readonly number[]): GPUBuffer => {
    const usage = BufferUsage.UNIFORM | BufferUsage.COPY_DST;
    scratch.push(gpu.upload(Uint32Array.from(words), { label: "gradient norm extent", usage }));
    return scratch.at(-1)!;
  };
  try {
    const partial = gpu.createBuffer({ bytes: Math.max(8, 8 * chunks), label: "gradient norm chunks" });
    scratch.push(partial);
    const [ofChunks, ofAll] = await Promise.all([
      compileShader(gpu, chunkShader),
      compileShader(gpu, normShader(guard !== undefined)),
    ]);
    const dispatches: Dispatch[] = [];
    let done = 0;
    for (let from = 0; from < given.length; from += TENSORS) {
      const group = given.slice(from, from + TENSORS);
      let count = 0;
      const words = tensors.flatMap((i) => {
        const tensor = group[i];
        // A place without a tensor begins behind the last chunk.
        const place = [tensor?.length ?? 0, count, 0, 0];
        count += tensor === undefined ? 0 : chunksOf(tensor);
        return tensor === undefined ? [0, 0xffffffff, 0, 0] : place;
      });
      const buffers: NamedBuffers = {
        ...Object.fromEntries(tensors.map((i) => [`gradient_${i}`, (group[i] ?? group[0]!).buffer])),
        partial,
        extent: uniform([...words, count, done, 0, 0]),
      };
      dispatches.push(dispatch(ofChunks, buffers, count));
      done += count;
    }
    const last = {
      ...{ partial, norm: result.buffer, extent: uniform([chunks, 0, 0, 0]) },
      ...(guard && { loss: guard.loss.buffer, halted: guard.halted.buffer }),
    };
    dispatches.push(dispatch(ofAll, last, 1));
    const length = given.reduce((sum, tensor) => sum + tensor.length, 0);
    return planOf({
      name: "gradient norm",
      variant: `${chunks} chunks of ${CHUNK}`,
      dispatches,
      bytes: 4 * length + 4,
      operations: 2 * length,
      scratch,
    });
  } catch (error) {
    scratch.forEach((buffer) => buffer.destroy());
    throw error;
  }
}
