/**
 * The shaders of the backward pass, made from a traced gradient (models/gradient.ts).
 *
 * Every kernel sees the same buffers under the same names, flat and row-major:
 *
 * | name | contents |
 * |---|---|
 * | extent | B, steps, H, chunks, then the offset of each input in `inputs` |
 * | inputs | all checked inputs, one after the other |
 * | initial, final | the initial state, and the cotangent of the final one: `[B, H, rows, columns, width]` |
 * | outputs | the cotangent of the outputs, `[B, T, H, columns]` |
 * | states | S_0 … S_T, `[B, H, steps + 1, rows, columns, width]` |
 * | lambda | first what the read-outs give (r), then λ_0 … λ_T, `[B, H, steps + 1, rows, columns, cotangents]` |
 * | elements | one element per chunk and lane, `[B, H, chunks, rows, columns, element]` |
 * | result | what the kernel is for |
 *
 * @module
 */
import type { Tuple } from "../models/action.ts";
import { laneActions } from "../models/action.ts";
import { type InputSpec, outputColumns, stateColumns, stateRows } from "../models/affine.ts";
import { backAction, outputCotangent, stateCotangents, stateExponent, type TracedGradient } from "../models/gradient.ts";
import { microSteps } from "../models/inputs.ts";
import type { Expr } from "../models/symbolic.ts";
import { fieldShape } from "../models/token.ts";
import { f32Profile } from "./profile.ts";
import { type Emitter, emitter, type Environment, type Leaf } from "./trace.ts";
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

