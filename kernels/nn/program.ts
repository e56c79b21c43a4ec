/**
 * Kernels recorded once, for fixed shapes, and replayed any number of times in one submit.
 *
 * ```ts
 * const program = new Program(gpu, "double");
 * const x = Slot.of(input);
 * const y = program.slot(x.shape);
 * program.step("double", [x], [y], (at) => planDouble(gpu, at.tensor(x), at.tensor(y)));
 * program.keep(y);
 * await program.ready();
 * await program.run();
 * ```
 *
 * Recording allocates nothing: a step says which slots it reads and writes. Only when all is recorded the program gives
 * slots their buffers, each from the step that first writes it to the last that uses it, and makes the steps' plans. Bind
 * groups are made once, so that a replay is one pass and one submit; a long program is submitted in a few pieces, so that the
 * device begins while the host still encodes (500 dispatches take Dawn under Node 1.5 ms to encode and 0.3 ms to submit).
 *
 * @module
 */
import { BufferUsage, checkWorkgroups, type Dispatch, foldWorkgroups, type Gpu } from "../gpu.ts";
import { Tensor } from "../tensor.ts";
import { type Bound, type Copy, encodeCopies, encodePass } from "./_encode.ts";
import { profileSteps, type StepTime } from "./_profile.ts";
import { BufferPool, type Lending } from "./buffer_pool.ts";
import { createKnobs, type Knobs, writeKnobs } from "./knobs.ts";
import { Slot, type Storage } from "./slot.ts";

export type { Copy } from "./_encode.ts";
export type { StepTime } from "./_profile.ts";

/** What a step's plan is made from. */
export interface Placement {
  /** Where a slot of the step lies. */
  tensor(slot: Slot): Tensor;
  /** A buffer for the duration of the step; to be asked for before the step's function returns or first waits. */
  scratch(bytes: number): GPUBuffer;
  /** A buffer for the step and those behind it, until one of them {@linkcode release}s it; to be asked for as early. */
  lasting(bytes: number): GPUBuffer;
  /** Frees such a buffer for what comes after the step; as early. */
  release(buffer: GPUBuffer): void;
  /** A uniform buffer of these words, shared with whoever asks for the same. */
  uniform(words: Uint32Array): GPUBuffer;
  /** A storage buffer of these words, likewise shared. */
  constant(words: Uint32Array): GPUBuffer;
  readonly knobs: GPUBuffer;
}

/** A plan, or as much of one as a program needs. */
export interface Prepared {
  readonly dispatches: readonly Dispatch[];
  /** Of buffers that it made for itself. */
  readonly scratchBytes?: number;
  release?(): void;
}

/** Dispatches of a submit. */
const PIECE = 128;

export interface StepOptions {
  /** Whether the step may be left out if no other reads what it writes and nobody keeps it. Default false. */
  readonly optional?: boolean;
}

interface Step extends StepOptions {
  readonly name: string;
  readonly writes: readonly Slot[];
  /** What it writes, and reads. */
  readonly slots: readonly Slot[];
  readonly prepare: (at: Placement) => Prepared | Promise<Prepared>;
}

export interface ProgramOptions {
  /** Default: one of its own, destroyed with it. Programs that share one must not run at the same time. */
  readonly pool?: BufferPool;
  /** Default: one of its own. */
  readonly knobs?: GPUBuffer;
  /** About how many dispatches go into one submit; default 128, all where the device computes on the host. */
  readonly piece?: number;
}

export class Program {
  readonly gpu: Gpu;
  readonly label: string;
  readonly #pool: BufferPool;
  readonly #ownPool: boolean;
  readonly #knobs: GPUBuffer;
  readonly #piece: number;
  readonly #owned: GPUBuffer[] = [];
  #steps: Step[] = [];
  readonly #kept = new Set<Storage>();
  readonly #places = new Map<Storage, GPUBuffer>();
  readonly #constants = new Map<string, GPUBuffer>();
  /** Bytes of `#owned`: asking every buffer for its size takes as long as a short program. */
  #ownedBytes = 0;
  #prepared: Prepared[] = [];
  /** Bytes of plans' scratch. */
  #scratchBytes = 0;
  #bound: Bound[] = [];
  #ready: Promise<void> | undefined;
  #accepted = false;

  constructor(gpu: Gpu, label: string, options: ProgramOptions = {}) {
    this.gpu = gpu;
    this.label = label;
    this.#pool = options.pool ?? new BufferPool(gpu);
    this.#ownPool = options.pool === undefined;
    this.#knobs = options.knobs ?? createKnobs(gpu);
    this.#piece = options.piece ?? (gpu.adapter.software ? Infinity : PIECE);
    if (options.knobs === undefined) this.#own(this.#knobs);
  }

