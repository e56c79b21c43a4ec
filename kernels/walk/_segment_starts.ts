/** States at the starts of a walk's segments, from what each adds and what it leaves of what came before. */
import { assemble, entryPerItem, type Shader, storage } from "../wgsl.ts";
import type { WalkDecay } from "./_shader.ts";

/**
 * One invocation per entry of the state goes over the segments in the walk's direction:
 * `starts[next] = totals[n] · starts[n] + ends[n]`, from `initial` `[B, H, R, C]` or from zero. `ends` and `starts` are
 * `[B, H, segments, R, C]`, `totals` `[B, H, segments]`, `[…, R]` or `[…, C]`.
 */
export function startsShader(
  { rows: R, columns: C, decay, reverse, initial, dropped }: {
    readonly rows: number;
    readonly columns: number;
    readonly decay: WalkDecay;
    readonly reverse: boolean;
    readonly initial: boolean;
    /** The fault of a carry that is lost between segments. */
    readonly dropped: boolean;
  },
): Shader {
  const total = decay === "rows"
    ? `totals[block * ${R}u + entry / ${C}u]`
    : decay === "columns"
    ? `totals[block * ${C}u + entry % ${C}u]`
    : "totals[block]";
  return assemble(`starts of a walk's segments${reverse ? ", reverse" : ""}`, {
    bindings: [
      { name: "sizes", access: "uniform", type: "Sizes" },
      storage("initial", "f32"),
      storage("ends", "f32"),
      storage("totals", "f32"),
      storage("starts", "f32", "read_write"),
    ],
    source: /* wgsl */ `
struct Sizes { count: u32, segments: u32 }
${
      entryPerItem(
        "sizes.count",
        `  let sequence = id / ${R * C}u;
  let entry = id % ${R * C}u;
  var state = ${initial ? "initial[id]" : "0.0"};
  for (var n = 0u; n < sizes.segments; n++) {
    let block = sequence * sizes.segments + ${reverse ? "(sizes.segments - 1u - n)" : "n"};
    let at = block * ${R * C}u + entry;
    starts[at] = ${dropped ? "select(0.0, state, n == 0u)" : "state"};
    if (n + 1u < sizes.segments) { state = ${decay === "none" ? "state" : `${total} * state`} + ends[at]; }
  }`,
      )
    }`,
  });
}
