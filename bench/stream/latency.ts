/**
 * Latency of every token of a stream, as its context grows.
 *
 * @module
 */
import { quantile } from "../measure.ts";

/** The tokens up to a mark. */
export interface StreamLine {
  readonly kind: "stream";
  readonly model: string;
  /** `B=1 H=16 K=64 V=64`, `d=768 layers=12 chunk=64` */
  readonly shape: string;
  /** Tokens taken in. */
  readonly tokens: number;
  /** Median milliseconds of a token since the mark before, from its id or inputs on the host to its output there. */
  readonly ms: number;
  /** Its quartiles, and the slowest. */
  readonly spread: readonly [number, number];
  readonly slowest: number;
  /** Bytes on the device, now and at most so far. */
  readonly liveBytes: number;
  readonly peakBytes: number;
  /** Summaries held, of a prefix-scannable network. */
  readonly held?: number;
  readonly adapter: string;
  readonly date: string;
}

/** A stream that is being timed. */
export interface TimedStream {
  readonly model: string;
  readonly shape: string;
  /** Takes in token t; resolves when its output is on the host. */
  push(t: number): Promise<void>;
  readonly bytes: { readonly live: number; readonly peak: number };
  readonly held?: number;
  close(): void;
}

/** Tokens after which lines are given: powers of two, and the last. */
export function marks(tokens: number): readonly number[] {
  const powers: number[] = [];
  for (let mark = 1; mark < tokens; mark *= 2) powers.push(mark);
  return [...powers, tokens];
}

/** Pushes so many tokens, each as soon as the one before it is there, and tells how long they took from mark to mark. */
export async function* latencies(stream: TimedStream, tokens: number, adapter: string): AsyncGenerator<StreamLine> {
  let t = 0;
  for (const mark of marks(tokens)) {
    const samples: number[] = [];
    for (; t < mark; t++) {
      const began = performance.now();
      await stream.push(t);
      samples.push(performance.now() - began);
    }
    const { live, peak } = stream.bytes;
    yield {
      kind: "stream",
      model: stream.model,
      shape: stream.shape,
      tokens: mark,
      ms: quantile(samples, 0.5),
      spread: [quantile(samples, 0.25), quantile(samples, 0.75)],
      slowest: Math.max(...samples),
      liveBytes: live,
      peakBytes: peak,
      ...(stream.held === undefined ? {} : { held: stream.held }),
      adapter,
      date: new Date().toISOString(),
    };
  }
}
