/** A GPU that remembers which buffers were made through it, so that those of work that failed can be freed. */

import type { Gpu } from "../../kernels/device.ts";

export interface Tracked {
  readonly gpu: Gpu;
  destroyAll(): void;
}

export function tracked(gpu: Gpu): Tracked {
  const buffers: GPUBuffer[] = [];
  const kept = (buffer: GPUBuffer): GPUBuffer => {
    buffers.push(buffer);
    return buffer;
  };
  const made: { readonly [key: string]: unknown } = {
    createBuffer: (...args: Parameters<Gpu["createBuffer"]>) => kept(gpu.createBuffer(...args)),
    upload: (...args: Parameters<Gpu["upload"]>) => kept(gpu.upload(...args)),
  };
  return {
    // Methods stay bound to the device itself, whose private fields they use.
    gpu: new Proxy(gpu, {
      get(target, key) {
        if (typeof key === "string" && Object.hasOwn(made, key)) return made[key];
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    }),
    destroyAll: () => buffers.forEach((buffer) => buffer.destroy()),
  };
}
