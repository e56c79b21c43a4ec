/**
 * What training needs of a device: steps of an optimiser on batches of tokens, predictions, and a state to save. The loop,
 * its schedule and its checkpoints (tasks/train/) know no more of a network than this.
 *
 * @module
 */

/** Sequences of one length, `[B, n]` row-major. */
export interface TokenBatch {
  readonly B: number;
  readonly n: number;
  /** Ids < the vocabulary's size. */
  readonly tokens: Int32Array | Uint32Array;
  /** What is to be predicted at each token. */
  readonly targets: Int32Array | Uint32Array;
  /** ≥ 0; 0 where nothing is to be predicted. */
  readonly weights: Float32Array;
}

/** One step of an optimiser. */
export interface StepResult {
  /** Σ w·(−log p[target]) / Σ w, in nats, before the step. */
  readonly loss: number;
  /** Euclidean norm of all gradients, before clipping; not finite if the step was not taken. */
  readonly gradientNorm: number;
}

/** What a network makes of every token, `[B, n]` each. */
export interface Predictions {
  /** The id of the largest logit. */
  readonly best: Uint32Array;
  /** −log p[target], in nats. */
  readonly losses: Float32Array;
  /** Largest logit minus the second largest. */
  readonly margins: Float32Array;
}

/** Arrays by name with their shapes: parameters `parameter.NAME`, an optimiser's moments `first.NAME`, `second.NAME`. */
export type NamedArrays = {
  readonly [name: string]: { readonly shape: readonly number[]; readonly data: Float32Array };
};

/** AdamW (arXiv 1711.05101), its gradient clipped by its norm. */
export interface OptimiserOptions {
  /** Default 0.9. */
  readonly beta1?: number;
  /** Default 0.999. */
  readonly beta2?: number;
  /** Default 1e-8. */
  readonly epsilon?: number;
  /** Default 0.01; for the parameters whose spec says so. */
  readonly weightDecay?: number;
  /** Largest norm of the gradient; default 1. */
  readonly clip?: number;
}

export interface StepOptions {
  /**
   * Whether the step is to count on the one before it: had that one's loss or norm not been finite, this one too changes
   * nothing, and its norm is not finite. For a caller who has not seen the result of the step before; default false.
   */
  readonly ahead?: boolean;
  /** Whether the network's dropout drops anything; default true. */
  readonly dropout?: boolean;
}

/** What the kernels of one kind take of a step. */
export interface KernelShare {
  readonly name: string;
  /** How often a step has it, and in how many dispatches. */
  readonly uses: number;
  readonly dispatches: number;
  /** All of them together, each timed by itself. */
  readonly milliseconds: number;
}

/** Where a step's time goes. */
export interface StepProfile {
  readonly dispatches: number;
  /** What the host takes to encode and submit a step. */
  readonly hostMilliseconds: number;
  /** The longest first. Apart, kernels take longer than one behind the other. */
  readonly kernels: readonly KernelShare[];
}

/** A network on a device with its optimiser. */
export interface TrainingSession {
  /**
   * Steps taken so far, those before a `load` and those on their way included: what randomness (dropout) is counted by. A
   * step that turns out not to be finite counts no more.
   */
  readonly steps: number;
  /** Numbers in all parameters. */
  readonly size: number;
  /**
   * One step at learning rate `rate`. A loss or norm that is not finite leaves every parameter as it was. It may be called
   * again before it resolved: steps are taken, and resolve, in the order of the calls.
   */
  step(batch: TokenBatch, rate: number, options?: StepOptions): Promise<StepResult>;
  /** Predictions without dropout, after all steps called before. */
  predict(batch: TokenBatch): Promise<Predictions>;
  /** All that a later session needs to go on as this one would, after all steps called before. */
  state(): Promise<{ readonly steps: number; readonly arrays: NamedArrays }>;
  /** Goes on from a saved state. Throws an `InputError` if names or shapes are not this network's; nothing is changed then. */
  load(state: { readonly steps: number; readonly arrays: NamedArrays }): void;
  /**
   * Where the time of a step on such a batch goes, after all steps called before. Parameters stay as they are, moments do not.
   * Absent where nothing is computed on a device.
   */
  profile?(batch: TokenBatch): Promise<StepProfile>;
  /** Bytes on the device, now and at most. */
  readonly bytes: { readonly live: number; readonly peak: number };
  close(): void;
}
