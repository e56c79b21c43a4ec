/** The GPU of the tests: one if there is one, and in words what was left out if there is none. */

import { type DeviceOptions, type Gpu, gpuPolicy, NoAdapterError, openDevice } from "../kernels/device.ts";

/**
 * Opens a device, or prints that the checks named by `what` were not run, why, and the command that enables them, and
 * resolves to null. With `DUALSCAN_GPU=require` a missing adapter throws; with `off` none is asked for.
 * Close the device in an `after` hook.
 */
export async function gpuForTests(what: string, options: DeviceOptions = {}): Promise<Gpu | null> {
  const policy = gpuPolicy();
  if (policy === "off") {
    console.warn(`not run: ${what}: DUALSCAN_GPU is off; unset it to run them`);
    return null;
  }
  try {
    return await openDevice(options);
  } catch (error) {
    if (policy === "require" || !(error instanceof NoAdapterError)) throw error;
    console.warn(`not run: ${what}: ${error.message}`);
    return null;
  }
}

/** Runs `body` while `device` says of itself what `traits` name, and is as it is otherwise. */
export async function withTraits(
  device: Gpu,
  traits: {
    readonly limits?: { readonly [name in keyof GPUSupportedLimits]?: number };
    readonly adapter?: Partial<Gpu["adapter"]>;
    readonly subgroups?: Partial<NonNullable<Gpu["subgroups"]>>;
  },
  body: () => Promise<void>,
): Promise<void> {
  const own = Object.keys(traits).map((name) => [name, device[name as keyof typeof traits]] as const);
  const tell = (name: string, value: unknown): void => {
    Object.defineProperty(device, name, { value, configurable: true });
  };
  for (const [name, value] of own) {
    const said: { readonly [name: PropertyKey]: unknown } = traits[name as keyof typeof traits]!;
    tell(name, new Proxy(value!, { get: (whole, key) => key in said ? said[key] : whole[key as keyof typeof whole] }));
  }
  try {
    await body();
  } finally {
    for (const [name, value] of own) tell(name, value);
  }
}
