/** The two programs of a training session for batches of one shape: a step of the optimiser, and predictions. */
import { headOf } from "../../models/networks/head.ts";
import type { TokenNetwork } from "../../models/networks/ops.ts";
import type {
  OptimiserOptions,
  Predictions,
  StepProfile,
  StepResult,
  TokenBatch,
} from "../../models/networks/training.ts";
import type { Gpu } from "../gpu.ts";
import type { MatrixMode } from "../matrix_unit.ts";
import { Tensor } from "../tensor.ts";
import { scores } from "./_loss.ts";
import type { StoredParameters } from "./_stored_parameters.ts";
import { recordUpdate } from "./_update.ts";
import type { BufferPool } from "./buffer_pool.ts";
import { GpuOps } from "./gpu_ops.ts";
import { Ids } from "./ids.ts";
import type { Knobs } from "./knobs.ts";
import { Program } from "./program.ts";
import { profileProgram } from "./program_profile.ts";
import type { Readback } from "./readback.ts";
import { ReadbackRing } from "./readback_ring.ts";
import { Value } from "./value.ts";

/** What the programs of a session share. */
export interface SessionParts {
  readonly gpu: Gpu;
  readonly network: TokenNetwork;
  readonly parameters: StoredParameters;
  readonly pool: BufferPool;
  readonly knobs: GPUBuffer;
  /** `[1]`, a word: whether a step was not finite, and those that count on it are to change nothing. */
  readonly halted: Tensor;
  readonly optimiser?: OptimiserOptions;
  readonly mode?: MatrixMode;
}

interface Recorded {
  /** On the device, without the pool's. */
  readonly bytes: number;
  close(): void;
}

/** Bytes that a step brings back. */
export const STEP_BYTES = 8;

export interface StepProgram extends Recorded {
  ready(): Promise<void>;
  /** Resolves when the device has accepted it; `readback` then gets the result. */
  submit(batch: TokenBatch, knobs: Knobs, readback: Readback): Promise<void>;
  profile(batch: TokenBatch, knobs: Knobs): Promise<StepProfile>;
}

/** What came back of a step. */
export function stepResult(bytes: ArrayBuffer): StepResult {
  const [loss, gradientNorm] = new Float32Array(bytes) as unknown as [number, number];
  return { loss, gradientNorm };
}

export interface PredictProgram extends Recorded {
  /** Resolves when the device has accepted it, to what waits for the result. */
  submit(batch: TokenBatch): Promise<() => Promise<Predictions>>;
}

type Shape = Pick<TokenBatch, "B" | "n">;

/**
 * How many tokens a step has to predict something for, if that is so few that they are better picked out first: rounded up to
 * a power of two, so that few programs serve all batches of a shape. Undefined if all are taken.
 */
export function pickedOf({ weights }: TokenBatch): number | undefined {
  const asked = weights.reduce((count, weight) => count + Number(weight > 0), 0);
  const room = 2 ** Math.ceil(Math.log2(Math.max(1, asked)));
  return 2 * room <= weights.length ? room : undefined;
}

/** A batch on the device. */
class Batch {
  readonly tokens: Ids;
  readonly targets: Ids;
  readonly weights: Tensor;
  /** Which tokens the targets belong to, if not to all. */
  readonly places: Ids | undefined;

  constructor(gpu: Gpu, { B, n }: Shape, picked: number | undefined) {
    this.tokens = new Ids(gpu, [B, n]);
    const shape = picked === undefined ? [B, n] : [picked];
    this.targets = new Ids(gpu, shape);
    this.weights = Tensor.empty(gpu, shape, { label: "weights" });
    this.places = picked === undefined ? undefined : new Ids(gpu, shape);
  }

  get bytes(): number {
    return 4 * (this.tokens.length + (this.places === undefined ? 2 : 3) * this.weights.length);
  }

  write({ tokens, targets, weights }: TokenBatch): void {
    this.tokens.write(tokens);
    // A target that has no weight may be negative.
    const ids = targets.map((id, i) => weights[i]! > 0 ? id : 0);
    if (this.places === undefined) {
      this.targets.write(ids);
      this.weights.write(weights);
      return;
    }
    const at = new Uint32Array(this.places.length);
    let count = 0;
    weights.forEach((weight, i) => {
      if (weight > 0) at[count++] = i;
    });
    this.places.write(at);
    this.targets.write(at.map((i) => ids[i]!));
    // What is beyond them belongs to the first token, and counts nothing.
    this.weights.write(Float32Array.from(at, (i, n) => n < count ? weights[i]! : 0));
  }

