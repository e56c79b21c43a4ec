/** The two programs of a training session for batches of one shape: a step of the optimiser, and predictions. */
import type { TokenNetwork } from "../../models/networks/ops.ts";
import type { OptimiserOptions, Predictions, StepResult, TokenBatch } from "../../models/networks/training.ts";
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

/** A batch on the device. */
class Batch {
  readonly tokens: Ids;
  readonly targets: Ids;
  readonly weights: Tensor;

  constructor(gpu: Gpu, { B, n }: Shape) {
    this.tokens = new Ids(gpu, [B, n]);
    this.targets = new Ids(gpu, [B, n]);
    this.weights = Tensor.empty(gpu, [B, n], { label: "weights" });
  }

  get bytes(): number {
    return 3 * this.weights.bytes;
  }

  write({ tokens, targets, weights }: TokenBatch): void {
    this.tokens.write(tokens);
    // A target that has no weight may be negative.
    this.targets.write(targets.map((id, i) => weights[i]! > 0 ? id : 0));
    this.weights.write(weights);
  }

  destroy(): void {
    for (const each of [this.tokens, this.targets, this.weights]) each.destroy();
  }
}

interface Begun {
  readonly program: Program;
  readonly ops: GpuOps;
  readonly batch: Batch;
  readonly values: { readonly [name: string]: Value };
  readonly hidden: Value;
}

function begin(parts: SessionParts, shape: Shape, training: boolean, dropout: boolean): Begun {
  const { gpu, network, parameters, pool, knobs, mode } = parts;
  const what = `${training ? "step" : "predict"} ${network.name} ${shape.B}x${shape.n}`;
  const program = new Program(gpu, what, { pool, knobs });
  const ops = new GpuOps(program, { training, dropout, ...(mode && { mode }) });
  const batch = new Batch(gpu, shape);
  try {
    const values = parameters.values(training);
    return { program, ops, batch, values, hidden: network.hidden<Value, Ids>(ops, values, batch.tokens) };
  } catch (error) {
    batch.destroy();
    program.close();
    throw error;
  }
}

export function recordStep(parts: SessionParts, shape: Shape, dropout: boolean): StepProgram {
  const { parameters, halted, optimiser = {} } = parts;
  const { program, ops, batch, values, hidden } = begin(parts, shape, true, dropout);
  const loss = ops.crossEntropy(hidden, values["head"]!, batch.targets, Value.of(batch.weights));
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
    close() {
      program.close();
      batch.destroy();
    },
  };
}

export function recordPredict(parts: SessionParts, shape: Shape): PredictProgram {
  const { gpu } = parts;
  const { program, ops, batch, values, hidden } = begin(parts, shape, false, false);
  const weights = Value.of(batch.weights);
  const { losses, best, margins } = scores(ops, { x: hidden, head: values["head"]!, targets: batch.targets, weights });
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
