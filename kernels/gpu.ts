/**
 * A thin checked layer over a `GPUDevice`. WebGPU reports errors late and elsewhere; here a wrong size throws before
 * the device sees it, every other error rejects the promise of the call that caused it, and a lost device rejects
 * whatever is pending and whatever comes later.
 *
 * @module
 */

import { InputError } from "../models/error.ts";
import { compile, type KernelOptions } from "./_compile.ts";
import type { GpuProvider } from "./_provider.ts";
import { scoped } from "./_scoped.ts";
import { unhurried } from "./_unhurried.ts";
import { checkWorkgroups, foldWorkgroups } from "./workgroups.ts";

export type { KernelOptions } from "./_compile.ts";
export * from "./workgroups.ts";

/** The values of WebGPU's `GPUBufferUsage`, which Node does not define. */
export const BufferUsage = {
  MAP_READ: 0x0001,
  MAP_WRITE: 0x0002,
  COPY_SRC: 0x0004,
  COPY_DST: 0x0008,
  UNIFORM: 0x0040,
  STORAGE: 0x0080,
  INDIRECT: 0x0100,
  QUERY_RESOLVE: 0x0200,
} as const;

const storageUsage = BufferUsage.STORAGE | BufferUsage.COPY_SRC | BufferUsage.COPY_DST;

/** What is known of an adapter; empty strings where its driver does not say. */
export interface AdapterSummary {
  readonly provider: GpuProvider;
  readonly description: string;
  readonly vendor: string;
  readonly architecture: string;
  /** Whether it computes on the CPU: SwiftShader, lavapipe. */
  readonly software: boolean;
}

/** A shape of matrices that subgroups multiply: `[M, K] × [K, N]`, operands and sums of the named types. */
export interface SubgroupMatrixShape {
  readonly M: number;
  readonly N: number;
  readonly K: number;
  readonly componentType: string;
  readonly resultComponentType: string;
}

/** Bytes of the buffers made through a {@linkcode Gpu} and not yet destroyed. */
export interface GpuBytes {
  readonly live: number;
  readonly peak: number;
}

export interface BufferOptions {
  /** Rounded up to a multiple of 4. */
  readonly bytes: number;
  readonly label?: string;
  /** Bits of {@linkcode BufferUsage}; default: storage that can be copied from and to. */
  readonly usage?: number;
}

/** One dispatch; `buffers[i]` is bound at `@group(0) @binding(i)`. */
export interface Dispatch {
  readonly pipeline: GPUComputePipeline;
  readonly buffers: readonly (GPUBuffer | GPUBufferBinding)[];
  /** A number is a flat count, folded by {@linkcode foldWorkgroups} when it exceeds the device's limit. */
  readonly workgroups: number | readonly [number, number?, number?];
}

export interface RunOptions {
  readonly timestampWrites?: GPUComputePassTimestampWrites;
}

/** A typed array's class, such as `Float32Array`. */
export interface ArrayType<A> {
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBuffer): A;
}

export interface ReadOptions {
  /** First element to read; default 0. */
  readonly offset?: number;
  /** Elements to read; default: all that follow `offset`. */
  readonly length?: number;
}

/** What `openDevice` hands over. */
export interface GpuParts {
  readonly provider: GpuProvider;
  readonly adapter: GPUAdapter;
  readonly device: GPUDevice;
  release(): void;
}

/** An open device; `openDevice` makes one. */
export class Gpu {
  readonly device: GPUDevice;
  readonly adapter: AdapterSummary;
  /** Features that were granted. */
  readonly features: ReadonlySet<string>;
  readonly limits: GPUSupportedLimits;
  /** Smallest and largest subgroup; undefined without the feature `subgroups`. */
  readonly subgroups: { readonly min: number; readonly max: number } | undefined;
  /** What the adapter's matrix units multiply; undefined where it does not say. */
  readonly subgroupMatrices: readonly SubgroupMatrixShape[] | undefined;

  readonly #release: () => void;
  readonly #buffers = new Map<GPUBuffer, number>();
  readonly #kernels = new Map<string, Promise<GPUComputePipeline>>();
  readonly #pending = new Set<(reason: Error) => void>();
  readonly #creations = new Set<Promise<void>>();
  readonly #errors: Error[] = [];
  #live = 0;
  #peak = 0;
  #end: string | undefined;
  #closing: Promise<void> | undefined;

