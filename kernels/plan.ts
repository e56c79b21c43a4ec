/**
 * A kernel made ready on given tensors: its dispatches, and what they cost at least. Plans run one after the other in
 * one submit, so a chain of kernels needs the host once.
 *
 * ```ts
 * const scan = await planScan(gpu, { a, b, h });
 * const norm = await planNorm(gpu, { x: h, y });
 * await runPlans(gpu, "block", [scan, norm]);
 * ```
 *
 * A plan can run any number of times, until it is released.
 *
 * @module
 */
import type { Dispatch, Gpu, RunOptions } from "./gpu.ts";

export interface Plan {
  /** `scan rows forward` */
  readonly name: string;
  /** What was chosen for this device and shape, in words: `128 threads, 4 per thread, subgroups`. */
  readonly variant: string;
  readonly dispatches: readonly Dispatch[];
  /** Bytes that have to move at least: every input read once, every output written once. */
  readonly bytes: number;
  /** Floating-point operations that have to be done at least; a multiply-add is two, an exponential one. */
  readonly operations: number;
  /** Bytes of the scratch buffers that the plan holds. */
  readonly scratchBytes: number;
  /** Frees the scratch buffers; not the tensors, which are the caller's. */
  release(): void;
}

/** Runs plans in order, each seeing what those before it wrote, in one submit. */
export function runPlans(gpu: Gpu, label: string, plans: readonly Plan[], options: RunOptions = {}): Promise<void> {
  return gpu.run(label, plans.flatMap(({ dispatches }) => dispatches), options);
}

/** A plan from its parts; `scratch` is freed on release. */
export function planOf(
  parts: Omit<Plan, "release" | "scratchBytes"> & { readonly scratch?: readonly GPUBuffer[] },
): Plan {
  const { scratch = [], ...plan } = parts;
  return {
    ...plan,
    scratchBytes: scratch.reduce((sum, { size }) => sum + size, 0),
    release: () => scratch.forEach((buffer) => buffer.destroy()),
  };
}
