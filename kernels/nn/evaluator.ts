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
 * otherwise (weights) are read where they lie. A cache that a body brings up to date stays in the program until another takes
 * its place there, so that a stream's next token copies none of it.
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

interface Shaped {
  readonly shape: readonly number[];
}

interface Recorded {
  readonly program: Program;
  readonly values: readonly Tensor[];
  readonly ids: readonly Ids[];
  readonly results: readonly Slot[];
  /** Of each result, the argument that it is, brought up to date. */
  readonly updates: readonly (number | undefined)[];
  /** What the program's own arguments hold. */
  readonly held: (Value | Ids | undefined)[];
}

/** Where a value's numbers are as long as they are not in its own buffer: in an argument of a program. */
interface Place {
  readonly recorded: Recorded;
  readonly at: number;
}

export interface EvaluatorOptions {
  /** How matrix products that are not small are computed on matrix units, f32 elsewhere; default: `split`. */
  readonly mode?: MatrixMode;
}

export class GpuEvaluator implements Evaluator<Value, Ids> {
  readonly gpu: Gpu;
  readonly #options: EvaluatorOptions;
  readonly #pool: BufferPool;
  readonly #recorded = new Map<string, Recorded>();
  /** Every array handed out and not freed. */
  readonly #live = new Set<GPUBuffer>();
  readonly #away = new Map<Value, Place>();
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

  /** Programs recorded so far. */
  get programs(): number {
    return this.#recorded.size;
  }

  async call(key: string, values: readonly Value[], ids: readonly Ids[], body: Body): Promise<readonly Value[]> {
    const recorded = this.#known(key, values, ids, body);
    expectArguments(key, recorded, values, ids);
    const { program, results, updates } = recorded;
    await program.ready();
    const before = this.#copies(recorded, values, ids);
    const after: Copy[] = [];
    const outputs = results.map((slot, i) => {
      const argument = updates[i];
      if (argument !== undefined) return this.#moved(values[argument]!, { recorded, at: argument });
      const tensor = new Tensor(this.gpu, this.#take(4 * slot.length), slot.shape);
      after.push(...copy(program.tensor(slot).buffer, tensor.buffer, slot.length));
      return Value.of(tensor);
    });
    await program.run({ before, after });
    return outputs;
  }

  async prepare(key: string, shapes: readonly (readonly number[])[], body: Body): Promise<void> {
    await this.#known(key, shapes.map((shape) => ({ shape })), [], body).program.ready();
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

  async read(x: Value): Promise<Float32Array> {
    const { fixed } = x.slot.storage;
    if (fixed === undefined) throw new InputError("Cannot read: the array must be a result, got one inside a body");
    const place = this.#away.get(x);
    return await (place === undefined ? fixed : place.recorded.values[place.at]!).read();
  }

  /** Gives an array back; the next result of its size takes its place. */
  free(x: Value | Ids): void {
    const buffer = x instanceof Ids ? x.buffer : x.slot.storage.fixed?.buffer;
    if (buffer === undefined || !this.#live.delete(buffer)) {
      throw new InputError("Cannot free: the array must be one of this evaluator's and not freed before");
    }
    if (x instanceof Value) this.#away.delete(x);
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
    this.#away.clear();
    this.#pool.destroy();
    for (const buffer of [...this.#live, ...[...this.#free.values()].flat()]) buffer.destroy();
    this.#live.clear();
    this.#free.clear();
  }

  /** What was recorded under the key, or is now. */
  #known(key: string, values: readonly Shaped[], ids: readonly Shaped[], body: Body): Recorded {
    let recorded = this.#recorded.get(key);
    if (recorded === undefined) {
      recorded = this.#record(key, values, ids, body);
      this.#recorded.set(key, recorded);
    }
    return recorded;
  }

  #record(key: string, values: readonly Shaped[], ids: readonly Shaped[], body: Body): Recorded {
    const { gpu } = this;
    const program = new Program(gpu, key, { pool: this.#pool });
    const own = values.map(({ shape }) => Tensor.empty(gpu, shape, { label: "argument" }));
    const ownIds = ids.map(({ shape }) => new Ids(gpu, shape));
    const ops = new GpuOps(program, this.#options);
    let results: readonly Value[];
    try {
      results = body(ops, own.map((tensor) => Value.of(tensor)), ownIds);
    } catch (error) {
      program.close();
      for (const argument of [...own, ...ownIds]) argument.destroy();
      throw error;
    }
    for (const { slot } of results) program.keep(slot);
    const updates = results.map(({ slot: { storage } }) => {
      const at = ops.updated.has(storage) ? own.findIndex((tensor) => tensor === storage.fixed) : -1;
      return at < 0 ? undefined : at;
    });
    return { program, values: own, ids: ownIds, results: results.map(({ slot }) => slot), updates, held: [] };
  }

  /** The value, whose numbers are now at the place: what other programs hold of it is old. */
  #moved(value: Value, place: Place): Value {
    const before = this.#away.get(value);
    if (before?.recorded === place.recorded && before.at === place.at) return value;
    this.#away.set(value, place);
    for (const recorded of this.#recorded.values()) {
      recorded.held.forEach((held, at) => {
        if (held === value && !(recorded === place.recorded && at === place.at)) recorded.held[at] = undefined;
      });
    }
    return value;
  }

  #bufferOf(value: Value): GPUBuffer {
    const place = this.#away.get(value);
    return place === undefined ? bufferOf(value) : place.recorded.values[place.at]!.buffer;
  }

  #copies(recorded: Recorded, values: readonly Value[], ids: readonly Ids[]): Copy[] {
    const { values: own, ids: ownIds, held } = recorded;
    const copies: Copy[] = [];
    const argument = (given: Value | Ids, at: number, from: GPUBuffer, to: GPUBuffer, length: number): void => {
      const last = held[at];
      if (last === given) return;
      if (last instanceof Value) {
        const place = this.#away.get(last);
        // The numbers of the last one are nowhere else.
        if (place?.recorded === recorded && place.at === at) {
          copies.push(...copy(to, bufferOf(last), length));
          this.#away.delete(last);
        }
      }
      held[at] = given;
      copies.push(...copy(from, to, length));
    };
    values.forEach((value, i) => argument(value, i, this.#bufferOf(value), own[i]!.buffer, own[i]!.length));
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