  constructor({ provider, adapter, device, release }: GpuParts) {
    const { description, device: model, vendor, architecture } = adapter.info;
    const info = adapter.info as {
      subgroupMinSize?: number;
      subgroupMaxSize?: number;
      subgroupMatrixConfigs?: Iterable<SubgroupMatrixShape>;
    };
    this.device = device;
    this.features = new Set(device.features as unknown as Iterable<string>);
    this.limits = device.limits;
    this.adapter = {
      provider,
      description: description || model || vendor,
      vendor,
      architecture,
      software: /swiftshader|llvmpipe|lavapipe/i.test(`${architecture} ${description} ${model}`),
    };
    this.subgroups = this.features.has("subgroups")
      ? { min: info.subgroupMinSize ?? 4, max: info.subgroupMaxSize ?? 128 }
      : undefined;
    this.subgroupMatrices = info.subgroupMatrixConfigs && Array.from(info.subgroupMatrixConfigs);
    this.#release = release;
    device.addEventListener("uncapturederror", (event) => {
      const { error } = event as unknown as { error: { message: string } };
      this.#errors.push(new Error(`GPU error outside any call: ${error.message}`));
      event.preventDefault?.();
    });
    device.lost.then(({ reason, message }) => this.#stop(`the device was lost (${reason ?? "unknown"}): ${message}`));
  }

  /** Bytes on the device now, and the most there were since the last {@linkcode resetPeak}. */
  get bytes(): GpuBytes {
    return { live: this.#live, peak: this.#peak };
  }

  /** Lets `bytes.peak` start again from what is live. */
  resetPeak(): void {
    this.#peak = this.#live;
  }

  /**
   * Makes a buffer, all zero. Its `destroy()` gives the bytes back to the count; `close` destroys the rest. Should the
   * device refuse it (out of memory), the next call that returns a promise rejects with that error.
   *
   * @throws {InputError} when the size is not positive or exceeds what the device can hold or bind.
   */
  createBuffer({ bytes, label = "buffer", usage = storageUsage }: BufferOptions): GPUBuffer {
    const what = `create ${label}`;
    this.#assertOpen(what);
    this.#checkSize(what, bytes, usage);
    const size = Math.ceil(bytes / 4) * 4;
    const { result: buffer, error } = scoped(this.device, what, () => this.device.createBuffer({ label, size, usage }));
    this.#track(buffer, size);
    const check = error.then((error) => {
      if (error === undefined) return;
      this.#errors.push(error);
      this.#forget(buffer);
    }).finally(() => this.#creations.delete(check));
    this.#creations.add(check);
    return buffer;
  }

  /** Makes a buffer that holds `data`. */
  upload(data: ArrayBufferView, options: Omit<BufferOptions, "bytes"> = {}): GPUBuffer {
    const buffer = this.createBuffer({ ...options, bytes: data.byteLength });
    this.write(buffer, data);
    return buffer;
  }

  /**
   * Writes `data` into the buffer from byte `offset`, a multiple of 4. Takes effect before anything run later.
   *
   * @throws {InputError} when it does not fit.
   */
  write(buffer: GPUBuffer, data: ArrayBufferView, offset = 0): void {
    const what = `write ${buffer.label}`;
    this.#assertOpen(what);
    if (offset % 4 !== 0 || offset < 0 || offset + data.byteLength > buffer.size) {
      throw new InputError(
        `Cannot ${what}: offset must be a multiple of 4 and offset + bytes ≤ ${buffer.size}, ` +
          `got offset ${offset}, ${data.byteLength} bytes`,
      );
    }
    let source = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
    if (source.length % 4 !== 0) {
      const padded = new Uint8Array(Math.ceil(source.length / 4) * 4);
      padded.set(source);
      source = padded;
    }
    this.device.queue.writeBuffer(buffer, offset, source);
  }

  /**
   * Compiles a compute kernel; the same text and constants give the same pipeline again. Rejects with the compiler's
   * messages and the WGSL lines they point at.
   */
  compile(options: KernelOptions): Promise<GPUComputePipeline> {
    const key = JSON.stringify([options.code, options.entryPoint, options.constants]);
    const known = this.#kernels.get(key);
    if (known !== undefined) return known;
    const kernel = this.#guarded(`compile ${options.label}`, () => compile(this.device, options));
    this.#kernels.set(key, kernel);
    kernel.catch(() => this.#kernels.delete(key));
    return kernel;
  }

  /** Binds buffers to group 0 of a kernel, in the order of their bindings. */
  bind(pipeline: GPUComputePipeline, buffers: readonly (GPUBuffer | GPUBufferBinding)[]): GPUBindGroup {
    const entries = buffers.map((buffer, binding) => ({
      binding,
      resource: "buffer" in buffer ? buffer : { buffer },
    }));
    return this.device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
  }

  /**
   * Submits dispatches to run in order, each seeing the writes of those before it. Resolves once the device has accepted
   * them, not when they are done: `read` and `done` wait for that.
   */
  run(label: string, dispatches: readonly Dispatch[], options: RunOptions = {}): Promise<void> {
    return this.checked(`run ${label}`, () => {
      const encoder = this.device.createCommandEncoder({ label });
      const pass = encoder.beginComputePass({ label, ...options });
      for (const { pipeline, buffers, workgroups } of dispatches) {
        const [x, y = 1, z = 1] = this.#fold(workgroups);
        checkWorkgroups(label, [x, y, z], this.limits.maxComputeWorkgroupsPerDimension);
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, this.bind(pipeline, buffers));
        pass.dispatchWorkgroups(x, y, z);
      }
      pass.end();
      this.device.queue.submit([encoder.finish()]);
    });
  }

  #fold(workgroups: Dispatch["workgroups"]): readonly [number, number?, number?] {
    return typeof workgroups === "number"
      ? foldWorkgroups(workgroups, this.limits.maxComputeWorkgroupsPerDimension)
      : workgroups;
  }

  /** Resolves when all that was submitted is done. */
  done(): Promise<void> {
    return this.#guarded("wait", async () => {
      // Hurried: benches time runs by it.
      await this.device.queue.onSubmittedWorkDone();
    });
  }

