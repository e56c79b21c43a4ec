/** States at the starts of segments, from what each segment adds and how much it leaves of what came before. */

import { assemble, entryPerItem, type Shader, storage } from "../wgsl.ts";
import type { DecayKind } from "./family.ts";

/**
 * One invocation per entry of the state walks over the segments: `starts[n + 1] = totals[n] · starts[n] + ends[n]`, from the
 * initial state or from zero. `ends` and `starts` are `[B, H, segments, K, V]`, `totals` `[B, H, segments]` or `[…, K]`.
 */
export function combineShader(
  kind: DecayKind,
  { K, V, initial, dropped }: {
    readonly K: number;
    readonly V: number;
    readonly initial: boolean;
    readonly dropped: boolean;
  },
): Shader {
  const place = kind === "scalar"
    ? "sequence * sizes.segments + segment"
    : `(sequence * sizes.segments + segment) * ${K}u + key`;
  const decayed = kind === "none" ? "state" : `totals[${place}] * state`;
  return assemble(`chunk ${kind} segments`, {
    bindings: [
      { name: "sizes", access: "uniform", type: "Sizes" },
      storage("state_in", "f32"),
      storage("ends", "f32"),
      storage("totals", "f32"),
      storage("starts", "f32", "read_write"),
    ],
    source: /* wgsl */ `
struct Sizes { count: u32, segments: u32 }
${
      entryPerItem(
        "sizes.count",
        `  let sequence = id / ${K * V}u;
  let entry = id % ${K * V}u;
  let key = entry / ${V}u;
  var state = ${initial ? "state_in[id]" : "0.0"};
  for (var segment = 0u; segment < sizes.segments; segment++) {
    let at = (sequence * sizes.segments + segment) * ${K * V}u + entry;
    starts[at] = ${dropped ? "select(0.0, state, segment == 0u)" : "state"};
    state = ${decayed} + ends[at];
  }`,
      )
    }`,
  });
}

/** The final state of no tokens: the initial one, or zero. */
export function emptyShader(initial: boolean): Shader {
  return assemble("chunk of no tokens", {
    bindings: [
      { name: "sizes", access: "uniform", type: "vec4u" },
      storage("state_in", "f32"),
      storage("state_out", "f32", "read_write"),
    ],
    source: entryPerItem("sizes.x", `  state_out[id] = ${initial ? "state_in[id]" : "0.0"};`),
  });
}