  /** A new array, undefined until a step writes it. */
  slot(shape: readonly number[]): Slot {
    return new Slot({ length: shape.reduce((product, extent) => product * extent, 1), fixed: undefined }, shape);
  }

  /** Lets a slot's numbers outlive the run: it gets a buffer of its own. */
  keep(slot: Slot): void {
    if (slot.storage.fixed === undefined) this.#kept.add(slot.storage);
  }

  /** Records a step. Steps run in the order of recording, each seeing what those before it wrote. */
  step(
    name: string,
    reads: readonly Slot[],
    writes: readonly Slot[],
    prepare: (at: Placement) => Prepared | Promise<Prepared>,
    options: StepOptions = {},
  ): void {
    if (this.#ready !== undefined) throw new Error(`Cannot record ${name} in ${this.label}: it is ready to run`);
    this.#steps.push({ name, writes, slots: [...reads, ...writes], prepare, ...options });
  }

  /** Where a kept or fixed slot lies. */
  tensor(slot: Slot): Tensor {
    const { fixed } = slot.storage;
    if (fixed !== undefined) return fixed.shape === slot.shape ? fixed : new Tensor(this.gpu, fixed.buffer, slot.shape);
    const buffer = this.#places.get(slot.storage);
    if (buffer === undefined) throw new Error(`Cannot find an array of ${this.label}: no step has written it`);
    return new Tensor(this.gpu, buffer, slot.shape);
  }

  /** Names of the steps with the number of their dispatches, once {@linkcode ready}. */
  get steps(): readonly { readonly name: string; readonly dispatches: number }[] {
    return this.#steps.map(({ name }, i) => ({ name, dispatches: this.#prepared[i]?.dispatches.length ?? 0 }));
  }

  get dispatches(): number {
    return this.#bound.length;
  }

  /** Bytes that are this program's own: kept arrays, uniforms and plans' scratch, without the pool. */
  get bytes(): number {
    return this.#ownedBytes + this.#scratchBytes;
  }

  /** Places all arrays and compiles all kernels. Rejects with the first error of a plan. */
  ready(): Promise<void> {
    this.#ready ??= this.#prepare();
    return this.#ready;
  }

  /** Submits the copies before, the kernels, and the copies after. Resolves when the device has accepted it. */
  async run(options: { readonly before?: readonly Copy[]; readonly after?: readonly Copy[] } = {}): Promise<void> {
    await this.ready();
    const { before = [], after = [] } = options;
    // What is accepted once is so every time: error scopes are for the first.
    if (this.#accepted) return this.#submit(before, after);
    await this.gpu.checked(`run ${this.label}`, () => this.#submit(before, after));
    this.#accepted = true;
  }

  /**
   * Runs once with every step in a pass of its own and returns how long each took on the device. For finding out where the
   * time goes: apart, steps take longer than together. Throws an {@link InputError} without the feature `timestamp-query`.
   */
  async profile(): Promise<readonly StepTime[]> {
    await this.ready();
    return await profileSteps(this.gpu, this.label, this.#steps.map(({ name }) => name), this.#bound);
  }

  setKnobs(knobs: Knobs): void {
    writeKnobs(this.gpu, this.#knobs, knobs);
  }

  close(): void {
    for (const { release } of this.#prepared) release?.();
    for (const buffer of this.#owned) buffer.destroy();
    if (this.#ownPool) this.#pool.destroy();
    this.#prepared = [];
    this.#bound = [];
    this.#owned.length = 0;
    this.#ownedBytes = 0;
    this.#scratchBytes = 0;
  }

  #submit(before: readonly Copy[], after: readonly Copy[]): void {
    const { device } = this.gpu;
    const { label } = this;
    const count = this.#bound.length;
    const piece = Math.max(1, Math.ceil(count / Math.max(1, Math.round(count / this.#piece))));
    for (let first = 0; first <= Math.max(0, count - 1); first += piece) {
      const encoder = device.createCommandEncoder({ label });
      if (first === 0) encodeCopies(encoder, before);
      encodePass(encoder, label, this.#bound.slice(first, first + piece));
      if (first + piece >= count) encodeCopies(encoder, after);
      device.queue.submit([encoder.finish()]);
    }
  }

  async #prepare(): Promise<void> {
    const pending: Promise<Prepared>[] = [];
    this.#leaveOut();
    try {
      this.#place((prepared) => pending.push(prepared));
      this.#prepared = await Promise.all(pending);
      this.#scratchBytes = this.#prepared.reduce((sum, { scratchBytes = 0 }) => sum + scratchBytes, 0);
      await this.gpu.checked(`bind ${this.label}`, () => {
        this.#bound = this.#prepared.flatMap(({ dispatches }, step) =>
          dispatches.flatMap((each) => this.#bind(each, step))
        );
      });
    } catch (error) {
      const made = await Promise.allSettled(pending);
      for (const one of made) if (one.status === "fulfilled") one.value.release?.();
      this.#prepared = [];
      this.#scratchBytes = 0;
      throw error;
    }
  }

  /** Optional steps for whose results there is no use. */
  #leaveOut(): void {
    const used = new Set(this.#kept);
    // From the last to the first: what is read is known by then.
    const steps = this.#steps.toReversed().filter(({ optional = false, writes, slots }) => {
      if (optional && !writes.some(({ storage }) => storage.fixed !== undefined || used.has(storage))) return false;
      slots.forEach(({ storage }) => used.add(storage));
      return true;
    });
    this.#steps = steps.toReversed();
  }

  /** Gives slots their buffers, step by step, and starts the plans. */
  #place(start: (prepared: Promise<Prepared>) => void): void {
    const last = new Map<Storage, number>();
    this.#steps.forEach(({ slots }, i) => slots.forEach(({ storage }) => last.set(storage, i)));
    const lending = this.#pool.lend();
    this.#steps.forEach(({ slots, prepare }, i) => {
      const storages = new Set(slots.map(({ storage }) => storage));
      for (const storage of storages) this.#placeOne(storage, lending);
      const scratch: GPUBuffer[] = [];
      let open = true;
      const prepared = prepare({
        tensor: (slot) => this.tensor(slot),
        scratch: (bytes) => {
          const buffer = open ? lending.take(bytes) : this.#create(bytes, "scratch");
          if (open) scratch.push(buffer);
          return buffer;
        },
        lasting: (bytes) => {
          if (!open) {
            throw new Error(`Cannot lend a lasting buffer in ${this.label}: the step must ask before it waits`);
          }
          return lending.take(bytes);
        },
        release: (buffer) => {
          if (!open) throw new Error(`Cannot release a buffer in ${this.label}: the step must do so before it waits`);
          scratch.push(buffer);
        },
        uniform: (words) => this.#words(words, BufferUsage.UNIFORM),
        constant: (words) => this.#words(words, BufferUsage.STORAGE),
        knobs: this.#knobs,
      });
      open = false;
      start(Promise.resolve(prepared));
      scratch.forEach(lending.give);
      for (const storage of storages) {
        if (last.get(storage) !== i || storage.fixed !== undefined || this.#kept.has(storage)) continue;
        lending.give(this.#places.get(storage)!);
      }
    });
  }

  #placeOne(storage: Storage, lending: Lending): void {
    if (storage.fixed !== undefined || this.#places.has(storage)) return;
    const bytes = Math.max(4, 4 * storage.length);
    this.#places.set(storage, this.#kept.has(storage) ? this.#create(bytes, "kept") : lending.take(bytes));
  }

  #own(buffer: GPUBuffer): GPUBuffer {
    this.#owned.push(buffer);
    this.#ownedBytes += buffer.size;
    return buffer;
  }

  #create(bytes: number, label: string): GPUBuffer {
    return this.#own(this.gpu.createBuffer({ bytes, label }));
  }

  #words(words: Uint32Array, usage: number): GPUBuffer {
    const key = `${usage}:${words.join()}`;
    let buffer = this.#constants.get(key);
    if (buffer === undefined) {
      buffer = this.#own(this.gpu.upload(words, { label: "sizes", usage: usage | BufferUsage.COPY_DST }));
      this.#constants.set(key, buffer);
    }
    return buffer;
  }

  #bind({ pipeline, buffers, workgroups }: Dispatch, step: number): Bound[] {
    const limit = this.gpu.limits.maxComputeWorkgroupsPerDimension;
    const [x, y = 1, z = 1] = typeof workgroups === "number" ? foldWorkgroups(workgroups, limit) : workgroups;
    checkWorkgroups(this.label, [x, y, z], limit);
    return x * y * z === 0 ? [] : [{ step, pipeline, group: this.gpu.bind(pipeline, buffers), grid: [x, y, z] }];
  }
}
