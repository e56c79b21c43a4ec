/**
 * Texts of operations run on the GPU as they are called: each is recorded once per key and replayed from then on, one submit
 * a call.
 *
 * ```ts
 * const evaluator = new GpuEvaluator(gpu);
 * const [joined] = await evaluator.call("join", [earlier, later], [], (ops, [a, b]) => [ops.add(a, b)]);
 * ```
 *
 * Arguments are copied into the recorded program, and not again while they are the same; values that a body refers to
 * otherwise (weights) are read where they lie.
 *
 * @module
 */
import { InputError } from "../../models/error.ts";
import type { Evaluator, TensorOps } from "../../models/networks/ops.ts";
import type { Gpu } from "../gpu.ts";
import type { MatrixMode } from "../matrix_unit.ts";
import { lengthOf, Tensor } from "../tensor.ts";
import { BufferPool } from "./buffer_pool.ts";
import { GpuOps } from "./gpu_ops.ts";
import { Ids } from "./ids.ts";
import { type Copy, Program } from "./program.ts";
import { sameShape, shown } from "./shapes.ts";
import type { Slot } from "./slot.ts";
import { Value } from "./value.ts";

type Body = (ops: TensorOps<Value, Ids>, values: readonly Value[], ids: readonly Ids[]) => readonly Value[];

interface Recorded {
  readonly program: Program;
  readonly values: readonly Tensor[];
  readonly ids: readonly Ids[];
  readonly results: readonly Slot[];
  /** What the program's own arguments hold. */
  readonly held: (Value | Ids | undefined)[];
}

export interface EvaluatorOptions {
  /** How matrix products are computed; default: as `planMatmul` chooses for the device. */
  readonly mode?: MatrixMode;
}

export class GpuEvaluator implements Evaluator<Value, Ids> {
  readonly gpu: Gpu;
  readonly #options: EvaluatorOptions;
  readonly #pool: BufferPool;
  readonly #recorded = new Map<string, Recorded>();
  /** Every array handed out and not freed. */
  readonly #live = new Set<GPUBuffer>();
  /** Buffers of freed results, by their size. */
  readonly #free = new Map<number, GPUBuffer[]>();

  constructor(gpu: Gpu, options: EvaluatorOptions = {}) {
    this.gpu = gpu;
    this.#options = options;
    this.#pool = new BufferPool(gpu);
  }

  /** Bytes of the arrays that were handed out and not freed. */
  get liveBytes(): number {
    return [...this.#live].reduce((sum, { size }) => sum + size, 0);
  }

  async call(key: string, values: readonly Value[], ids: readonly Ids[], body: Body): Promise<readonly Value[]> {
    let recorded = this.#recorded.get(key);
    if (recorded === undefined) {
      recorded = this.#record(key, values, ids, body);
      this.#recorded.set(key, recorded);
    }
    expectArguments(key, recorded, values, ids);
    const { program, results } = recorded;
    await program.ready();
    const outputs = results.map(({ shape, length }) => new Tensor(this.gpu, this.#take(4 * length), shape));
    await program.run({
      before: this.#copies(recorded, values, ids),
      after: results.flatMap((slot, i) => copy(program.tensor(slot).buffer, outputs[i]!.buffer, slot.length)),
    });
    return outputs.map((tensor) => Value.of(tensor));
  }

  values(data: ArrayLike<number>, shape: readonly number[]): Value {
    const tensor = new Tensor(this.gpu, this.#take(4 * lengthOf(shape)), shape);
    tensor.write(data);
    return Value.of(tensor);
  }

  ids(data: ArrayLike<number>, shape: readonly number[]): Ids {
    const ids = new Ids(this.gpu, shape, this.#take(4 * lengthOf(shape)));
    ids.write(data);
    return ids;
  }

  async read({ slot: { storage: { fixed } } }: Value): Promise<Float32Array> {
    if (fixed === undefined) throw new InputError("Cannot read: the array must be a result, got one inside a body");
    return await fixed.read();
  }

  /** Gives an array back; the next result of its size takes its place. */
  free(x: Value | Ids): void {
    const buffer = x instanceof Ids ? x.buffer : x.slot.storage.fixed?.buffer;
    if (buffer === undefined || !this.#live.delete(buffer)) {
      throw new InputError("Cannot free: the array must be one of this evaluator's and not freed before");
    }
    const { size } = buffer;
    const same = this.#free.get(size);
    if (same === undefined) this.#free.set(size, [buffer]);
    else same.push(buffer);
  }

  /** Frees everything, results included. */
  close(): void {
    for (const { program, values, ids } of this.#recorded.values()) {
      program.close();
      for (const argument of [...values, ...ids]) argument.destroy();
    }
    this.#recorded.clear();
    this.#pool.destroy();
    for (const buffer of [...this.#live, ...[...this.#free.values()].flat()]) buffer.destroy();
    this.#live.clear();
    this.#free.clear();
  }

  #record(key: string, values: readonly Value[], ids: readonly Ids[], body: Body): Recorded {
    const { gpu } = this;
    const program = new Program(gpu, key, { pool: this.#pool });
    const own = values.map(({ shape }) => Tensor.empty(gpu, shape, { label: "argument" }));
    const ownIds = ids.map(({ shape }) => new Ids(gpu, shape));
    let results: readonly Value[];
    try {
      results = body(new GpuOps(program, this.#options), own.map((tensor) => Value.of(tensor)), ownIds);
    } catch (error) {
      program.close();
      for (const argument of [...own, ...ownIds]) argument.destroy();
      throw error;
    }
    for (const { slot } of results) program.keep(slot);
    return { program, values: own, ids: ownIds, results: results.map(({ slot }) => slot), held: [] };
  }

  #copies({ values: own, ids: ownIds, held }: Recorded, values: readonly Value[], ids: readonly Ids[]): Copy[] {
    const copies: Copy[] = [];
    const argument = (given: Value | Ids, at: number, from: GPUBuffer, to: GPUBuffer, length: number): void => {
      if (held[at] === given) return;
      held[at] = given;
      copies.push(...copy(from, to, length));
    };
    values.forEach((value, i) => argument(value, i, bufferOf(value), own[i]!.buffer, own[i]!.length));
    ids.forEach((each, i) => argument(each, values.length + i, each.buffer, ownIds[i]!.buffer, each.length));
    return copies;
  }

  #take(bytes: number): GPUBuffer {
    const size = Math.max(4, bytes);
    const buffer = this.#free.get(size)?.pop() ?? this.gpu.createBuffer({ bytes: size, label: "value" });
    this.#live.add(buffer);
    return buffer;
  }
}

function copy(from: GPUBuffer, to: GPUBuffer, length: number): Copy[] {
  return length === 0 ? [] : [{ from, to, bytes: 4 * length }];
}

function bufferOf({ slot: { storage: { fixed } } }: Value): GPUBuffer {
  if (fixed === undefined) throw new InputError("Cannot call: arguments must be results, got an array inside a body");
  return fixed.buffer;
}

function expectArguments(
  key: string,
  recorded: Recorded,
  values: readonly Value[],
  ids: readonly Ids[],
): void {
  for (const [own, given] of [[recorded.values, values], [recorded.ids, ids]] as const) {
    if (own.length === given.length && own.every(({ shape }, i) => sameShape(shape, given[i]!.shape))) continue;
    throw new InputError(
      `Cannot call ${key}: it was recorded for ${own.map(({ shape }) => shown(shape)).join(" ")}, got ${
        given.map(({ shape }) => shown(shape)).join(" ")
      }`,
    );
  }
}
