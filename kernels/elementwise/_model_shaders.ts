/**
 * What stands around the scan when a model is run on it, from the traced model: its gates and inputs before the scan, its
 * read-out after it (model_program.ts), and of a gradient what a read-out gives to a state, and the gradient of an input.
 *
 * All arrays are `[B, steps, H, …]`; states have one row, `[B, steps, H, D]`.
 *
 * @module
 */
import type { InputSpec } from "../../models/affine.ts";
import { outputCotangent, type TracedGradient } from "../../models/gradient.ts";
import type { Expr } from "../../models/symbolic.ts";
import { fieldShape } from "../../models/token.ts";
import { paramsBinding, paramsSource } from "../lane_scan.ts";
import { inputBindings, inputLeaf } from "../layout.ts";
import type { ModelProgram } from "../model_program.ts";
import { f32Profile } from "../profile.ts";
import { type Emitter, emitter, type Environment } from "../trace.ts";
import { assemble, type Binding, entryPerItem, type Shader, storage } from "../wgsl.ts";

/** Read buffers besides the inputs that the shaders name. */
const bindings: readonly Binding[] = [
  storage("states", "f32"),
  storage("initial", "f32"),
  storage("d_outputs", "f32"),
  storage("lambda", "f32"),
];

function shader(program: ModelProgram, what: string, results: readonly string[], source: string): Shader {
  return assemble(`${program.model.name} element-wise: ${what}`, {
    bindings: [
      paramsBinding,
      ...inputBindings(program.layout, "f32", program.places),
      ...bindings,
      ...results.map((name) => storage(name, "f32", "read_write")),
    ],
    source: paramsSource + f32Profile.prelude + source,
  });
}

/** `b`, `s`, `h` and the place `v` of item `id` of `[B, steps, H, size]`. */
function places(size: number, v: string): string {
  return /* wgsl */ `
  let ${v} = id % ${size}u;
  let h = id / ${size}u % p.H;
  let s = id / (${size}u * p.H) % p.steps;
  let b = id / (${size}u * p.H * p.steps);`;
}

/** `gates`, `tokens`: a and b of every state's recurrence, or only a. */
export function liftShader(program: ModelProgram, only?: "gates"): Shader {
  const { traced, layout, columns } = program;
  const e = emitter(f32Profile, { load: inputLeaf(layout, program.places) });
  const wanted = only === undefined ? ["gates", "tokens"] : ["gates"];
  const values = traced.element!.slice(0, wanted.length).map((expr) => e.value(expr));
  return shader(
    program,
    only === undefined ? "lift" : "lift of gates",
    wanted,
    entryPerItem(
      `p.B * p.steps * p.H * ${columns}u`,
      `${places(columns, "v")}
  let k = 0u;
${e.text()}
${wanted.map((name, n) => `  ${name}[id] = ${values[n]};`).join("\n")}`,
    ),
  );
}

/** The leaves of a gradient's expressions at step `s`; `before`: whether they see the state before it. */
function leaves(program: ModelProgram, before: boolean): Environment {
  const { layout, columns, outputs } = program;
  const input = inputLeaf(layout, program.places);
  const lane = (k: string, v: string): string => `${k} * ${columns}u + ${v}`;
  const row = "((b * p.steps + s) * p.H + h)";
  const ofStep = (text: string) => ({ text, needs: ["s"] });
  return {
    load(field, index) {
      if (field === outputCotangent) return ofStep(`d_outputs[${row} * ${outputs}u + ${index[0]}]`);
      // The one cotangent of a real state.
      if (!layout.fields.some(({ name }) => name === field)) {
        return ofStep(`lambda[${row} * ${columns}u + ${lane(index[0]!, index[1]!)}]`);
      }
      return input(field, index);
    },
    state: (k, v) =>
      ofStep(
        before ? `ds_before(b, s, h, ${lane(k, v)})` : `states[${row} * ${columns}u + ${lane(k, v)}]`,
      ),
    // The entry of an input; `p` is the uniform.
    symbol: (name) => name === "p" ? "entry_p" : name === "q" ? "entry_q" : name,
  };
}

/** `cotangents`: what the read-out of a token gives to its state. */
export function localShader(program: ModelProgram, gradient: TracedGradient): Shader {
  const e = emitter(f32Profile, leaves(program, false));
  const value = e.value(gradient.local[0]!);
  return shader(
    program,
    "what read-outs give",
    ["cotangents"],
    entryPerItem(
      `p.B * p.steps * p.H * ${program.columns}u`,
      `${places(program.columns, "v")}
  let k = 0u;
${e.text()}
  cotangents[id] = ${value};`,
    ),
  );
}

/** The state before step s. */
function beforeSource(columns: number): string {
  return /* wgsl */ `
fn ds_before(b: u32, s: u32, h: u32, lane: u32) -> f32 {
  if (s == 0u) { return initial[(b * p.H + h) * ${columns}u + lane]; }
  return states[((b * p.steps + s - 1u) * p.H + h) * ${columns}u + lane];
}
`;
}

/**
 * `gradient`: of an input, an entry per item; of a parameter, the sum over a chunk of time per item, `[B, chunks, H, …]`.
 */
export function inputShader(
  program: ModelProgram,
  gradient: TracedGradient,
  name: string,
  { add: adding = false }: { readonly add?: boolean } = {},
): Shader {
  const { model, sizes } = gradient;
  const spec = (model.inputs as { readonly [name: string]: InputSpec })[name]!;
  const [height = 1, depth = 1] = fieldShape(spec.axes, sizes);
  const size = height * depth;
  const { update, read } = gradient.inputs[name]!;
  const emitters: readonly (readonly [Emitter, Expr])[] = [
    [emitter(f32Profile, leaves(program, true), "u"), update],
    [emitter(f32Profile, leaves(program, false), "r"), read],
  ];
  const parameter = spec.per === "parameter";
  const texts = emitters.map(([e, expr]) => {
    const add = (): void => {
      const value = e.value(expr);
      e.line(`total += ${value};`);
    };
    if (parameter) e.scope("for (var s = start; s < end; s++)", ["s"], add);
    else add();
    return e.text();
  });
  const where = parameter
    ? /* wgsl */ `
  let entry = id % ${size}u;
  let h = id / ${size}u % p.H;
  let chunk = id / (${size}u * p.H) % p.chunks;
  let b = id / (${size}u * p.H * p.chunks);
  let start = chunk * p.chunk;
  let end = min(start + p.chunk, p.steps);`
    : places(size, "entry");
  return shader(
    program,
    `gradient of ${name}`,
    ["gradient"],
    beforeSource(program.columns) + entryPerItem(
      `p.B * ${parameter ? "p.chunks" : "p.steps"} * p.H * ${size}u`,
      `${where}
  let entry_p = entry / ${depth}u;
  let entry_q = entry % ${depth}u;
  var total = 0.0;
${texts.join("\n")}
  gradient[id] ${adding ? "+=" : "="} total;`,
    ),
  );
}
