/**
 * A plan under way: dispatches in order, with the tensors they need in between, element-wise kernels, and sums over rows.
 *
 * @module
 */
import { BufferUsage, type Dispatch, type Gpu } from "./gpu.ts";
import { type Plan, planOf } from "./plan.ts";
import { f32Profile } from "./profile.ts";
import { Tensor } from "./tensor.ts";
import { assemble, type Binding, compileShader, dispatchItems, entryPerItem, storage } from "./wgsl.ts";
import { sumRows } from "./chunk/_backward_sum.ts";

/** Tensors by name. */
export type Named = { readonly [name: string]: Tensor };

/** What a kernel of {@linkcode Work.map} may be told besides its sources. */
export interface MapOptions {
  /** Statements before the value. */
  readonly before?: string;
  /** Where the numbers go; a new tensor where not given. */
  readonly into?: Tensor | undefined;
  /** Whether they are added to what is there, or what is there is multiplied by them. */
  readonly how?: "add" | "multiply";
}

/** Dispatches in order, and what they hold. */
export class Work {
  readonly gpu: Gpu;
  readonly #dispatches: Dispatch[] = [];
  readonly #plans: Plan[] = [];
  readonly #buffers: GPUBuffer[] = [];
  readonly #owned: { readonly bytes: number; destroy(): void }[] = [];

  constructor(gpu: Gpu) {
    this.gpu = gpu;
  }

  /** A tensor that lives as long as the plan. */
  room(label: string, shape: readonly number[]): Tensor {
    return this.#held(Tensor.empty(this.gpu, shape, { label }));
  }

  /** A tensor of numbers that lives as long as the plan. */
  filled(label: string, data: ArrayLike<number>, shape: readonly number[]): Tensor {
    return this.#held(Tensor.from(this.gpu, data, shape, { label }));
  }

  #held(tensor: Tensor): Tensor {
    this.#buffers.push(tensor.buffer);
    return tensor;
  }

  /** Frees something of the caller's with the plan. */
  own(owned: { readonly bytes: number; destroy(): void }): void {
    this.#owned.push(owned);
  }

  /** A buffer of words that kernels are told; a uniform unless said otherwise. */
  words(label: string, words: Uint32Array, usage: number = BufferUsage.UNIFORM | BufferUsage.COPY_DST): GPUBuffer {
    const buffer = this.gpu.upload(words, { label, usage });
    this.#buffers.push(buffer);
    return buffer;
  }

  /** Adds dispatches. */
  add(...dispatches: readonly Dispatch[]): void {
    this.#dispatches.push(...dispatches);
  }

  /** Adds a plan, which is released with this. */
  plan(plan: Plan): void {
    this.#dispatches.push(...plan.dispatches);
    this.#plans.push(plan);
  }

  /**
   * A tensor, number `id` of which is the WGSL expression `value`; `sources` are the arrays it names. None may be the tensor
   * itself.
   */
  async map(
    label: string,
    shape: readonly number[],
    sources: Named,
    value: string,
    { before = "", into, how }: MapOptions = {},
  ): Promise<Tensor> {
    const target = into ?? this.room(label, shape);
    if (target.length === 0) return target;
    const count = this.words(`count of ${label}`, Uint32Array.of(target.length, 0, 0, 0));
    const bindings: Binding[] = [
      { name: "count", access: "uniform", type: "vec4u" },
      ...Object.keys(sources).map((name) => storage(name, "f32")),
      storage("target_of", "f32", "read_write"),
    ];
    const assign = how === "add" ? "+=" : how === "multiply" ? "*=" : "=";
    const source = f32Profile.prelude + entryPerItem("count.x", `${before}\n  target_of[id] ${assign} ${value};`);
    const kernel = await compileShader(this.gpu, assemble(label, { bindings, source }));
    const buffers = Object.fromEntries(Object.entries(sources).map(([name, { buffer }]) => [name, buffer]));
    this.add(dispatchItems(kernel, { count, ...buffers, target_of: target.buffer }, target.length));
    return target;
  }

  /** Copies numbers, or adds them to what is there. */
  async copy(from: Tensor, into: Tensor, options: Pick<MapOptions, "how"> = {}): Promise<void> {
    await this.map("copy", into.shape, { value_of: from }, "value_of[id]", { ...options, into });
  }

  /** Zeros. */
  async clear(into: Tensor): Promise<void> {
    await this.map("zero", into.shape, {}, "0.0", { into });
  }

  /** The sums over the rows of a tensor taken as [rows, columns], into a tensor of so many numbers. */
  async sums(label: string, given: Tensor, rows: number, columns: number, into?: Tensor): Promise<Tensor> {
    const result = into ?? this.room(label, [columns]);
    const sum = await sumRows(this.gpu, { given: given.buffer, result: result.buffer, rows, columns });
    this.#buffers.push(sum.scratch);
    this.add(sum.dispatch);
    return result;
  }

  /** All of it as a plan, which owns what was made. */
  finish(parts: Omit<Plan, "dispatches" | "scratchBytes" | "release">): Plan {
    const own = planOf({ ...parts, dispatches: this.#dispatches, scratch: this.#buffers });
    const parted = [...this.#plans.map(({ scratchBytes }) => scratchBytes), ...this.#owned.map(({ bytes }) => bytes)];
    return {
      ...own,
      scratchBytes: parted.reduce((sum, bytes) => sum + bytes, own.scratchBytes),
      release: () => this.release(),
    };
  }

  /** Frees what was made, where there will be no plan. */
  release(): void {
    for (const plan of this.#plans) plan.release();
    for (const owned of this.#owned) owned.destroy();
    for (const buffer of this.#buffers) buffer.destroy();
  }
}
