/** The frame of the kernels in which a workgroup has some channels of one batch row over one segment of time. */
import { flatWorkgroup } from "../workgroups.ts";
import { type Binding, type Shader } from "../wgsl.ts";
import { activationText } from "./_activations.ts";
import { enableText, placeText } from "./_lanes.ts";
import { paramsBinding, paramsText } from "./_staging.ts";
import type { Tiling } from "./tiling.ts";

/** A module of a kernel's parts; only the buffers that its text names are bound. */
export function segmentShader(
  label: string,
  tiling: Tiling,
  { bindings, functions, body, skipped }: {
    readonly bindings: readonly Binding[];
    /** Declarations of the module. */
    readonly functions: string;
    /** Statements of the entry point. */
    readonly body: string;
    /** Which segment no workgroup is made for; default none. */
    readonly skipped?: "first" | "last";
  },
): Shader {
  const text = `${functions}\n${body}`;
  const used = [...bindings.filter(({ name }) => new RegExp(`\\b${name}\\b`).test(text)), paramsBinding];
  const declared = used.map(({ name, access, type }, i) =>
    `@group(0) @binding(${i}) var<${access === "uniform" ? "uniform" : `storage, ${access}`}> ${name}: ${type};`
  );
  const segments = skipped === undefined ? "p.segments" : "(p.segments - 1u)";
  return {
    label,
    bindings: used.map(({ name }) => name),
    code: /* wgsl */ `${enableText(tiling)}
${paramsText}
${declared.join("\n")}
${flatWorkgroup}
${activationText(tiling)}
${functions}
@compute @workgroup_size(${tiling.threads})
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let group = flat_workgroup(workgroup, grid);
  if (group >= p.blocks * p.batch * ${segments}) { return; }
  let block = group % p.blocks;
  let b = group / p.blocks % p.batch;
  let s = group / (p.blocks * p.batch)${skipped === "first" ? " + 1u" : ""};
  let first = s * p.segment_tokens;
  let last = min(first + p.segment_tokens, p.tokens);
  ${placeText(tiling)}
${body}
}
`,
  };
}
