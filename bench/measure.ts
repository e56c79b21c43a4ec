/**
 * Timing on the host's clock, by tinybench, and what is reported of it.
 *
 * @module
 */
import { Bench } from "tinybench";
import type { Effort } from "./kernel.ts";

/**
 * Milliseconds of every call of `body`, after a warm-up, for the effort's time and number of calls at least. `body` may
 * return the milliseconds that one unit of its work took, where it does several, or more than that work.
 */
export async function samplesOf(
  effort: Pick<Effort, "time" | "calls">,
  body: () => void | Promise<number | void>,
): Promise<readonly number[]> {
  const bench = new Bench({
    time: effort.time,
    iterations: effort.calls,
    warmupTime: effort.time / 4,
    warmupIterations: 2,
    retainSamples: true,
    throws: true,
  });
  let failure: unknown;
  bench.add("kernel", async () => {
    try {
      const start = performance.now();
      const ms = await body();
      // The budget counts all that a call took, not only what it reports.
      return typeof ms === "number"
        ? { overriddenDuration: ms, overriddenIterationCost: performance.now() - start }
        : undefined;
    } catch (error) {
      failure = error;
      throw error;
    }
  }, { async: true });
  try {
    await bench.run();
  } catch (error) {
    throw failure ?? error;
  }
  const result = bench.tasks[0]?.result;
  const samples = result !== undefined && "latency" in result ? result.latency.samples : undefined;
  if (samples === undefined) throw new Error(`Cannot time: tinybench ended as ${result?.state}, without samples`);
  return samples;
}

/** The `q` quantile, between neighbours in proportion. Throws a RangeError without samples. */
export function quantile(samples: readonly number[], q: number): number {
  if (samples.length === 0) throw new RangeError("Cannot take a quantile: at least one sample is needed, got none");
  const sorted = [...samples].sort((x, y) => x - y);
  const at = q * (sorted.length - 1);
  const low = Math.floor(at);
  const below = sorted[low]!;
  return below + (at - low) * ((sorted[low + 1] ?? below) - below);
}
