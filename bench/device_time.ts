/**
 * Time on the device alone: the dispatches of one run, repeated while its buffers still exist, without the transfers
 * around them.
 *
 * @module
 */
import type { Dispatch, Gpu } from "../kernels/device.ts";
import { compileShader, poisonShader } from "../kernels/wgsl.ts";
import { deviceClock, type Elapsed } from "./device_clock.ts";
import type { Effort } from "./kernel.ts";
import { samplesOf } from "./measure.ts";

/** Work per submission: long beside a device's clock, which browsers and Dawn round to 0.1 ms. */
const LEAST_MS = 10;
/** Work per submission where only the host's clock is there, as a multiple of an empty submission. */
const ABOVE_EMPTY = 8;
/** Repetitions in one submission, at most; and their time. */
const MOST = 256;
const MOST_MS = 200;

/** What a run on a device returned, and how long its dispatches took. */
export interface DeviceTimed<R> {
  readonly result: R;
  readonly samples: readonly number[];
}

/**
 * Calls `body` with a GPU that, each time it is told to run dispatches, runs them and then times them again. So the
 * result that `body` reads afterwards is what the last timed call wrote. Filling buffers with poison beforehand is left
 * out of the repetitions: it is a check's work, not the kernel's.
 *
 * @throws {Error} if `body` submits anything but one list of dispatches, poison apart: a sum of several is no kernel's time.
 */
export async function deviceTimed<R>(
  gpu: Gpu,
  effort: Effort,
  body: (gpu: Gpu) => Promise<R>,
): Promise<DeviceTimed<R>> {
  const poison = await compileShader(gpu, poisonShader);
  const runs: (readonly number[])[] = [];
  const timed: Gpu["run"] = async (label, dispatches, options) => {
    await gpu.run(label, dispatches, options);
    const kernels = dispatches.filter(({ pipeline }) => pipeline !== poison.pipeline);
    if (kernels.length === 0) return;
    runs.push((await repeatedTime(gpu, effort, label, kernels)).samples);
  };
  const result = await body(withRun(gpu, timed));
  if (runs.length !== 1) throw new Error(`Cannot time: one list of dispatches was expected, got ${runs.length}`);
  return { result, samples: runs[0]! };
}

/** The same device with another `run`. Methods stay bound to the device itself, whose private fields they use. */
function withRun(gpu: Gpu, run: Gpu["run"]): Gpu {
  return new Proxy(gpu, {
    get(target, key) {
      if (key === "run") return run;
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** Milliseconds of a list of dispatches, each several times in one submission, and whose clock they are by. */
export interface Repeated {
  readonly samples: readonly number[];
  readonly onDevice: boolean;
}

/** How long a real GPU is kept busy before it is timed, at least and at most: its clock takes a while to rise. */
const WARM_MS = 600;
const WARM_MOST_MS = 3000;
/** Two runs this close in time are at the same clock. */
const STEADY = 0.02;

/**
 * Keeps the device busy until its times are steady. An idle GPU runs at a fraction of its clock (an H200 at a fifth), and
 * kernels that wait for arithmetic rather than memory are as much slower.
 */
async function warmUp(once: () => Promise<Elapsed>): Promise<void> {
  const start = performance.now();
  let before = Infinity;
  for (;;) {
    const { ms } = await once();
    const spent = performance.now() - start;
    if (spent > WARM_MOST_MS || spent > WARM_MS && Math.abs(ms - before) <= STEADY * before) return;
    before = ms;
  }
}

/** Milliseconds of the dispatches, many times over. */
export async function repeatedTime(
  gpu: Gpu,
  effort: Pick<Effort, "time" | "calls">,
  label: string,
  dispatches: readonly Dispatch[],
): Promise<Repeated> {
  const clock = deviceClock(gpu);
  try {
    const once = (list: readonly Dispatch[]): Promise<Elapsed> => clock.time(label, list);
    await gpu.done();
    const empty = await once([]);
    await once(dispatches);
    const first = await once(dispatches);
    const least = first.onDevice ? LEAST_MS : Math.max(LEAST_MS, ABOVE_EMPTY * empty.ms);
    const work = Math.max(first.onDevice ? first.ms : first.ms - empty.ms, 0.02);
    const times = Math.max(Math.min(Math.ceil(least / work), MOST, Math.floor(MOST_MS / work)), 1);
    const list = Array.from({ length: times }, () => dispatches).flat();
    if (!gpu.adapter.software) await warmUp(() => once(list));
    const samples = await samplesOf(effort, async () => (await once(list)).ms / times);
    return { samples, onDevice: first.onDevice };
  } finally {
    clock.close();
  }
}
