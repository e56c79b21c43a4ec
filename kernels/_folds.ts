/**
 * Sums over the rows of an array in a fixed order, a few rows a thread: what parameters get from chunks of time.
 *
 * @module
 */
import { FAN, THREADS } from "./_backward_shader.ts";
import { addingFoldShader, foldShader } from "./_backward_wgsl.ts";
import { BufferUsage } from "./gpu.ts";
import type { Tensor } from "./tensor.ts";
import type { Work } from "./_work.ts";

/** Adds dispatches that sum rows > 1 rows of `given` into a tensor, or add the sum to what is there. */
export async function addFolds(
  work: Work,
  given: GPUBuffer,
  rows: number,
  into: Tensor,
  adding: boolean,
): Promise<void> {
  const columns = into.length;
  const usage = BufferUsage.STORAGE | BufferUsage.COPY_DST;
  for (let from = given; rows > 1;) {
    const folded = Math.ceil(rows / FAN);
    const result = folded === 1 ? into.buffer : work.room("rows of sums", [folded * columns]).buffer;
    const { code, label, buffers } = folded === 1 && adding ? addingFoldShader : foldShader;
    const named: { readonly [name: string]: GPUBuffer } = {
      extent: work.words("rows and columns", Uint32Array.of(rows, columns), usage),
      inputs: from,
      result,
    };
    const pipeline = await work.gpu.compile({ label, code });
    const workgroups = Math.ceil(folded * columns / THREADS);
    work.add({ pipeline, buffers: buffers.map((name) => named[name]!), workgroups });
    [rows, from] = [folded, result];
  }
}
