/**
 * What a scan's kernels have to do, checked: which tensors, in which direction of time, from what and to what.
 *
 * Over the positions of the scan's own order (time, or time reversed) a state goes from token to token:
 *
 *     plain    s ← a·s + b,              the output is s after the step
 *     shifted  y = s + b, s ← a·y,       the output is y: the gate acts after it
 *
 * The shifted scan in reverse time is the cotangent's λ_t = b_t + a_{t+1} λ_{t+1} without a load of a_{t+1}: its state is
 * a_t λ_t.
 *
 * @module
 */
import type { Fault } from "../faults.ts";
import type { Tensor } from "../tensor.ts";

/** `rows`: `[B, D, T]`, time contiguous. `columns`: `[B, T, D]`, channels contiguous. */
export type ScanLayout = "rows" | "columns";

/** The tensors that kernels bind, by the names they have in WGSL. */
export interface JobTensors {
  /** a; absent where it is 1. */
  readonly gates?: Tensor | undefined;
  /** b. */
  readonly inputs: Tensor;
  /** Saved outputs h of the forward scan, of which h_{t−1} is needed. */
  readonly previous?: Tensor | undefined;
  /** Where the outputs go. */
  readonly outputs?: Tensor | undefined;
  /** Where λ_t h_{t−1} goes. */
  readonly gate_outputs?: Tensor | undefined;
}

/** One scan over `[B, D, T]` or `[B, T, D]`. */
export interface Job {
  /** `scan`, `scan backward`: for labels and messages. */
  readonly what: string;
  readonly layout: ScanLayout;
  readonly B: number;
  readonly D: number;
  readonly T: number;
  readonly reverse: boolean;
  readonly shifted: boolean;
  readonly tensors: JobTensors;
  /** The state before the first position, `[B, D]`; zero where not given. */
  readonly initial?: Tensor | undefined;
  /** The state after the last position, `[B, D]`. */
  readonly final?: Tensor | undefined;
  /** h_{−1}, `[B, D]`, with `previous`; zero where not given. */
  readonly start?: Tensor | undefined;
  readonly fault?: Fault | undefined;
}

/** Data tensors in the order they are bound. */
export const streamNames = ["gates", "inputs", "previous", "outputs", "gate_outputs"] as const;
export type StreamName = typeof streamNames[number];

/** Whether a stream is written. */
export function isWritten(name: StreamName): boolean {
  return name === "outputs" || name === "gate_outputs";
}

/** The streams a job has. */
export function streamsOf({ tensors }: Job): StreamName[] {
  return streamNames.filter((name) => tensors[name] !== undefined);
}
