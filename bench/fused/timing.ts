/**
 * How long plans take: on the device, by its own timestamps, and from submission to end, by the host's clock.
 *
 * @module
 */
import type { Gpu } from "../../kernels/device.ts";
import { type Plan, runPlans } from "../../kernels/plan.ts";
import { type Repeated, repeatedTime } from "../device_time.ts";
import type { Effort } from "../kernel.ts";
import { samplesOf } from "../measure.ts";

/** How long to time. */
export type FusedEffort = Pick<Effort, "time" | "calls">;

/** Milliseconds of plans, run together. */
export interface PlanTimes extends Repeated {
  /** From submission to the end of the work. */
  readonly host: readonly number[];
}

/**
 * Times plans as one submission. Nothing is rotated between runs: at real sizes tensors are far larger than caches.
 */
export async function timedPlans(
  gpu: Gpu,
  effort: FusedEffort,
  label: string,
  plans: readonly Plan[],
): Promise<PlanTimes> {
  const dispatches = plans.flatMap(({ dispatches }) => dispatches);
  const repeated = await repeatedTime(gpu, effort, label, dispatches);
  const host = await samplesOf(effort, async () => {
    await runPlans(gpu, label, plans);
    await gpu.done();
  });
  return { ...repeated, host };
}