/** All shaders of a model's backward pass. */
export interface BackwardShaders {
  /** The forward states, in order. */
  readonly forward: readonly Shader[];
  readonly local: Shader;
  /** λ, in order. */
  readonly back: readonly Shader[];
  /** λ_0 as the caller gets it. */
  readonly start: Shader;
  /** The gradient of each input: an entry of the result per thread, or a chunk's sum for a parameter. */
  readonly inputs: { readonly [name: string]: Shader };
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
function shader(label: string, writes: readonly BufferName[], body: string, outside: string = ""): Shader {
  const buffers = (Object.keys(elementTypes) as BufferName[]).filter((name) => new RegExp(`\\b${name}\\[`).test(body));
  const declarations = buffers.map((name, binding) =>
    `@group(0) @binding(${binding}) var<storage, ${writes.includes(name) ? "read_write" : "read"}> ` +
    `${name}: array<${elementTypes[name]}>;`
  );
  const code = /* wgsl */ `
${declarations.join("\n")}
${f32Profile.prelude}
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

const extents = /* wgsl */ `
  let steps = extent[1];
  let H = extent[2];
  let chunks = extent[3];
`;

/** What one kernel's expressions find at their leaves. */
interface Places {
  /** The state an expression sees: the index of its step, or the text of an entry. */
  readonly state?: string | ((k: string, component: number) => Leaf);
  /** The cotangent of the state: the index of its step, or the text of an entry. */
  readonly lambda?: string | ((k: string, component: number) => Leaf);
  readonly variables?: { readonly [name: string]: Leaf };
}

/** The shaders of one traced gradient. */
export function backwardShaders(gradient: TracedGradient): BackwardShaders {
  const { model, sizes, algebra: A, width, cotangents, element, next, local, pull, factor } = gradient;
  const rows = stateRows(model, sizes);
  const columns = stateColumns(model, sizes);
  const lanes = rows * columns;
  const micro = microSteps(model);
  const early = model.reads === "pre" ? 0 : 1;
  const specs = Object.entries(model.inputs as { readonly [name: string]: InputSpec });
  const offsets = new Map(specs.map(([name], n) => [name, `extent[${4 + n}]`]));

  const stateAt = (step: string, entry: string, component: number | string): string =>
    `states[((bh * (steps + 1u) + ${step}) * ${lanes}u + ${entry}) * ${width}u + ${component}]`;
  const lambdaAt = (step: string, entry: string, component: number): string =>
    `lambda[((bh * (steps + 1u) + ${step}) * ${lanes}u + ${entry}) * ${cotangents}u + ${component}]`;
  const elementAt = (chunk: string, elementWidth: number, component: number): string =>
    `elements[((bh * chunks + ${chunk}) * ${lanes}u + lane) * ${elementWidth}u + ${component}]`;
  const entryOf = (k: string, v: string): string => `${k} * ${columns}u + ${v}`;
  const each = (n: number, text: (component: number) => string): string =>
    Array.from({ length: n }, (_, component) => text(component)).join("\n");

  /** Everything that may be loaded at step `s` of sequence `bh`. */
  function environment({ state, lambda, variables = {} }: Places): Environment {
    const ofStep = (text: string): Leaf => ({ text, needs: ["s"] });
    return {
      load(field, index) {
        if (field === outputCotangent) {
          const row = `(b * (steps / ${micro}u) + s / ${micro}u) * H + h`;
          return ofStep(`outputs[(${row}) * ${outputColumns(model, sizes)}u + ${index[0]}]`);
        }
        if (field === stateExponent) return ofStep(stateAt("(s + 1u)", `(${entryOf(index[0]!, index[1]!)})`, 1));
        const component = stateCotangents.indexOf(field);
        if (component >= 0) {
          if (typeof lambda === "function") return lambda(index[0]!, component);
          return ofStep(lambdaAt(lambda!, `(${entryOf(index[0]!, index[1]!)})`, component));
        }
        const spec = model.inputs[field] as InputSpec;
        const shape = fieldShape(spec.axes, sizes);
        const size = shape.reduce((x, y) => x * y, 1);
        const entry = index.length === 0 ? "0u" : index.length === 1 ? index[0]! : `${index[0]} * ${shape[1]}u + ${index[1]}`;
        if (spec.per === "parameter") return `inputs[${offsets.get(field)} + h * ${size}u + ${entry}]`;
        return ofStep(`inputs[${offsets.get(field)} + ((b * steps + s) * H + h) * ${size}u + ${entry}]`);
      },
      state(k, v, component) {
        if (typeof state === "function") return state(k, component);
        return ofStep(stateAt(state!, `(${entryOf(k, v)})`, component));
      },
      variable: (name) => variables[name]!,
    };
  }

  const chunkOfLane = /* wgsl */ `${extents}
  let lane = thread % ${lanes}u;
  let chunk = (thread / ${lanes}u) % max(chunks, 1u);
  let bh = thread / ${lanes}u / max(chunks, 1u);
  if (bh >= extent[0] * H) { return; }
  let b = bh / H;
  let h = bh % H;
  let k = lane / ${columns}u;
  let v = lane % ${columns}u;
  let start = chunk * ${CHUNK}u;
  let end = min(start + ${CHUNK}u, steps);
`;
  const sequenceOfLane = /* wgsl */ `${extents}
  let lane = thread % ${lanes}u;
  let bh = thread / ${lanes}u;
  if (bh >= extent[0] * H) { return; }
`;
  const forwards = "for (var s = start; s < end; s++)";
  const backwards = "for (var later = end; later > start; later--)";

  /** Emits a loop over variables `name0, name1, …` that each iteration replaces by `update`'s values. */
  function recurrence(
    e: Emitter,
    name: string,
    head: string,
    key: string,
    count: number,
    before: readonly string[],
    update: () => Tuple<Expr>,
    after: readonly string[],
  ): void {
    e.scope(head, [key], () => {
      before.forEach((line) => e.line(line));
      for (let c = 0; c < count; c++) e.line(`let last_${name}${c} = ${name}${c};`);
      const values = update().map((expr) => e.value(expr));
      values.forEach((value, c) => e.line(`${name}${c} = ${value};`));
      after.forEach((line) => e.line(line));
    });
  }

  /** Variables of the algebra, and where an iteration keyed by `key` finds them. */
  function variables(prefix: string, text: string, count: number, key: string): {
    readonly exprs: Tuple<Expr>;
    readonly leaves: { readonly [name: string]: Leaf };
  } {
    const names = Array.from({ length: count }, (_, c) => `${prefix}${c}`);
    return {
      exprs: names.map((name) => A.variable(name)),
      leaves: Object.fromEntries(names.map((name, c) => [name, { text: `${text}${c}`, needs: [key] }])),
    };
  }

  function laneForward(lifted: Tuple<Expr>): Shader[] {
    const action = laneActions[model.action as keyof typeof laneActions];
    const wide = action.elementWidth;
    const accumulated = variables("x", "last_x", wide, "s");
    const reduce = emitter(f32Profile, environment({ variables: accumulated.leaves }));
    recurrence(reduce, "x", forwards, "s", wide, [], () => action.combine<Expr>(A, accumulated.exprs, lifted), []);

    const whole = variables("y", "y", wide, "part");
    const held = variables("x", "last_x", width, "part");
    const carry = emitter(f32Profile, environment({ variables: { ...whole.leaves, ...held.leaves } }));
    recurrence(
      carry,
      "x",
      "for (var part = 0u; part + 1u < chunks; part++)",
      "part",
      width,
      Array.from({ length: wide }, (_, c) => `let y${c} = ${elementAt("part", wide, c)};`),
      () => action.apply<Expr>(A, whole.exprs, held.exprs),
      Array.from({ length: width }, (_, c) => `${stateAt(`(part + 1u) * ${CHUNK}u`, "lane", c)} = x${c};`),
    );

    const apply = emitter(
      f32Profile,
      environment({ state: (_, component) => ({ text: `last_x${component}`, needs: ["s"] }) }),
    );
    recurrence(apply, "x", forwards, "s", width, [], () => next, [
      // The state at a chunk's end was written by the carry, and the next chunk starts from it.
      `if (s + 1u == steps || (s + 1u) % ${CHUNK}u != 0u) {`,
      ...Array.from({ length: width }, (_, c) => `  ${stateAt("(s + 1u)", "lane", c)} = x${c};`),
      "}",
    ]);
    return [
      shader("forward reduce", ["elements"], [
        chunkOfLane,
        each(wide, (c) => `var x${c} = ${identityOf(action.identity(A)[c]!)};`),
        reduce.text(),
        each(wide, (c) => `${elementAt("chunk", wide, c)} = x${c};`),
      ].join("\n")),
      shader("forward carry", ["states"], [
        sequenceOfLane,
        each(width, (c) => `var x${c} = initial[thread * ${width}u + ${c}u];`),
        each(width, (c) => `${stateAt("0u", "lane", c)} = x${c};`),
        carry.text(),
      ].join("\n")),
      shader("forward apply", ["states"], [
        chunkOfLane,
        each(width, (c) => `var x${c} = ${stateAt("start", "lane", c)};`),
        apply.text(),
      ].join("\n")),
    ];
  }

  function laneBack(factors: Tuple<Expr>): Shader[] {
    const action = backAction(gradient);
    const wide = action.elementWidth;
    const step = "let s = later - 1u;";
    const given = Array.from({ length: cotangents }, (_, c) => `let r${c} = ${lambdaAt("s", "lane", c)};`);
    const r = variables("r", "r", cotangents, "s");
    const accumulated = variables("x", "last_x", wide, "s");
    const own: Places["state"] = (_, component) => ({ text: stateAt("s", "lane", component), needs: ["s"] });

    const reduce = emitter(f32Profile, environment({ state: own, variables: { ...r.leaves, ...accumulated.leaves } }));
    recurrence(
      reduce,
      "x",
      backwards,
      "s",
      wide,
      [step, ...given],
      () => action.combine<Expr>(A, accumulated.exprs, [...factors, ...r.exprs]),
      [],
    );

    const whole = variables("y", "y", wide, "part");
    const held = variables("x", "last_x", cotangents, "part");
    const carry = emitter(f32Profile, environment({ variables: { ...whole.leaves, ...held.leaves } }));
    recurrence(
      carry,
      "x",
      "for (var part = chunks; part > 1u; part--)",
      "part",
      cotangents,
      Array.from({ length: wide }, (_, c) => `let y${c} = ${elementAt("(part - 1u)", wide, c)};`),
      () => action.apply<Expr>(A, whole.exprs, held.exprs),
      Array.from({ length: cotangents }, (_, c) => `${lambdaAt(`((part - 1u) * ${CHUNK}u)`, "lane", c)} = x${c};`),
    );

    const applied = variables("x", "last_x", cotangents, "s");
    const apply = emitter(f32Profile, environment({ state: own, variables: { ...r.leaves, ...applied.leaves } }));
    recurrence(
      apply,
      "x",
      backwards,
      "s",
      cotangents,
      [step, ...given],
      () => action.apply<Expr>(A, [...factors, ...r.exprs], applied.exprs),
      [
        // λ at a chunk's start was written by the carry; the chunk before starts from it.
        "if (s != start || chunk == 0u) {",
        ...Array.from({ length: cotangents }, (_, c) => `  ${lambdaAt("s", "lane", c)} = x${c};`),
        "}",
      ],
    );
    return [
      shader("back reduce", ["elements"], [
        chunkOfLane,
        each(wide, (c) => `var x${c} = ${identityOf(action.identity(A)[c]!)};`),
        reduce.text(),
        each(wide, (c) => `${elementAt("chunk", wide, c)} = x${c};`),
      ].join("\n")),
      shader("back carry", ["lambda"], [
        sequenceOfLane,
        each(cotangents, (c) => `var x${c} = ${lambdaAt("steps", "lane", c)};`),
        carry.text(),
      ].join("\n")),
      shader("back apply", ["lambda"], [
        chunkOfLane,
        each(cotangents, (c) => `var x${c} = ${lambdaAt("end", "lane", c)};`),
        apply.text(),
      ].join("\n")),
    ];
  }

  /**
   * One workgroup per column, serial in time, a row per thread. `from` and `to` are the steps read and written in
   * iteration s, `expr` the new entry [k, v].
   */
  function columnScan(
    label: string,
    buffer: "states" | "lambda",
    head: string,
    first: readonly string[],
    expr: Expr,
    places: Places,
    assigned: (value: string) => string,
    to: string,
  ): Shader {
    const at = buffer === "states" ? stateAt : lambdaAt;
    const everyRow = `for (var k = local; k < ${rows}u; k += ${THREADS}u)`;
    const e = emitter(f32Profile, environment(places));
    e.scope(head, ["s"], () => {
      first.forEach((line) => e.line(line));
      e.line("workgroupBarrier();");
      e.scope(everyRow, ["k"], () => {
        const value = e.value(expr);
        e.line(`fresh[k] = ${assigned(value)};`);
      });
      e.line("workgroupBarrier();");
      e.scope(everyRow, ["k"], () => {
        e.line("column[k] = fresh[k];");
        e.line(`${at(to, `(${entryOf("k", "v")})`, 0)} = fresh[k];`);
      });
    });
    const begin = buffer === "states"
      ? [
        `  column[k] = initial[bh * ${lanes}u + ${entryOf("k", "v")}];`,
        `  ${stateAt("0u", `(${entryOf("k", "v")})`, 0)} = column[k];`,
      ]
      : [`  column[k] = ${lambdaAt("steps", `(${entryOf("k", "v")})`, 0)};`];
    return shader(
      label,
      [buffer],
      [
        extents,
        `let v = workgroup_index % ${columns}u;`,
        `let bh = workgroup_index / ${columns}u;`,
        "if (bh >= extent[0] * H) { return; }",
        "let b = bh / H;",
        "let h = bh % H;",
        `${everyRow} {`,
        ...begin,
        "}",
        e.text(),
      ].join("\n"),
      `var<workgroup> column: array<f32, ${rows}>;\nvar<workgroup> fresh: array<f32, ${rows}>;`,
    );
  }

  const inColumn = (k: string): Leaf => ({ text: `column[${k}]`, needs: ["s"] });
  const forward = element !== undefined
    ? laneForward(element)
    : [
      columnScan(
        "forward columns",
        "states",
        "for (var s = 0u; s < steps; s++)",
        [],
        next[0]!,
        { state: inColumn },
        (value) => value,
        "(s + 1u)",
      ),
    ];
  const back = factor !== undefined
    ? laneBack(factor)
    : [
      columnScan(
        "back columns",
        "lambda",
        "for (var later = steps; later > 0u; later--)",
        ["let s = later - 1u;"],
        pull[0]!,
        { state: "s", lambda: inColumn },
        (value) => `${value} + ${lambdaAt("s", `(${entryOf("k", "v")})`, 0)}`,
        "s",
      ),
    ];

  function localShader(): Shader {
    const e = emitter(f32Profile, environment({ state: "at" }));
    const read = early === 1 ? "at > 0u" : "at < steps";
    e.branch(`if (${read} && (at + ${1 - early}u) % ${micro}u == 0u)`, () => {
      e.line(`let s = at - ${early}u;`);
      local.map((expr) => e.value(expr)).forEach((value, c) => e.line(`r${c} = ${value};`));
    });
    const given = `final_state[(bh * ${lanes}u + lane) * ${width}u`;
    return shader("local", ["lambda"], [
      extents,
      `let lane = thread % ${lanes}u;`,
      `let at = (thread / ${lanes}u) % (steps + 1u);`,
      `let bh = thread / ${lanes}u / (steps + 1u);`,
      "if (bh >= extent[0] * H) { return; }",
      "let b = bh / H;",
      "let h = bh % H;",
      `let k = lane / ${columns}u;`,
      `let v = lane % ${columns}u;`,
      each(cotangents, (c) => `var r${c} = 0.0f;`),
      e.text(),
      "if (at == steps) {",
      each(cotangents, (c) =>
        model.action === "scaled"
          ? `r${c} += ds_scale2(${given}], ${stateAt("at", "lane", 1)} - ${given} + 1u]);`
          : `r${c} += ${given} + ${c}u];`),
      "}",
      each(cotangents, (c) => `${lambdaAt("at", "lane", c)} = r${c};`),
    ].join("\n"));
  }

  function startShader(): Shader {
    return shader("start", ["result"], [
      sequenceOfLane,
      each(cotangents, (c) => `result[thread * ${width}u + ${c}u] = ${lambdaAt("0u", "lane", c)};`),
      each(width - cotangents, (c) => `result[thread * ${width}u + ${c + 1}u] = initial[thread * ${width}u + ${c + 1}u];`),
    ].join("\n"));
  }

  function inputShader(name: string, spec: InputSpec): Shader {
    const { update, read } = gradient.inputs[name]!;
    const [height = 1, depth = 1] = fieldShape(spec.axes, sizes);
    const size = height * depth;
    const ofUpdate = emitter(f32Profile, environment({ state: "s", lambda: "(s + 1u)" }), "u");
    const ofRead = emitter(f32Profile, environment({ state: `(s + ${early}u)` }), "r");
    const add = (e: Emitter, expr: Expr): void => {
      const value = e.value(expr);
      e.line(`total += ${value};`);
    };
    const isRead = `if ((s + 1u) % ${micro}u == 0u)`;
    const entry = [`let p = index / ${depth}u;`, `let q = index % ${depth}u;`, "var total = 0.0f;"];
    if (spec.per === "parameter") {
      ofUpdate.scope(forwards, ["s"], () => add(ofUpdate, update));
      ofRead.scope(forwards, ["s"], () => ofRead.branch(isRead, () => add(ofRead, read)));
      return shader(`gradient of ${name}`, ["result"], [
        extents,
        `let index = thread % ${size}u;`,
        `let h = (thread / ${size}u) % H;`,
        `let part = thread / ${size}u / H;`,
        "if (part >= extent[0] * chunks) { return; }",
        "let b = part / chunks;",
        "let bh = b * H + h;",
        `let start = (part % chunks) * ${CHUNK}u;`,
        `let end = min(start + ${CHUNK}u, steps);`,
        ...entry,
        ofUpdate.text(),
        ofRead.text(),
        "result[thread] = total;",
      ].join("\n"));
    }
    add(ofUpdate, update);
    ofRead.branch(isRead, () => add(ofRead, read));
    const every = spec.micro === undefined || spec.micro === "every";
    return shader(`gradient of ${name}`, ["result"], [
      extents,
      `let index = thread % ${size}u;`,
      `let h = (thread / ${size}u) % H;`,
      `let tokens = ${every ? "steps" : `steps / ${micro}u`};`,
      `let token = thread / ${size}u / H;`,
      "if (token >= extent[0] * tokens) { return; }",
      "let b = token / tokens;",
      "let bh = b * H + h;",
      every ? "let s = token % tokens;" : `let s = (token % tokens) * ${micro}u + ${spec.micro === "first" ? 0 : micro - 1}u;`,
      ...entry,
      ofUpdate.text(),
      ofRead.text(),
      "result[thread] = total;",
    ].join("\n"));
  }

  return {
    forward,
    local: localShader(),
    back,
    start: startShader(),
    inputs: Object.fromEntries(specs.map(([name, spec]) => [name, inputShader(name, spec)])),
  };
}

function identityOf(expr: Expr): string {
  return f32Profile.constant(expr.op === "const" ? expr.value : NaN);
}

/** Adds up to {@link FAN} rows of `[rows, columns]`; `extent` holds rows and columns. */
export const foldShader: Shader = shader("fold", ["result"], /* wgsl */ `
  let rows = extent[0];
  let columns = extent[1];
  let column = thread % columns;
  let first = (thread / columns) * ${FAN}u;
  if (first >= rows) { return; }
  var total = 0.0f;
  for (var row = first; row < min(first + ${FAN}u, rows); row++) { total += inputs[row * columns + column]; }
  result[thread] = total;
`);
