/** Where the time of a recorded program goes: kinds of kernels on the device, and what the host takes to encode it. */
import type { KernelShare, StepProfile } from "../../models/networks/training.ts";
import type { Program, StepTime } from "./program.ts";

/** Replays that are timed. */
const TIMED = 5;

/**
 * Times a program that is ready, kernel by kernel, and the host. Throws an {@link InputError} as {@linkcode Program.profile}
 * does.
 */
export async function profileProgram(program: Program): Promise<StepProfile> {
  const { gpu, dispatches } = program;
  const host: number[] = [];
  for (let i = 0; i <= TIMED; i++) {
    const began = performance.now();
    await program.run();
    host.push(performance.now() - began);
    await gpu.done();
  }
  const replays: (readonly StepTime[])[] = [];
  for (let i = 0; i < TIMED; i++) replays.push(await program.profile());
  const kernels = new Map<string, KernelShare>();
  program.steps.forEach(({ name, dispatches }, i) => {
    const { uses, dispatches: before, milliseconds } = kernels.get(name) ??
      { uses: 0, dispatches: 0, milliseconds: 0 };
    kernels.set(name, {
      name,
      uses: uses + 1,
      dispatches: before + dispatches,
      milliseconds: milliseconds + median(replays.map((steps) => steps[i]!.milliseconds)),
    });
  });
  return {
    dispatches,
    // The first is checked, which waits.
    hostMilliseconds: median(host.slice(1)),
    kernels: [...kernels.values()].sort((a, b) => b.milliseconds - a.milliseconds),
  };
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;
