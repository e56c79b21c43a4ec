/**
 * What a network can be trained on: batches of tokens with what is to be predicted at each, made from a seed and a number.
 *
 * @module
 */
import type { TokenBatch } from "../models/networks/training.ts";

/** Which sequences: those learnt from, those that decide when to stop, those that results are reported on. */
export type Split = "train" | "validation" | "test";

/** Which batch. */
export interface BatchRequest {
  readonly seed: number;
  readonly split: Split;
  /** Number of the batch, ≥ 0. */
  readonly index: number;
  /** Sequences. */
  readonly B: number;
  /** Tokens of each. */
  readonly n: number;
  /** Of a task that asks for what it showed: how often for each thing, ≥ 1; default 1. Others have no use for it. */
  readonly asked?: number;
}

/** A source of batches. */
export interface Task {
  /** `s5`, `mqar`, `text` … */
  readonly name: string;
  readonly vocabulary: number;
  /** What has to be the same for training to go on where it stopped: the name and all that changes a batch. */
  readonly identity: string;
  /** Of a text: bytes that a token of its test split stands for, on average. */
  readonly bytesPerToken?: number;
  /** Why there are no sequences of n tokens, asked so often, in words; undefined where there are. */
  refusal(n: number, split: Split, asked?: number): string | undefined;
  /** The same request gives the same batch, on every runtime and without those before it. */
  batch(request: BatchRequest): TokenBatch;
}
