/**
 * The buffers that the backward kernels bind, and WGSL functions that read and write the caller's tensors.
 *
 * @module
 */
import type { ChunkLayout } from "./_backward_layout.ts";
import { four } from "./_backward_text.ts";

/** A storage buffer that a kernel binds. */
export interface Bound {
  readonly name: string;
  readonly access: "read" | "read_write";
  readonly vectors?: boolean;
}

/** Declarations in order of their bindings; the uniform first. */
export function declarations(bound: readonly Bound[]): string {
  return [
    // x, y, z, w: tokens, chunks, heads, workgroups.
    "struct Extent { x: u32, y: u32, z: u32, w: u32, K: u32, V: u32, scale: f32, none: u32, " +
    "segments: u32, segment_chunks: u32, none_: vec2u }",
    "@group(0) @binding(0) var<uniform> extent: Extent;",
    ...bound.map(({ name, access, vectors }, n) =>
      `@group(0) @binding(${n + 1}) var<storage, ${access}> ${name}: array<${vectors === true ? "vec4f" : "f32"}>;`
    ),
  ].join("\n");
}

/** `fn NAME_at(t, c) -> vec4f`: columns c … c + 3 of token t of a tensor [B, T, H, V], 0 outside. */
export function tokenVectors(layout: ChunkLayout, name: string): string {
  const at = `(base + t * extent.z) * ${layout.values} + c`;
  return vectorFunction(layout, name, "t: u32, c: u32", at, `t < extent.x`);
}

/** `fn NAME_at(state, r, c) -> vec4f`: columns c … c + 3 of row r of a state [K, V] that begins at `state`, 0 outside. */
export function stateVectors(layout: ChunkLayout, name: string): string {
  const { keys, values } = layout;
  return vectorFunction(layout, name, "state: u32, r: u32, c: u32", `state + r * ${values} + c`, `r < ${keys}`);
}

function vectorFunction(
  layout: ChunkLayout,
  name: string,
  parameters: string,
  at: string,
  inside: string,
): string {
  const width = layout.values;
  const body = layout.vectors
    ? `if (${inside} && c < ${width}) { return ${name}[(${at}) / 4u]; }
  return vec4f();`
    : `var four = vec4f();
  if (${inside}) {
    let at = ${at};
    ${four(layout, (n) => `if (c + ${n} < ${width}) { four[${n}] = ${name}[at + ${n}]; }`)}
  }
  return four;`;
  return /* wgsl */ `
fn ${name}_at(${parameters}) -> vec4f {
  ${body}
}
`;
}

/** `fn set_NAME(at, c, four)`: writes columns c … c + 3 of a row that begins at `at`, those there are. */
export function vectorStore(layout: ChunkLayout, name: string, factor: string): string {
  const width = layout.values;
  const body = layout.vectors
    ? `if (c < ${width}) { ${name}[(at + c) / 4u] = four${factor}; }`
    : four(layout, (n) => `if (c + ${n} < ${width}) { ${name}[at + c + ${n}] = four[${n}]${factor}; }`);
  return /* wgsl */ `
fn set_${name}(at: u32, c: u32, four: vec4f) {
  ${body}
}
`;
}

/** `fn NAME_of(t, c) -> f32`: column c of token t of a tensor [B, T, H, width], 0 outside. */
export function tokenNumbers(name: string, width: string): string {
  return /* wgsl */ `
fn ${name}_of(t: u32, c: u32) -> f32 {
  if (t < extent.x && c < ${width}) { return ${name}[(base + t * extent.z) * ${width} + c]; }
  return 0.0;
}
`;
}
