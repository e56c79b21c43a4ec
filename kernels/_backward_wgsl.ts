/**
 * The shaders of the backward pass, made from a traced gradient (models/gradient.ts).
 *
 * Phases: forward states, what the read-outs give to each (`local`), λ backwards, then one kernel per input. The
 * buffers they share are listed in _backward_shader.ts.
 *
 * @module
 */
import type { InputSpec } from "../models/affine.ts";
import type { TracedGradient } from "../models/gradient.ts";
import type { Expr } from "../models/symbolic.ts";
import { fieldShape } from "../models/token.ts";
import { columnBack, columnForward } from "./_backward_columns.ts";
import { laneBack, laneForward } from "./_backward_lanes.ts";
import { backwardLayout, each, type Layout } from "./_backward_layout.ts";
import { CHUNK, extents, FAN, type Shader, shader } from "./_backward_shader.ts";
import { f32Profile } from "./profile.ts";
import { type Emitter, emitter } from "./trace.ts";

/** All shaders of a model's backward pass. */
export interface BackwardShaders {
  /** The forward states, in order. */
  readonly forward: readonly Shader[];
  readonly local: Shader;
  /** λ, in order. */
  readonly back: readonly Shader[];
  /** λ_0 as the caller gets it. */
  readonly start: Shader;
  /** The gradient of an input: an entry of the result per thread, or a chunk's sum for a parameter. */
  input(name: string, options?: ResultOptions): Shader;
}

/** What becomes of a gradient. */
export interface ResultOptions {
  /** Whether it is added to what is there. */
  readonly add?: boolean;
}

/** The shaders of one traced gradient. */
export function backwardShaders(gradient: TracedGradient): BackwardShaders {
  const { model, element, factor } = gradient;
  const layout = backwardLayout(gradient);
  const specs = model.inputs as { readonly [name: string]: InputSpec };
  return {
    forward: element === undefined ? [columnForward(gradient, layout)] : laneForward(gradient, layout, element),
    local: localShader(gradient, layout),
    back: factor === undefined ? [columnBack(gradient, layout)] : laneBack(gradient, layout, factor),
    start: startShader(gradient, layout),
    input: (name, options = {}) => inputShader(gradient, layout, name, specs[name]!, options),
  };
}

/** What the read-outs give to every state, and the cotangent of the last one. */
function localShader(gradient: TracedGradient, layout: Layout): Shader {
  const { model, width, cotangents, local } = gradient;
  const { columns, lanes, micro, early, stateAt, lambdaAt, environment } = layout;
  const e = emitter(f32Profile, environment({ state: "at" }));
  const read = early === 1 ? "at > 0u" : "at < steps";
  e.branch(`if (${read} && (at + ${1 - early}u) % ${micro}u == 0u)`, () => {
    e.line(`let s = at - ${early}u;`);
    local.map((expr) => e.value(expr)).forEach((value, c) => e.line(`r${c} = ${value};`));
  });
  const given = `final_state[(bh * ${lanes}u + lane) * ${width}u`;
  return shader(
    "local",
    ["lambda"],
    [
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
      each(
        cotangents,
        (c) =>
          model.action === "scaled"
            ? `r${c} += ds_scale2(${given}], ${stateAt("at", "lane", 1)} - ${given} + 1u]);`
            : `r${c} += ${given} + ${c}u];`,
      ),
      "}",
      each(cotangents, (c) => `${lambdaAt("at", "lane", c)} = r${c};`),
    ].join("\n"),
  );
}

/** λ_0, as pairs with the exponent where the state has one. */
function startShader({ width, cotangents }: TracedGradient, { lambdaAt, sequenceOfLane }: Layout): Shader {
  return shader(
    "start",
    ["result"],
    [
      sequenceOfLane,
      each(cotangents, (c) => `result[thread * ${width}u + ${c}u] = ${lambdaAt("0u", "lane", c)};`),
      each(
        width - cotangents,
        (c) => `result[thread * ${width}u + ${c + 1}u] = initial[thread * ${width}u + ${c + 1}u];`,
      ),
    ].join("\n"),
  );
}

/** The gradient of one input. */
function inputShader(
  gradient: TracedGradient,
  layout: Layout,
  name: string,
  spec: InputSpec,
  { add: adding = false }: ResultOptions,
): Shader {
  const { micro, early, environment, total, first } = layout;
  const assign = adding ? "+=" : "=";
  const { update, read } = gradient.inputs[name]!;
  const [height = 1, depth = 1] = fieldShape(spec.axes, gradient.sizes);
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
    const steps = "for (var s = start; s < end; s++)";
    ofUpdate.scope(steps, ["s"], () => add(ofUpdate, update));
    ofRead.scope(steps, ["s"], () => ofRead.branch(isRead, () => add(ofRead, read)));
    return shader(
      `gradient of ${name}`,
      ["result"],
      [
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
        // Slabs are whole chunks.
        `let row = b * ((${total} + ${CHUNK - 1}u) / ${CHUNK}u) + ${first} / ${CHUNK}u + part % chunks;`,
        `result[(row * H + h) * ${size}u + index] ${assign} total;`,
      ].join("\n"),
    );
  }
  add(ofUpdate, update);
  ofRead.branch(isRead, () => add(ofRead, read));
  const every = spec.micro === undefined || spec.micro === "every";
  return shader(
    `gradient of ${name}`,
    ["result"],
    [
      extents,
      `let index = thread % ${size}u;`,
      `let h = (thread / ${size}u) % H;`,
      `let tokens = ${every ? "steps" : `steps / ${micro}u`};`,
      `let token = thread / ${size}u / H;`,
      "if (token >= extent[0] * tokens) { return; }",
      "let b = token / tokens;",
      "let bh = b * H + h;",
      every
        ? "let s = token % tokens;"
        : `let s = (token % tokens) * ${micro}u + ${spec.micro === "first" ? 0 : micro - 1}u;`,
      ...entry,
      ofUpdate.text(),
      ofRead.text(),
      every
        ? `let row = b * ${total} + ${first} + token % tokens;`
        : `let row = b * (${total} / ${micro}u) + ${first} / ${micro}u + token % tokens;`,
      `result[(row * H + h) * ${size}u + index] ${assign} total;`,
    ].join("\n"),
  );
}

/** Adds up to {@link FAN} rows of `[rows, columns]`, to what is there if asked for; `extent` holds rows and columns. */
const fold = (assign: "=" | "+="): Shader =>
  shader(
    "fold",
    ["result"],
    /* wgsl */ `
  let rows = extent[0];
  let columns = extent[1];
  let column = thread % columns;
  let first = (thread / columns) * ${FAN}u;
  if (first >= rows) { return; }
  var total = 0.0f;
  for (var row = first; row < min(first + ${FAN}u, rows); row++) { total += inputs[row * columns + column]; }
  result[thread] ${assign} total;
`,
  );

export const foldShader: Shader = fold("=");
export const addingFoldShader: Shader = fold("+=");
