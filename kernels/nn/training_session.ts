/**
 * Training on the GPU: one recorded program per shape of batch, from tokens to updated parameters, and two numbers back.
 *
 * ```ts
 * const session = openTraining(gpu, network, { seed: 1 });
 * const { loss, gradientNorm } = await session.step(batch, 1e-4);
 * ```
 *
 * A step is submitted as soon as those called before it are, without waiting for their results: called one ahead, the host
 * encodes a step while the device computes the one before.
 *
 * The same seed and the same batches give the same parameters, bit for bit, on one device; so does a session that goes on
 * from a saved state.
 *
 * @module
 */
import { InputError } from "../../models/error.ts";
import type { TokenNetwork } from "../../models/networks/ops.ts";
import type {
  NamedArrays,
  OptimiserOptions,
  Predictions,
  StepOptions,
  StepProfile,
  StepResult,
  TokenBatch,
  TrainingSession,
} from "../../models/networks/training.ts";
import type { Gpu } from "../gpu.ts";
import type { MatrixMode } from "../matrix_unit.ts";
import { Tensor } from "../tensor.ts";
import { checkBatch } from "./_batch.ts";
import { StoredParameters } from "./_stored_parameters.ts";
import {
  pickedOf,
  type PredictProgram,
  recordPredict,
  recordStep,
  STEP_BYTES,
  type StepProgram,
  stepResult,
} from "./_training_programs.ts";
import { BufferPool } from "./buffer_pool.ts";
import { createKnobs } from "./knobs.ts";
import type { Readback } from "./readback.ts";
import { ReadbackRing } from "./readback_ring.ts";

export interface TrainingOptions {
  /** Of the parameters' first numbers and of dropout; default 0. A session that loads a state needs the same. */
  readonly seed?: number;
  readonly optimiser?: OptimiserOptions;
  /** How matrix products that are not small are computed on matrix units, f32 elsewhere; default: `split`. */
  readonly mode?: MatrixMode;
}

/** A network made ready to be trained. Throws an {@link InputError} if its parameters do not fit the device. */
export function openTraining(gpu: Gpu, network: TokenNetwork, options: TrainingOptions = {}): TrainingSession {
  return new Session(gpu, network, options);
}

class Session implements TrainingSession {
  readonly #gpu: Gpu;
  readonly #network: TokenNetwork;
  readonly #options: TrainingOptions;
  readonly #seed: number;
  readonly #parameters: StoredParameters;
  readonly #pool: BufferPool;
  readonly #knobs: GPUBuffer;
  readonly #halted: Tensor;
  readonly #readbacks: ReadbackRing;
  readonly #stepping = new Map<string, StepProgram>();
  readonly #predicting = new Map<string, PredictProgram>();
  #steps = 0;
  #peak = 0;
  /** Steps and predictions are submitted one at a time; a save takes all of its turn. */
  #turn: Promise<unknown> = Promise.resolve();
  /** Settles with the last step that was called; never rejects. */
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(gpu: Gpu, network: TokenNetwork, options: TrainingOptions) {
    const { seed = 0 } = options;
    if (!(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32)) {
      throw new InputError(`Cannot train: seed must be an integer in 0 … 2^32 − 1, got ${seed}`);
    }
    this.#gpu = gpu;
    this.#network = network;
    this.#options = options;
    this.#seed = seed;
    this.#parameters = new StoredParameters(gpu, network.parameters, seed);
    this.#pool = new BufferPool(gpu);
    this.#knobs = createKnobs(gpu);
    this.#halted = Tensor.empty(gpu, [1], { label: "halted" });
    this.#readbacks = new ReadbackRing(gpu, STEP_BYTES);
  }

  get steps(): number {
    return this.#steps;
  }

  get size(): number {
    return this.#parameters.size;
  }

