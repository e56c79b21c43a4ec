/**
 * The two scans of lane actions, in chunks: states forwards, λ backwards. Each is reduce (an element per chunk), carry (the
 * state at every chunk's border, serial over chunks), apply (from the border through the chunk).
 *
 * @module
 */
import { laneActions, type Tuple } from "../models/action.ts";
import { backAction, type TracedGradient } from "../models/gradient.ts";
import type { Expr, SymbolicAlgebra } from "../models/symbolic.ts";
import { each, type Layout, type Places } from "./_backward_layout.ts";
import { CHUNK, type Shader, shader } from "./_backward_shader.ts";
import { f32Profile } from "./profile.ts";
import { type Emitter, emitter, type Leaf } from "./trace.ts";

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
function variables(A: SymbolicAlgebra, prefix: string, text: string, count: number, key: string): {
  readonly exprs: Tuple<Expr>;
  readonly leaves: { readonly [name: string]: Leaf };
} {
  const names = Array.from({ length: count }, (_, c) => `${prefix}${c}`);
  return {
    exprs: names.map((name) => A.variable(name)),
    leaves: Object.fromEntries(names.map((name, c) => [name, { text: `${text}${c}`, needs: [key] }])),
  };
}

function identityOf(expr: Expr): string {
  return f32Profile.constant(expr.op === "const" ? expr.value : NaN);
}

/** S_0 … S_T, from `lifted`, the element of a lane. */
export function laneForward(gradient: TracedGradient, layout: Layout, lifted: Tuple<Expr>): Shader[] {
  const { model, algebra: A, width, next } = gradient;
  const { stateAt, elementAt, environment, chunkOfLane, sequenceOfLane } = layout;
  const action = laneActions[model.action as keyof typeof laneActions];
  const wide = action.elementWidth;
  const accumulated = variables(A, "x", "last_x", wide, "s");
  const reduce = emitter(f32Profile, environment({ variables: accumulated.leaves }));
  recurrence(reduce, "x", forwards, "s", wide, [], () => action.combine<Expr>(A, accumulated.exprs, lifted), []);

  const whole = variables(A, "y", "y", wide, "part");
  const held = variables(A, "x", "last_x", width, "part");
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
    shader(
      "forward reduce",
      ["elements"],
      [
        chunkOfLane,
        each(wide, (c) => `var x${c} = ${identityOf(action.identity(A)[c]!)};`),
        reduce.text(),
        each(wide, (c) => `${elementAt("chunk", wide, c)} = x${c};`),
      ].join("\n"),
    ),
    shader(
      "forward carry",
      ["states"],
      [
        sequenceOfLane,
        each(width, (c) => `var x${c} = initial[thread * ${width}u + ${c}u];`),
        each(width, (c) => `${stateAt("0u", "lane", c)} = x${c};`),
        carry.text(),
      ].join("\n"),
    ),
    shader(
      "forward apply",
      ["states"],
      [
        chunkOfLane,
        each(width, (c) => `var x${c} = ${stateAt("start", "lane", c)};`),
        apply.text(),
      ].join("\n"),
    ),
  ];
}

/** λ in place of what the read-outs gave, from the factors of a lane. */
export function laneBack(gradient: TracedGradient, layout: Layout, factors: Tuple<Expr>): Shader[] {
  const { algebra: A, cotangents } = gradient;
  const { stateAt, lambdaAt, elementAt, environment, chunkOfLane, sequenceOfLane } = layout;
  const action = backAction(gradient);
  const wide = action.elementWidth;
  const step = "let s = later - 1u;";
  const given = Array.from({ length: cotangents }, (_, c) => `let r${c} = ${lambdaAt("s", "lane", c)};`);
  const r = variables(A, "r", "r", cotangents, "s");
  const accumulated = variables(A, "x", "last_x", wide, "s");
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

  const whole = variables(A, "y", "y", wide, "part");
  const held = variables(A, "x", "last_x", cotangents, "part");
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

  const applied = variables(A, "x", "last_x", cotangents, "s");
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
    shader(
      "back reduce",
      ["elements"],
      [
        chunkOfLane,
        each(wide, (c) => `var x${c} = ${identityOf(action.identity(A)[c]!)};`),
        reduce.text(),
        each(wide, (c) => `${elementAt("chunk", wide, c)} = x${c};`),
      ].join("\n"),
    ),
    shader(
      "back carry",
      ["lambda"],
      [
        sequenceOfLane,
        each(cotangents, (c) => `var x${c} = ${lambdaAt("steps", "lane", c)};`),
        carry.text(),
      ].join("\n"),
    ),
    shader(
      "back apply",
      ["lambda"],
      [
        chunkOfLane,
        each(cotangents, (c) => `var x${c} = ${lambdaAt("end", "lane", c)};`),
        apply.text(),
      ].join("\n"),
    ),
  ];
}
