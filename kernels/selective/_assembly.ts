/** What the plans of both directions are put together with. */
import { BufferUsage, type Dispatch, type Gpu } from "../gpu.ts";
import { compileShader, dispatch, type NamedBuffers, type Shader } from "../wgsl.ts";
import { paramNames } from "./_staging.ts";
import { assertBindable, type SelectiveShape } from "./tensors.ts";
import type { Tiled } from "./tiling.ts";

/** Values of the kernels' parameters that extents alone do not give. */
export type Offsets = { readonly [name in typeof paramNames[number]]?: number };

/** Collects a plan's dispatches and scratch buffers; frees the buffers if making the plan fails. */
export class Assembly {
  readonly #gpu: Gpu;
  readonly #planned: { readonly shader: Shader; readonly buffers: NamedBuffers; readonly workgroups: number }[] = [];
  readonly scratch: GPUBuffer[] = [];

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /** A scratch array of floats. Throws an `InputError` if it cannot be bound. */
  room(what: string, floats: number): GPUBuffer {
    const bytes = 4 * Math.max(floats, 1);
    assertBindable(this.#gpu, what, bytes);
    const buffer = this.#gpu.createBuffer({ label: `selective scan: ${what}`, bytes });
    this.scratch.push(buffer);
    return buffer;
  }

  /** The uniform buffer of a tiling. */
  params(
    { tiling, blocks, segments, segmentTokens }: Tiled,
    { B, T, D }: SelectiveShape,
    more: Offsets = {},
  ): GPUBuffer {
    const values: Offsets = {
      tokens: T,
      channels: D,
      batch: B,
      blocks,
      segments,
      segment_tokens: segmentTokens,
      padded_tokens: Math.ceil(T / tiling.tile) * tiling.tile,
      ...more,
    };
    const buffer = this.#gpu.upload(Uint32Array.from(paramNames, (name) => values[name] ?? 0), {
      label: "selective scan: parameters",
      usage: BufferUsage.UNIFORM | BufferUsage.COPY_DST,
    });
    this.scratch.push(buffer);
    return buffer;
  }

  add(shader: Shader, buffers: NamedBuffers, workgroups: number): void {
    if (workgroups > 0) this.#planned.push({ shader, buffers, workgroups });
  }

  /** Compiles what was added. */
  dispatches(): Promise<readonly Dispatch[]> {
    return Promise.all(
      this.#planned.map(async ({ shader, buffers, workgroups }) =>
        dispatch(await compileShader(this.#gpu, shader), buffers, workgroups)
      ),
    );
  }

  release(): void {
    for (const buffer of this.scratch) buffer.destroy();
  }
}
