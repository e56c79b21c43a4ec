/**
 * A list of dispatches under way, with the tensors they need in between: element-wise kernels, and sums over rows.
 *
 * @module
 */
import { BufferUsage, type Dispatch, type Gpu } from "../gpu.ts";
import { type Plan, runPlans } from "../plan.ts";
import { f32Profile } from "../profile.ts";
import { Tensor } from "../tensor.ts";
import { assemble, type Binding, compileShader, dispatchItems, entryPerItem, storage } from "../wgsl.ts";
import { sumRows } from "./_backward_sum.ts";

/** Dispatches in order, and what they hold. */
export class Work {
  readonly gpu: Gpu;
  readonly #plans: Plan[] = [];
  readonly #held: { destroy(): void }[] = [];

  constructor(gpu: Gpu) {
    this.gpu = gpu;
  }

  /** A tensor that lives as long as this. */
  room(label: string, shape: readonly number[]): Tensor {
    return this.#kept(Tensor.empty(this.gpu, shape, { label }));
  }

  /** A tensor of numbers that lives as long as this. */
  filled(label: string, data: ArrayLike<number>, shape: readonly number[]): Tensor {
    return this.#kept(Tensor.from(this.gpu, data, shape, { label }));
  }

  #kept<T extends { destroy(): void }>(held: T): T {
    this.#held.push(held);
    return held;
  }

  /** Adds a plan, which is released with this. */
  plan(plan: Plan): void {
    this.#plans.push(plan);
  }

  #add(label: string, dispatches: readonly Dispatch[]): void {
    const none = { variant: "", bytes: 0, operations: 0, scratchBytes: 0, release: (): void => {} };
    this.#plans.push({ name: label, dispatches, ...none });
  }

  /**
   * A new tensor, number `id` of which is the WGSL expression `value`, after the statements of `before`; `sources` are the
   * arrays they name.
   */
  async map(
    label: string,
    shape: readonly number[],
    sources: { readonly [name: string]: Tensor },
    value: string,
    before: string = "",
  ): Promise<Tensor> {
    const target = this.room(label, shape);
    if (target.length === 0) return target;
    const count = this.#kept(this.gpu.upload(Uint32Array.of(target.length, 0, 0, 0), {
      label: `count of ${label}`,
      usage: BufferUsage.UNIFORM | BufferUsage.COPY_DST,
    }));
    const bindings: Binding[] = [
      { name: "count", access: "uniform", type: "vec4u" },
      ...Object.keys(sources).map((name) => storage(name, "f32")),
      storage("target_of", "f32", "read_write"),
    ];
    const source = f32Profile.prelude + entryPerItem("count.x", `${before}\n  target_of[id] = ${value};`);
    const kernel = await compileShader(this.gpu, assemble(label, { bindings, source }));
    const buffers = Object.fromEntries(Object.entries(sources).map(([name, { buffer }]) => [name, buffer]));
    this.#add(label, [dispatchItems(kernel, { count, ...buffers, target_of: target.buffer }, target.length)]);
    return target;
  }

  /** The sums over the rows of a tensor taken as [rows, columns]. */
  async sums(label: string, given: Tensor, rows: number, columns: number): Promise<Tensor> {
    const result = this.room(label, [columns]);
    const sum = await sumRows(this.gpu, { given: given.buffer, result: result.buffer, rows, columns });
    this.#kept(sum.scratch);
    this.#add(label, [sum.dispatch]);
    return result;
  }

  /** Runs all of it in one submit. */
  run(label: string): Promise<void> {
    return runPlans(this.gpu, label, this.#plans);
  }

  release(): void {
    for (const plan of this.#plans) plan.release();
    for (const held of this.#held) held.destroy();
  }
}
