/**
 * A shader of the backward pass around its body, and the buffers all of them share.
 *
 * The same names everywhere, flat and row-major:
 *
 * | name | contents |
 * |---|---|
 * | extent | B, steps, H, chunks, the run's steps, which of them is the first here, then the offset of each input in `inputs` |
 * | inputs | all inputs, one after the other |
 * | initial, final_state | the initial state, and the cotangent of the final one: `[B, H, rows, columns, width]` |
 * | outputs | the cotangent of the outputs of the whole run, `[B, T, H, columns]` |
 * | states | S_0 … S_T, `[B, H, steps + 1, rows, columns, width]` |
 * | lambda | first what the read-outs give (r), then λ_0 … λ_T, `[B, H, steps + 1, rows, columns, cotangents]` |
 * | elements | one element per chunk and lane, `[B, H, chunks, rows, columns, element]` |
 * | result | what the kernel is for; gradients of inputs are those of the whole run |
 *
 * The other arrays hold `steps` steps, a slab of the run.
 *
 * @module
 */
import { f32Profile } from "./profile.ts";
import { flatWorkgroup } from "./workgroups.ts";

/** Steps per chunk of the scans and of the sums of parameter gradients. */
export const CHUNK = 64;
/** Threads per workgroup. */
export const THREADS = 64;
/** Rows that one thread adds in the sums over batch and time. */
export const FAN = 16;

/** The buffers a kernel may use. */
export type BufferName =
  | "extent"
  | "inputs"
  | "initial"
  | "final_state"
  | "outputs"
  | "states"
  | "lambda"
  | "elements"
  | "result";

/** A shader and the buffers it binds, in order. */
export interface Shader {
  readonly label: string;
  readonly code: string;
  readonly buffers: readonly BufferName[];
}

const elementTypes: { readonly [name in BufferName]: string } = {
  extent: "u32",
  inputs: "f32",
  initial: "f32",
  final_state: "f32",
  outputs: "f32",
  states: "f32",
  lambda: "f32",
  elements: "f32",
  result: "f32",
};

/** Declares the buffers that `body` names, and the kernel around it. */
export function shader(label: string, writes: readonly BufferName[], body: string, outside: string = ""): Shader {
  const buffers = (Object.keys(elementTypes) as BufferName[]).filter((name) => new RegExp(`\\b${name}\\[`).test(body));
  const declarations = buffers.map((name, binding) =>
    `@group(0) @binding(${binding}) var<storage, ${writes.includes(name) ? "read_write" : "read"}> ` +
    `${name}: array<${elementTypes[name]}>;`
  );
  const code = /* wgsl */ `
${declarations.join("\n")}
${body.includes("ds_") ? f32Profile.prelude : ""}
${flatWorkgroup}
${outside}
@compute @workgroup_size(${THREADS})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let workgroup_index = flat_workgroup(group, grid);
  let thread = workgroup_index * ${THREADS}u + local;
${body}
}
`;
  return { label, code, buffers };
}

/** Reads the extent of the run. */
export const extents: string = /* wgsl */ `
  let steps = extent[1];
  let H = extent[2];
  let chunks = extent[3];
`;
