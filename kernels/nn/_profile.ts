/** Where the time of a program goes, by timestamps on the device. */
import { InputError } from "../../models/error.ts";
import { BufferUsage, type Gpu } from "../gpu.ts";
import { type Bound, encodePass } from "./_encode.ts";

export interface StepTime {
  readonly name: string;
  readonly milliseconds: number;
}

/** Steps that are timed in one submit: a query set has at most 4096 queries. */
const TIMED = 1024;

/** Runs every step in a pass of its own. Throws an {@link InputError} without the feature `timestamp-query`. */
export async function profileSteps(
  gpu: Gpu,
  label: string,
  names: readonly string[],
  bound: readonly Bound[],
): Promise<readonly StepTime[]> {
  const { device, features } = gpu;
  if (!features.has("timestamp-query")) {
    throw new InputError(`Cannot profile ${label}: the device must have timestamp-query, got one without`);
  }
  const times: StepTime[] = [];
  for (let first = 0; first < names.length; first += TIMED) {
    const part = names.slice(first, first + TIMED);
    const querySet = device.createQuerySet({ type: "timestamp", count: 2 * part.length });
    const resolved = gpu.createBuffer({
      bytes: 16 * part.length,
      label: "timestamps",
      usage: BufferUsage.QUERY_RESOLVE | BufferUsage.COPY_SRC,
    });
    await gpu.checked(`profile ${label}`, () => {
      const encoder = device.createCommandEncoder();
      part.forEach((_, i) => {
        const timestampWrites = { querySet, beginningOfPassWriteIndex: 2 * i, endOfPassWriteIndex: 2 * i + 1 };
        encodePass(encoder, label, bound.filter(({ step }) => step === first + i), timestampWrites);
      });
      encoder.resolveQuerySet(querySet, 0, 2 * part.length, resolved, 0);
      device.queue.submit([encoder.finish()]);
    });
    const stamps = await gpu.read(resolved, BigUint64Array);
    part.forEach((name, i) => {
      times.push({ name, milliseconds: Number(stamps[2 * i + 1]! - stamps[2 * i]!) / 1e6 });
    });
    resolved.destroy();
    querySet.destroy();
  }
  return times;
}
