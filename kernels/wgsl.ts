/**
 * Shaders are put together here and nowhere else: a module says which buffers it may use, and those its source names
 * are declared and bound.
 *
 * @module
 */
import type { Dispatch, Gpu } from "./gpu.ts";
import { flatWorkgroup } from "./workgroups.ts";

/** Invocations of a workgroup in every kernel of this folder that does not say otherwise. */
export const WORKGROUP = 64;

/** A buffer a module may use. */
export interface Binding {
  readonly name: string;
  readonly access: "uniform" | "read" | "read_write";
  readonly type: string;
}

/** One compute kernel as text. */
export interface Shader {
  readonly label: string;
  readonly code: string;
  /** Names of the buffers in the order of their bindings. */
  readonly bindings: readonly string[];
}

/** A compiled {@link Shader}. */
export interface Kernel {
  readonly shader: Shader;
  readonly pipeline: GPUComputePipeline;
}

/** Buffers by the names a shader knows them under. */
export type NamedBuffers = { readonly [name: string]: GPUBuffer | GPUBufferBinding };

/** A storage array of numbers, or of vectors of four. */
export function storage(name: string, type: "f32" | "u32" | "vec4f", access: "read" | "read_write" = "read"): Binding {
  return { name, access, type: `array<${type}>` };
}

/**
 * A module of one kernel, whose entry point is `main`. `enable` lists what goes before everything else: extensions,
 * diagnostics. The entry point names every declared buffer, because an automatic layout drops those that no function it
 * calls uses, and then refuses to bind them.
 */
export function assemble(
  label: string,
  { bindings, source, enable = "" }: {
    readonly bindings: readonly Binding[];
    readonly source: string;
    readonly enable?: string;
  },
): Shader {
  const used = bindings.filter(({ name }) => new RegExp(`\\b${name}\\b`).test(source));
  const declared = used.map(({ name, access, type }, i) =>
    `@group(0) @binding(${i}) var<${access === "uniform" ? "uniform" : `storage, ${access}`}> ${name}: ${type};`
  );
  const named = used.map(({ name, access }) => access === "uniform" ? `_ = ${name};` : `_ = &${name};`).join(" ");
  return {
    label,
    code: [enable, ...declared, flatWorkgroup, source.replace(/(fn main\([^{]*\{)/, `$1 ${named}`)].join("\n"),
    bindings: used.map(({ name }) => name),
  };
}

/** The entry point of a kernel with one invocation per item; `id` is its index, `count` (WGSL) their number. */
export function entryPerItem(count: string, body: string): string {
  return /* wgsl */ `
@compute @workgroup_size(${WORKGROUP})
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let id = flat_workgroup(workgroup, grid) * ${WORKGROUP}u + local;
  if (id >= ${count}) { return; }
${body}
}
`;
}

/** Items of an invocation on hardware, where one alone does not keep enough loads on their way. */
const SEVERAL = 4;

/** How many items an invocation of {@linkcode entryOfItems} has: on the CPU one, where texts take long to compile. */
export const itemsEach = (gpu: Pick<Gpu, "adapter">): number => gpu.adapter.software ? 1 : SEVERAL;

/**
 * An entry point for `count` results `result_of`, several to an invocation: all are computed before any is stored, as the
 * compiler cannot know that what is stored is not read again. `value` is a WGSL expression in the u32 `id`, `once` comes before.
 */
export function entryOfItems(
  { count, each, once = "", value, store }: {
    readonly count: string;
    readonly each: number;
    readonly once?: string;
    readonly value: string;
    /** A statement, of `id` and `value`. */
    readonly store: string;
  },
): string {
  const items = Array.from({ length: each }, (_, n) => n);
  return /* wgsl */ `
fn value_of(id: u32) -> f32 { return ${value}; }
fn store_of(id: u32, value: f32) { ${store} }
@compute @workgroup_size(${WORKGROUP})
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let first = flat_workgroup(workgroup, grid) * ${WORKGROUP * each}u + local;
  ${once}
  ${items.map((n) => `let id_${n} = first + ${WORKGROUP * n}u; var value_${n} = 0.0;`).join("\n  ")}
  ${items.map((n) => `if (id_${n} < ${count}) { value_${n} = value_of(id_${n}); }`).join("\n  ")}
  ${items.map((n) => `if (id_${n} < ${count}) { store_of(id_${n}, value_${n}); }`).join("\n  ")}
}
`;
}

/** Compiles a shader; a shader whose text was compiled before is not compiled again. */
export async function compileShader(gpu: Gpu, shader: Shader): Promise<Kernel> {
  return { shader, pipeline: await gpu.compile({ label: shader.label, code: shader.code }) };
}

/** One dispatch of so many workgroups, with a kernel's buffers picked by name. */
export function dispatch({ shader, pipeline }: Kernel, buffers: NamedBuffers, workgroups: number): Dispatch {
  const bound = shader.bindings.map((name) => {
    const buffer = buffers[name];
    if (buffer === undefined) throw new Error(`Cannot dispatch ${shader.label}: it needs a buffer ${name}, got none`);
    return buffer;
  });
  return { pipeline, buffers: bound, workgroups };
}

/** One dispatch of a kernel that has one invocation per item. */
export function dispatchItems(kernel: Kernel, buffers: NamedBuffers, items: number, each = 1): Dispatch {
  return dispatch(kernel, buffers, Math.ceil(items / (WORKGROUP * each)));
}

/** The bits of a quiet NaN: what buffers are filled with, so that an element nobody wrote shows. */
export const POISON = 0x7fc00000;

/** A kernel that fills `target` with {@link POISON}. */
export const poisonShader: Shader = assemble("poison", {
  bindings: [{ name: "poisoned", access: "read_write", type: "array<u32>" }],
  source: entryPerItem("arrayLength(&poisoned)", `  poisoned[id] = ${POISON}u;`),
});
