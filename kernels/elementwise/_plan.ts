/**
 * A checked job as a plan.
 *
 * @module
 */
import { InputError } from "../../models/error.ts";
import type { Gpu } from "../gpu.ts";
import { type Plan, planOf } from "../plan.ts";
import { assertShape, type Tensor } from "../tensor.ts";
import { isWritten, type Job, type ScanLayout, streamsOf } from "./_job.ts";
import type { Scratch } from "./_pass.ts";
import { passesOf } from "./_passes.ts";
import { staged } from "./_stage.ts";
import { checkTuning, type ScanPath, type ScanTuning, unitWidth } from "./_tuning.ts";

/** A scan made ready. */
export interface ScanPlan extends Plan {
  readonly path: ScanPath;
  /** What an error bound has to know of the schedule: `Rounding.rightCombines` in models/execution.ts. */
  readonly rightCombines: number;
}

/** B, D and T of a data tensor. */
export function extentOf(what: string, tensor: Tensor, layout: ScanLayout): { B: number; D: number; T: number } {
  assertShape(what, tensor, [-1, -1, -1]);
  const [B, second, third] = tensor.shape as [number, number, number];
  return layout === "rows" ? { B, D: second, T: third } : { B, D: third, T: second };
}

/** Throws an {@link InputError} unless the job's tensors fit together. */
function checkJob(job: Job): void {
  const { what, layout, B, D, T, tensors } = job;
  const shape = layout === "rows" ? [B, D, T] : [B, T, D];
  const names = streamsOf(job);
  for (const name of names) assertShape(`${what}: ${name}`, tensors[name]!, shape);
  const states = [["the initial state", job.initial], ["the final state", job.final], ["h0", job.start]] as const;
  for (const [name, tensor] of states) {
    if (tensor === undefined) continue;
    assertShape(`${what}: ${name}`, tensor, [B, D]);
    if (tensor.dtype !== "f32") {
      throw new InputError(`Cannot plan ${what}: ${name} must be f32, got ${tensor.dtype}`);
    }
  }
  const written = [...names.filter(isWritten).map((name) => tensors[name]!), ...(job.final ? [job.final] : [])];
  const read = [...names.filter((name) => !isWritten(name)).map((name) => tensors[name]!), job.initial, job.start];
  const buffers = written.map(({ buffer }) => buffer);
  if (new Set(buffers).size !== buffers.length || read.some((tensor) => tensor && buffers.includes(tensor.buffer))) {
    throw new InputError(
      `Cannot plan ${what}: every result needs a buffer of its own, got one that is also read or written elsewhere`,
    );
  }
}

/** The plan of a job; `name` is `scan rows forward`. `operations` are counted per number. */
export async function planJob(
  gpu: Gpu,
  name: string,
  given: Job,
  tuning: ScanTuning,
  operations: number,
): Promise<ScanPlan> {
  checkTuning(tuning);
  checkJob(given);
  const scratch: Scratch = { buffers: [], tensors: [] };
  const release = (): void => [...scratch.buffers, ...scratch.tensors].forEach((made) => made.destroy());
  try {
    const { B, D, T } = given;
    const bytes = [...streamsOf(given).map((stream) => given.tensors[stream]!), given.initial, given.final, given.start]
      .reduce((sum, tensor) => sum + (tensor?.bytes ?? 0), 0);
    const counted = { name, bytes, operations: operations * B * D * T };
    if (B * D === 0) {
      return {
        ...planOf({ ...counted, variant: "nothing to do", dispatches: [] }),
        path: given.layout,
        rightCombines: 0,
      };
    }
    // With no tokens the layouts are the same.
    const whole: Job = T === 0 ? { ...given, layout: "rows" } : given;
    const width = unitWidth(whole, tuning);
    const { job, before, after } = width === undefined
      ? await staged(gpu, whole, scratch)
      : { job: whole, before: [], after: [] };
    const passes = await passesOf(gpu, job, T === 0 ? {} : tuning, width ?? unitWidth(job, tuning)!, scratch);
    const plan = planOf({
      ...counted,
      variant: `${passes.path}: ${passes.words}${width === undefined ? ", through f32 copies" : ""}`,
      dispatches: [...before, ...passes.dispatches, ...after],
      scratch: [...scratch.buffers, ...scratch.tensors.map(({ buffer }) => buffer)],
    });
    return { ...plan, path: passes.path, rightCombines: passes.rightCombines };
  } catch (error) {
    release();
    throw error;
  }
}
