/**
 * Waiting for the device under Node without hurrying Dawn's binding.
 *
 * While anything is awaited, the binding asks the device whether it is done at every turn of the event loop, and makes a
 * function for each turn that only a full collection frees. A processor is busy with it, of the two that a software adapter has to
 * compile for seconds; and of a stream it is 600 turns and 1 MB a token of 12 ms, and then the collector stops for half a second
 * every hundred tokens or so. Turns that sleep a little are fewer.
 */
import { runtime } from "./_runtime.ts";

/** Waits that are shorter end before the first sleep: milliseconds. */
const SPIN = 0.1;
/** A sleep takes at most this part of the wait so far, and so makes it longer by no more. */
const SHARE = 1 / 16;
/** And at most so many milliseconds: whatever else the thread has to do waits for it. */
const LONGEST = 4;

const { setImmediate } = globalThis as unknown as { setImmediate?(turn: () => void): void };

let cell: Int32Array<SharedArrayBuffer> | undefined;
/** Waits that go on, when the last of them may sleep from, and whether turns are taken. */
let waits = 0;
let from = -Infinity;
let turning = false;

function turn(): void {
  turning = waits > 0;
  if (!turning) return;
  const waited = performance.now() - from;
  if (waited > 0) {
    Atomics.wait(cell ??= new Int32Array(new SharedArrayBuffer(4)), 0, 0, Math.min(waited * SHARE, LONGEST));
  }
  setImmediate!(turn);
}

/** What the promise resolves to. The thread sleeps meanwhile, for longer the longer it takes; elsewhere than under Node it does not. */
export async function unhurried<T>(promise: Promise<T>): Promise<T> {
  if (setImmediate === undefined || runtime() !== "node") return await promise;
  from = Math.max(from, performance.now() + SPIN);
  waits++;
  if (!turning) {
    turning = true;
    setImmediate(turn);
  }
  try {
    return await promise;
  } finally {
    waits--;
  }
}