  /** Waits for what was submitted before and copies the buffer's elements back. */
  read<A>(buffer: GPUBuffer, type: ArrayType<A>, { offset = 0, length }: ReadOptions = {}): Promise<A> {
    const what = `read ${buffer.label}`;
    const width = type.BYTES_PER_ELEMENT;
    const count = length ?? Math.floor(buffer.size / width) - offset;
    const start = offset * width;
    const bytes = count * width;
    if (!(offset >= 0 && count >= 1 && start + bytes <= buffer.size)) {
      return Promise.reject(
        new InputError(
          `Cannot ${what}: offset ≥ 0, length ≥ 1 and (offset + length) × ${width} ≤ ${buffer.size} must hold, ` +
            `got offset ${offset}, length ${count}`,
        ),
      );
    }
    // Copies start and end on multiples of 4 bytes.
    const from = Math.floor(start / 4) * 4;
    const size = Math.ceil((start + bytes) / 4) * 4 - from;
    return unhurried(this.#guarded(what, async () => {
      const staging = this.createBuffer({
        bytes: size,
        label: `copy of ${buffer.label}`,
        usage: BufferUsage.MAP_READ | BufferUsage.COPY_DST,
      });
      try {
        await this.checked(what, () => {
          const encoder = this.device.createCommandEncoder({ label: what });
          encoder.copyBufferToBuffer(buffer, from, staging, 0, size);
          this.device.queue.submit([encoder.finish()]);
        });
        await staging.mapAsync(0x1);
        const copy = staging.getMappedRange().slice(start - from, start - from + bytes);
        staging.unmap();
        return new type(copy);
      } finally {
        staging.destroy();
      }
    }));
  }

  /**
   * Runs `body`, which must not wait for anything, and rejects with the validation or out-of-memory error it caused, if
   * any. For work that `run` cannot express.
   */
  checked<T>(what: string, body: () => T): Promise<T> {
    return this.#guarded(what, async () => {
      const { result, error } = scoped(this.device, what, body);
      const refusal = await error;
      await Promise.all(this.#creations);
      const first = this.#errors[0] ?? refusal;
      this.#errors.length = 0;
      if (first !== undefined) throw first;
      return result;
    });
  }

  /** Destroys every buffer and the device; what is pending rejects. The process can end by itself afterwards. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#stop("the device was closed");
    for (const buffer of [...this.#buffers.keys()]) buffer.destroy();
    this.device.destroy();
    await this.device.lost;
    this.#kernels.clear();
    this.#release();
  }

  #stop(reason: string): void {
    this.#end ??= reason;
    for (const reject of this.#pending) reject(new Error(`GPU work stopped: ${this.#end}`));
    this.#pending.clear();
  }

  #assertOpen(what: string): void {
    if (this.#end !== undefined) throw new Error(`Cannot ${what}: ${this.#end}`);
  }

  /** Runs asynchronous work so that the loss of the device rejects it even if the implementation never answers. */
  #guarded<T>(what: string, work: () => Promise<T>): Promise<T> {
    if (this.#end !== undefined) return Promise.reject(new Error(`Cannot ${what}: ${this.#end}`));
    return new Promise((resolve, reject) => {
      this.#pending.add(reject);
      work().then(resolve, reject).finally(() => this.#pending.delete(reject));
    });
  }

  #checkSize(what: string, bytes: number, usage: number): void {
    if (!Number.isSafeInteger(bytes) || bytes < 1) {
      throw new InputError(`Cannot ${what}: bytes must be an integer ≥ 1, got ${bytes}`);
    }
    const { maxBufferSize, maxStorageBufferBindingSize, maxUniformBufferBindingSize } = this.limits;
    const bounds: [string, number, boolean][] = [
      ["maxBufferSize", maxBufferSize, true],
      ["maxStorageBufferBindingSize", maxStorageBufferBindingSize, (usage & BufferUsage.STORAGE) !== 0],
      ["maxUniformBufferBindingSize", maxUniformBufferBindingSize, (usage & BufferUsage.UNIFORM) !== 0],
    ];
    for (const [name, limit, applies] of bounds) {
      if (applies && bytes > limit) {
        throw new InputError(`Cannot ${what}: bytes must be ≤ ${limit} (the device's ${name}), got ${bytes}`);
      }
    }
  }

  #track(buffer: GPUBuffer, size: number): void {
    this.#buffers.set(buffer, size);
    this.#live += size;
    this.#peak = Math.max(this.#peak, this.#live);
    const destroy = buffer.destroy.bind(buffer);
    buffer.destroy = () => {
      this.#forget(buffer);
      return destroy();
    };
  }

  #forget(buffer: GPUBuffer): void {
    this.#live -= this.#buffers.get(buffer) ?? 0;
    this.#buffers.delete(buffer);
  }
}
