/** Bytes that a process holds when its garbage has been taken out. */
import process from "node:process";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** Bytes in use, garbage aside. */
export interface Held {
  /** Pages of the process: with what a GPU's driver holds, and what the heap keeps for later. */
  readonly resident: number;
  /** Objects and array buffers. */
  readonly reachable: number;
}

/** Collects garbage and measures. */
export function held(): Held {
  collectGarbage();
  const { rss, heapUsed, external } = process.memoryUsage();
  return { resident: rss, reachable: heapUsed + external };
}