  destroy(): void {
    for (const each of [this.tokens, this.targets, this.weights, this.places]) each?.destroy();
  }
}

interface Begun {
  readonly program: Program;
  readonly ops: GpuOps;
  readonly batch: Batch;
  readonly values: { readonly [name: string]: Value };
  readonly hidden: Value;
  readonly head: Value;
}

interface Kind {
  readonly training: boolean;
  readonly dropout: boolean;
  readonly picked: number | undefined;
}

function begin(parts: SessionParts, shape: Shape, { training, dropout, picked }: Kind): Begun {
  const { gpu, network, parameters, pool, knobs, mode } = parts;
  const what = `${training ? "step" : "predict"} ${network.name} ${shape.B}x${shape.n}`;
  const program = new Program(gpu, what, { pool, knobs });
  const ops = new GpuOps(program, { training, dropout, ...(mode && { mode }) });
  const batch = new Batch(gpu, shape, picked);
  try {
    const values = parameters.values(training);
    const all = network.hidden<Value, Ids>(ops, values, batch.tokens);
    const rows = [shape.B * shape.n, all.shape.at(-1)!];
    const hidden = batch.places === undefined ? all : ops.embedding(ops.reshape(all, rows), batch.places);
    return { program, ops, batch, values, hidden, head: headOf(network, ops, values) };
  } catch (error) {
    batch.destroy();
    program.close();
    throw error;
  }
}

export function recordStep(parts: SessionParts, shape: Shape, kind: Omit<Kind, "training">): StepProgram {
  const { parameters, halted, optimiser = {} } = parts;
  const { program, ops, batch, values, hidden, head } = begin(parts, shape, { ...kind, training: true });
  const loss = ops.crossEntropy(hidden, head, batch.targets, Value.of(batch.weights));
  ops.backward(loss);
  const norm = recordUpdate(ops, { parameters, values, loss, halted, optimiser });
  program.keep(loss.slot);
  program.keep(norm);
  return {
    get bytes() {
      return program.bytes + batch.bytes;
    },
    ready: () => program.ready(),
    async submit(given, knobs, readback) {
      await program.ready();
      batch.write(given);
      program.setKnobs(knobs);
      const copy = { to: readback.buffer, bytes: 4 };
      await program.run({
        after: [
          { ...copy, from: program.tensor(loss.slot).buffer },
          { ...copy, from: program.tensor(norm).buffer, offset: 4 },
        ],
      });
    },
    async profile(given, knobs) {
      await program.ready();
      batch.write(given);
      program.setKnobs(knobs);
      return await profileProgram(program);
    },
    close() {
      program.close();
      batch.destroy();
    },
  };
}

export function recordPredict(parts: SessionParts, shape: Shape): PredictProgram {
  const { gpu } = parts;
  const { program, ops, batch, hidden, head } = begin(parts, shape, {
    training: false,
    dropout: false,
    picked: undefined,
  });
  const weights = Value.of(batch.weights);
  const { losses, best, margins } = scores(ops, { x: hidden, head, targets: batch.targets, weights });
  const results = [losses, best, margins];
  results.forEach((slot) => program.keep(slot));
  const bytes = 4 * shape.B * shape.n;
  const readbacks = new ReadbackRing(gpu, results.length * bytes);
  return {
    get bytes() {
      return program.bytes + batch.bytes + readbacks.bytes;
    },
    async submit(given) {
      await program.ready();
      batch.write(given);
      const readback = await readbacks.take();
      const after = results.map((slot, i) => ({
        from: program.tensor(slot).buffer,
        to: readback.buffer,
        bytes,
        offset: i * bytes,
      }));
      await readbacks.guard(readback, program.run({ after }));
      return async () => {
        const back = await readbacks.read(readback);
        return {
          losses: new Float32Array(back, 0, bytes / 4),
          best: new Uint32Array(back, bytes, bytes / 4),
          margins: new Float32Array(back, 2 * bytes, bytes / 4),
        };
      };
    },
    close() {
      program.close();
      batch.destroy();
      readbacks.destroy();
    },
  };
}
