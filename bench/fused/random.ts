/**
 * Random tensors made on the GPU: inputs of real sizes without a host array, the same on every device.
 *
 * Number i of seed s is a hash of (s, i): nothing depends on how many invocations there were.
 *
 * @module
 */
import { BufferUsage, flatWorkgroup, type Gpu } from "../../kernels/device.ts";
import { type DType, Tensor } from "../../kernels/tensor.ts";
import { InputError } from "../../models/error.ts";

export interface RandomOptions {
  readonly seed: number;
  readonly low: number;
  readonly high: number;
  /** Default `f32`. */
  readonly dtype?: DType;
}

const THREADS = 256;

/** Two rounds of an integer hash of low bias (Wellons, `lowbias32`); 24 bits make the fraction. */
const common = /* wgsl */ `
struct Parameters { count: u32, seed: u32, low: f32, high: f32 }
@group(0) @binding(0) var<storage, read_write> words: array<u32>;
@group(0) @binding(1) var<uniform> parameters: Parameters;
${flatWorkgroup}
fn scrambled(given: u32) -> u32 {
  var x = given;
  x = (x ^ (x >> 16u)) * 0x7feb352du;
  x = (x ^ (x >> 15u)) * 0x846ca68bu;
  return x ^ (x >> 16u);
}
fn uniform_at(index: u32) -> f32 {
  let bits = scrambled(scrambled(index) ^ scrambled(parameters.seed * 0x9e3779b9u + 1u)) >> 8u;
  let x = parameters.low + f32(bits) * 0x1p-24 * (parameters.high - parameters.low);
  // The sum may round up to the end, which is outside.
  return select(x, parameters.low, x >= parameters.high);
}
`;

const main = (body: string): string => /* wgsl */ `
@compute @workgroup_size(${THREADS})
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let at = flat_workgroup(workgroup, grid) * ${THREADS}u + local;
  ${body}
}
`;

/** One word per invocation. An odd count of halves ends with a zero half. */
const fill: { readonly [dtype in DType]: string } = {
  f32: common + main("if (at < parameters.count) { words[at] = bitcast<u32>(uniform_at(at)); }"),
  f16: common + main(/* wgsl */ `
  if (2u * at >= parameters.count) { return; }
  let second = select(0.0, uniform_at(2u * at + 1u), 2u * at + 1u < parameters.count);
  words[at] = pack2x16float(vec2f(uniform_at(2u * at), second));`),
};

/** One row per invocation. */
const unit = (width: number, dtype: DType): string =>
  common + main(/* wgsl */ `
  if (at >= parameters.count) { return; }
  let start = at * ${width}u;
  var squares = 0.0;
  for (var i = 0u; i < ${width}u; i++) {
    let x = uniform_at(start + i);
    squares += x * x;
  }
  let scale = 1.0 / sqrt(max(squares, 0x1p-100));
  ${
    dtype === "f32"
      ? `for (var i = 0u; i < ${width}u; i++) { words[start + i] = bitcast<u32>(uniform_at(start + i) * scale); }`
      : `for (var i = 0u; i < ${width}u; i += 2u) {
    words[(start + i) / 2u] = pack2x16float(scale * vec2f(uniform_at(start + i), uniform_at(start + i + 1u)));
  }`
  }`);

async function filled(
  gpu: Gpu,
  tensor: Tensor,
  code: string,
  { seed, low, high }: RandomOptions,
  counts: { readonly count: number; readonly invocations: number },
): Promise<Tensor> {
  if (tensor.length === 0) return tensor;
  const parameters = new ArrayBuffer(16);
  new Uint32Array(parameters).set([counts.count, seed >>> 0]);
  new Float32Array(parameters).set([low, high], 2);
  const uniform = gpu.upload(new Uint32Array(parameters), {
    label: "random parameters",
    usage: BufferUsage.UNIFORM | BufferUsage.COPY_DST,
  });
  try {
    const pipeline = await gpu.compile({ label: "random", code });
    const workgroups = Math.ceil(counts.invocations / THREADS);
    await gpu.run("random", [{ pipeline, buffers: [tensor.buffer, uniform], workgroups }]);
    return tensor;
  } catch (error) {
    tensor.destroy();
    throw error;
  } finally {
    uniform.destroy();
  }
}

/** A new tensor of numbers uniform in [low, high), in steps of (high − low)·2^−24. */
export async function randomTensor(gpu: Gpu, shape: readonly number[], options: RandomOptions): Promise<Tensor> {
  const { seed, low, high, dtype = "f32" } = options;
  if (!Number.isInteger(seed) || !(low < high)) {
    throw new InputError(
      `Cannot make random numbers: seed must be an integer and low < high, got seed ${seed}, low ${low}, high ${high}`,
    );
  }
  const tensor = Tensor.empty(gpu, shape, { dtype, label: "random" });
  const { length } = tensor;
  return await filled(gpu, tensor, fill[dtype], options, {
    count: length,
    invocations: dtype === "f32" ? length : Math.ceil(length / 2),
  });
}

/** A new tensor whose last axis holds vectors of norm 1, in directions of numbers uniform in [−1, 1). */
export async function unitTensor(
  gpu: Gpu,
  shape: readonly number[],
  seed: number,
  dtype: DType = "f32",
): Promise<Tensor> {
  const width = shape.at(-1) ?? 1;
  if (width < 1 || dtype === "f16" && width % 2 !== 0) {
    throw new InputError(
      `Cannot make unit vectors: the last axis must be ≥ 1${dtype === "f16" ? " and even in f16" : ""}, got ${width}`,
    );
  }
  const tensor = Tensor.empty(gpu, shape, { dtype, label: "unit vectors" });
  const rows = tensor.length / width;
  const range = { seed, low: -1, high: 1, dtype };
  return await filled(gpu, tensor, unit(width, dtype), range, { count: rows, invocations: rows });
}
