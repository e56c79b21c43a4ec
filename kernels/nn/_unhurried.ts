/**
 * Waiting for the device under Node without hurrying Dawn's binding.
 *
 * While anything is awaited, the binding asks the device whether it is done at every turn of the event loop, and makes a
 * function for each turn that only a full collection frees: 600 turns and 1 MB a token of 12 ms, and then the collector stops a
 * stream for half a second every hundred tokens or so. Turns that sleep a little are fewer.
 */
import { runtime } from "../_runtime.ts";

/** Waits that are shorter end before the first sleep: milliseconds. */
const SPIN = 0.1;
/** A sleep takes at most this part of the wait so far, and so makes it longer by no more. */
const SHARE = 1 / 16;

const { setImmediate } = globalThis as unknown as { setImmediate?(turn: () => void): void };

/** What the promise resolves to. The thread sleeps meanwhile, for longer the longer it takes; elsewhere than under Node it does not. */
export async function unhurried<T>(promise: Promise<T>): Promise<T> {
  if (setImmediate === undefined || runtime() !== "node") return await promise;
  const cell = new Int32Array(new SharedArrayBuffer(4));
  const began = performance.now();
  let pending = true;
  const turn = (): void => {
    if (!pending) return;
    const waited = performance.now() - began;
    if (waited > SPIN) Atomics.wait(cell, 0, 0, waited * SHARE);
    setImmediate(turn);
  };
  setImmediate(turn);
  try {
    return await promise;
  } finally {
    pending = false;
  }
}
