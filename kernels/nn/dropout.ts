/**
 * Dropout without a stored mask: whether an entry is kept is a hash of the seed, the step, the place in the network and the
 * entry's index, so that the backward pass finds the same again.
 */
import type { Gpu } from "../gpu.ts";
import { assemble, compileShader, dispatchItems, entryOfItems, itemsEach, type Shader, storage } from "../wgsl.ts";
import { knobsStruct } from "./knobs.ts";
import type { Placement, Prepared } from "./program.ts";
import type { Slot } from "./slot.ts";

export interface Dropout {
  readonly x: Slot;
  readonly y: Slot;
  readonly rate: number;
  /** Number of this use in the network. */
  readonly site: number;
  /** What is added to the result, and may be where it goes; default: nothing. */
  readonly added?: Slot;
}

/** Entries whose hash is below are set to 0. */
const thresholdOf = (rate: number): number => Math.min(2 ** 32 - 1, Math.round(rate * 2 ** 32));

/** Mixes 32 bits so that every bit of the result depends on all of x (constants of the hash "lowbias32"). */
function mixed(x: number): number {
  let h = x >>> 0;
  h = Math.imul(h ^ (h >>> 16), 0x7feb352d);
  h = Math.imul(h ^ (h >>> 15), 0x846ca68b);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Whether dropout keeps an entry: what the kernel computes. */
export function keeps(
  { seed, step, site, index, rate }: {
    readonly seed: number;
    readonly step: number;
    readonly site: number;
    readonly index: number;
    readonly rate: number;
  },
): boolean {
  const stream = mixed((mixed((mixed(seed) + step) >>> 0) + site) >>> 0);
  return mixed((mixed(index) ^ stream) >>> 0) >= thresholdOf(rate);
}

type Added = "nothing" | "itself" | "another";

const shaderOf = (items: number, added: Added): Shader =>
  assemble(added === "nothing" ? "dropout" : `dropout, ${added} added`, {
    bindings: [
      { name: "sizes", access: "uniform", type: "Sizes" },
      { name: "knobs", access: "uniform", type: "Knobs" },
      storage("x_of", "f32"),
      ...(added === "another" ? [storage("added_of", "f32")] : []),
      storage("result_of", "f32", "read_write"),
    ],
    source: /* wgsl */ `
struct Sizes { count: u32, site: u32, threshold: u32, factor: f32 }
${knobsStruct}
fn mixed(x: u32) -> u32 {
  var h = x;
  h = (h ^ (h >> 16u)) * 0x7feb352du;
  h = (h ^ (h >> 15u)) * 0x846ca68bu;
  return h ^ (h >> 16u);
}
var<private> stream: u32;
${
      entryOfItems({
        count: "sizes.count",
        each: items,
        once: "stream = mixed(mixed(mixed(knobs.seed) + knobs.step) + sizes.site);",
        value: "select(0.0, x_of[id] * sizes.factor, mixed(mixed(id) ^ stream) >= sizes.threshold)",
        store: added === "another"
          ? "result_of[id] = added_of[id] + value;"
          : `result_of[id] ${added === "itself" ? "+" : ""}= value;`,
      })
    }`,
  });

export async function prepareDropout(
  gpu: Gpu,
  { x, y, rate, site, added }: Dropout,
  at: Placement,
): Promise<Prepared> {
  const words = new Uint32Array([x.length, site, thresholdOf(rate), 0]);
  new Float32Array(words.buffer)[3] = 1 / (1 - rate);
  const apart = added !== undefined && added.storage !== y.storage;
  const buffers = {
    sizes: at.uniform(words),
    knobs: at.knobs,
    x_of: at.tensor(x).buffer,
    ...(apart && { added_of: at.tensor(added).buffer }),
    result_of: at.tensor(y).buffer,
  };
  const items = itemsEach(gpu);
  const shader = shaderOf(items, apart ? "another" : added === undefined ? "nothing" : "itself");
  return { dispatches: [dispatchItems(await compileShader(gpu, shader), buffers, x.length, items)] };
}
