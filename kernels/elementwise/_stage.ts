/**
 * Halves whose rows do not start on whole words (an odd extent along the contiguous axis): two rows share a word, which
 * two invocations must not write. They go through f32 copies.
 *
 * @module
 */
import { InputError } from "../../models/error.ts";
import type { Dispatch, Gpu } from "../gpu.ts";
import { Tensor } from "../tensor.ts";
import { assemble, compileShader, dispatchItems, entryPerItem, type Shader, storage } from "../wgsl.ts";
import { isWritten, type Job, type JobTensors, streamsOf } from "./_job.ts";
import type { Scratch } from "./_pass.ts";

const unpack: Shader = assemble("unpack halves", {
  bindings: [storage("packed", "u32"), { name: "numbers", access: "read_write", type: "array<vec2f>" }],
  source: entryPerItem("arrayLength(&numbers)", "  numbers[id] = unpack2x16float(packed[id]);"),
});
const pack: Shader = assemble("pack halves", {
  bindings: [{ name: "numbers", access: "read", type: "array<vec2f>" }, storage("packed", "u32", "read_write")],
  source: entryPerItem("arrayLength(&numbers)", "  packed[id] = pack2x16float(numbers[id]);"),
});

/** A job on f32 copies, and what goes before and after it. */
export interface Staged {
  readonly job: Job;
  readonly before: readonly Dispatch[];
  readonly after: readonly Dispatch[];
}

export async function staged(gpu: Gpu, job: Job, scratch: Scratch): Promise<Staged> {
  const [unpacking, packing] = await Promise.all([compileShader(gpu, unpack), compileShader(gpu, pack)]);
  const tensors: { -readonly [name in keyof JobTensors]: JobTensors[name] } = { ...job.tensors };
  const before: Dispatch[] = [];
  const after: Dispatch[] = [];
  for (const name of streamsOf(job)) {
    const tensor = job.tensors[name]!;
    if (tensor.dtype === "f32") continue;
    const pairs = Math.ceil(tensor.length / 2);
    const limit = gpu.limits.maxStorageBufferBindingSize;
    if (8 * pairs > limit) {
      throw new InputError(
        `Cannot plan ${job.what}: halves in rows of an odd length must fit a binding of ${limit} bytes as f32, got ` +
          `${8 * pairs} bytes`,
      );
    }
    const buffer = gpu.createBuffer({ bytes: 8 * pairs, label: `${name} as f32` });
    const copy = new Tensor(gpu, buffer, tensor.shape);
    scratch.tensors.push(copy);
    tensors[name] = copy;
    const packed = { buffer: tensor.buffer, size: 4 * pairs };
    const numbers = { buffer, size: 8 * pairs };
    if (isWritten(name)) after.push(dispatchItems(packing, { numbers, packed }, pairs));
    else before.push(dispatchItems(unpacking, { packed, numbers }, pairs));
  }
  return { job: { ...job, tensors }, before, after };
}
