/**
 * The bandwidth of a plain copy, measured in the same run as the kernels: what they are compared with. A copied byte
 * counts twice, read and written, as a kernel's inputs and outputs do.
 *
 * @module
 */
import { flatWorkgroup, type Gpu } from "../kernels/device.ts";
import type { Effort } from "./kernel.ts";
import { quantile, samplesOf } from "./measure.ts";

/** Bytes per millisecond. */
export type Bandwidth = number;

/** From one array to another in the memory of the host, both larger than its caches usually are. */
export async function cpuCopy(effort: Effort): Promise<Bandwidth> {
  const bytes = effort.quick ? 2 ** 25 : 2 ** 26;
  const source = new Float32Array(bytes / 4).fill(1);
  const target = new Float32Array(bytes / 4);
  const samples = await samplesOf(effort, () => target.set(source));
  return 2 * bytes / quantile(samples, 0.5);
}

const COPY = /* wgsl */ `
@group(0) @binding(0) var<storage, read> source: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> destination: array<vec4f>;
${flatWorkgroup}
@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let at = flat_workgroup(workgroup, grid) * 256u + local;
  if (at < arrayLength(&source)) { destination[at] = source[at]; }
}
`;

/**
 * From array to array on the device, by a kernel: a driver's own buffer copy may go through a slower engine (on an
 * H200 a fifth of the memory's rate). Software devices copy less, being slow.
 */
export async function gpuCopy(effort: Effort, gpu: Gpu): Promise<Bandwidth> {
  const wanted = gpu.adapter.software ? (effort.quick ? 2 ** 24 : 2 ** 25) : 2 ** 29;
  const bytes = Math.min(wanted, Math.floor(gpu.limits.maxStorageBufferBindingSize / 16) * 16);
  // Several to a submission, as kernels are timed, so that the submission itself weighs the same.
  const times = gpu.adapter.software ? 2 : 16;
  const source = gpu.createBuffer({ label: "copy source", bytes });
  const target = gpu.createBuffer({ label: "copy target", bytes });
  try {
    const pipeline = await gpu.compile({ label: "copy", code: COPY });
    const copy = { pipeline, buffers: [source, target], workgroups: Math.ceil(bytes / 16 / 256) };
    const samples = await samplesOf(effort, async () => {
      const start = performance.now();
      await gpu.run("copy", Array.from({ length: times }, () => copy));
      await gpu.done();
      return (performance.now() - start) / times;
    });
    return 2 * bytes / quantile(samples, 0.5);
  } finally {
    source.destroy();
    target.destroy();
  }
}