  get bytes(): { readonly live: number; readonly peak: number } {
    const programs = [...this.#stepping.values(), ...this.#predicting.values()];
    const live = programs.reduce((sum, { bytes }) => sum + bytes, this.#parameters.bytes + this.#pool.bytes);
    this.#peak = Math.max(this.#peak, live);
    return { live: this.#closed ? 0 : live, peak: this.#peak };
  }

  step(batch: TokenBatch, rate: number, { ahead = false, dropout = true }: StepOptions = {}): Promise<StepResult> {
    const submitted = this.#inTurn("step", async () => {
      checkBatch(batch, this.#network.vocabulary);
      if (!(rate >= 0 && rate < Infinity)) {
        throw new InputError(`Cannot step: the learning rate must be finite and ≥ 0, got ${rate}`);
      }
      const program = this.#stepProgram(batch, dropout);
      await program.ready();
      const readback = await this.#readbacks.take();
      this.#assertOpen("step");
      if (!ahead) this.#resume();
      await this.#readbacks.guard(
        readback,
        program.submit(batch, { step: this.#steps, seed: this.#seed, rate }, readback),
      );
      this.#steps++;
      return readback;
    });
    const result = this.#result(submitted, this.#last);
    this.#last = result.catch(() => {});
    return result;
  }

  profile(batch: TokenBatch): Promise<StepProfile> {
    return this.#inTurn("profile", () => {
      checkBatch(batch, this.#network.vocabulary);
      this.#resume();
      return this.#stepProgram(batch).profile(batch, { step: this.#steps, seed: this.#seed, rate: 0 });
    });
  }

  predict(batch: TokenBatch): Promise<Predictions> {
    return this.#inTurn("predict", () => {
      checkBatch(batch, this.#network.vocabulary);
      return this.#programFor(this.#predicting, batch, () => recordPredict(this.#parts(), batch)).submit(batch);
    }).then((result) => result());
  }

  state(): Promise<{ readonly steps: number; readonly arrays: NamedArrays }> {
    const last = this.#last;
    return this.#inTurn("save", async () => {
      await last;
      return { steps: this.#steps, arrays: await this.#parameters.read() };
    });
  }

  load({ steps, arrays }: { readonly steps: number; readonly arrays: NamedArrays }): void {
    if (!(Number.isSafeInteger(steps) && steps >= 0)) {
      throw new InputError(`Cannot load: steps must be an integer ≥ 0, got ${steps}`);
    }
    this.#parameters.write(arrays);
    this.#resume();
    this.#steps = steps;
  }

  close(): void {
    if (this.#closed) return;
    void this.bytes;
    this.#closed = true;
    for (const program of [...this.#stepping.values(), ...this.#predicting.values()]) program.close();
    this.#parameters.destroy();
    this.#pool.destroy();
    this.#knobs.destroy();
    this.#halted.destroy();
    this.#readbacks.destroy();
  }

  #parts(): Parameters<typeof recordStep>[0] {
    return {
      gpu: this.#gpu,
      network: this.#network,
      parameters: this.#parameters,
      pool: this.#pool,
      knobs: this.#knobs,
      halted: this.#halted,
      ...this.#options,
    };
  }

  #stepProgram(batch: TokenBatch, dropout = true): StepProgram {
    const kind = { dropout, picked: pickedOf(batch) };
    return this.#programFor(this.#stepping, batch, () => recordStep(this.#parts(), batch, kind), JSON.stringify(kind));
  }

  /** Lets steps submitted from now on change parameters, whatever became of those before. */
  #resume(): void {
    this.#gpu.write(this.#halted.buffer, new Uint32Array(1));
  }

  /** The result of a step, known after those before it are. */
  async #result(submitted: Promise<Readback>, before: Promise<unknown>): Promise<StepResult> {
    try {
      const result = stepResult(await this.#readbacks.read(await submitted));
      if (!Number.isFinite(result.gradientNorm)) this.#steps--;
      return result;
    } finally {
      await before;
    }
  }

  #programFor<P>(programs: Map<string, P>, { B, n }: TokenBatch, record: () => P, kind = ""): P {
    const key = `${B} ${n} ${kind}`;
    const known = programs.get(key);
    if (known !== undefined) return known;
    const program = record();
    programs.set(key, program);
    return program;
  }

  #assertOpen(what: string): void {
    if (this.#closed) throw new InputError(`Cannot ${what}: the session must be open, it was closed`);
  }

  #inTurn<T>(what: string, work: () => Promise<T>): Promise<T> {
    const next = this.#turn.then(() => {
      this.#assertOpen(what);
      return work();
    });
    this.#turn = next.catch(() => {});
    return next;
  }
}
