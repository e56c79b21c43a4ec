/**
 * A traced model as WGSL: its lane program, its dense or serial matrix kernels, its read-out.
 *
 * The state of a slab is `states[B, steps, H, rows, columns, width]`; `carry_in` is the state before its first step.
 *
 * @module
 */
import { laneActions } from "../models/action.ts";
import { type AnyAffineModel, outputColumns, type Sizes, stateColumns, stateRows } from "../models/affine.ts";
import { microSteps, stateWidth } from "../models/inputs.ts";
import { type Expr, symbolic, type SymbolicAlgebra } from "../models/symbolic.ts";
import { type TracedModel, traceModel } from "../models/traced.ts";
import { type Fault, relativeFactor } from "./faults.ts";
import { type LaneProgram, paramsBinding, paramsSource } from "./lane_scan.ts";
import { inputBindings, type InputLayout, inputLayout, inputLeaf, type InputPlaces } from "./layout.ts";
import { type Profile, ringOnly } from "./profile.ts";
import { emitter, type Environment } from "./trace.ts";
import { assemble, entryPerItem, type Shader, storage } from "./wgsl.ts";

/** What every kernel of a model is made from. */
export interface ModelProgram {
  readonly model: AnyAffineModel;
  readonly profile: Profile;
  readonly traced: TracedModel;
  readonly layout: InputLayout;
  readonly places: InputPlaces;
  readonly rows: number;
  readonly columns: number;
  readonly width: 1 | 2;
  readonly outputs: number;
  readonly microSteps: number;
  readonly fault: Fault | undefined;
}

/** Traces a model for one profile. */
export function modelProgram(
  model: AnyAffineModel,
  sizes: Sizes,
  { profile, from, fault, places = "one" }: {
    readonly profile: Profile;
    readonly from: "raw" | "activated";
    readonly places?: InputPlaces;
    readonly fault?: Fault | undefined;
  },
): ModelProgram {
  return {
    model,
    profile,
    traced: traceModel(model, sizes, from),
    layout: inputLayout(model, sizes, from),
    places,
    rows: stateRows(model, sizes),
    columns: stateColumns(model, sizes),
    width: stateWidth(model),
    outputs: outputColumns(model, sizes),
    microSteps: microSteps(model),
    fault,
  };
}

const numbers = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** `fn signature -> Type { statements; return Type(values); }`, the values built on the symbolic algebra. */
function tupleFunction(
  profile: Profile,
  signature: string,
  type: string,
  environment: Environment,
  build: (algebra: SymbolicAlgebra) => readonly Expr[],
): string {
  const e = emitter(profile, environment);
  const values = build(symbolic()).map((expr) => e.value(expr));
  return `fn ${signature} -> ${type} {\n${e.text()}\nreturn ${type}(${values.join(", ")});\n}\n`;
}

/** `earlier3` → `earlier[3]`. */
const component = (name: string): string => name.replace(/(\d+)$/, "[$1]");

/** The lane program of a model whose entries are independent. */
export function laneProgram(program: ModelProgram): LaneProgram {
  const { model, profile, traced, layout, rows, columns, fault } = program;
  const action = laneActions[model.action as keyof typeof laneActions];
  const { elementWidth, stateWidth } = action;
  const environment: Environment = { variable: component };
  const variables = (A: SymbolicAlgebra, name: string, n: number): readonly Expr[] =>
    numbers(n).map((c) => A.variable(`${name}${c}`));
  const lift = emitter(profile, { load: inputLeaf(layout, program.places) });
  const element = traced.element!.map((expr) => lift.value(expr));
  const stored = numbers(stateWidth).map((c) =>
    `states[at + ${c}u] = state[${c}]${c === 0 ? relativeFactor(fault) : ""};`
  );
  return {
    label: `${model.name} ${profile.name}`,
    type: profile.type,
    elementWidth,
    stateWidth,
    bindings: [...inputBindings(layout, profile.type, program.places), storage("states", profile.type, "read_write")],
    monoid: profile.prelude +
      tupleFunction(profile, "ds_identity()", "Element", environment, (A) => action.identity(A)) +
      tupleFunction(
        profile,
        "ds_combine(earlier: Element, later: Element)",
        "Element",
        environment,
        (A) => action.combine(A, variables(A, "earlier", elementWidth), variables(A, "later", elementWidth)),
      ),
    apply: tupleFunction(
      profile,
      "ds_apply(element: Element, state: State)",
      "State",
      environment,
      (A) => action.apply(A, variables(A, "element", elementWidth), variables(A, "state", stateWidth)),
    ),
    lift: /* wgsl */ `
fn ds_lift(lane: u32, s: u32) -> Element {
  let v = lane % ${columns}u;
  let k = lane / ${columns}u % ${rows}u;
  let h = lane / ${rows * columns}u % p.H;
  let b = lane / p.lanes;
${lift.text()}
  return Element(${element.join(", ")});
}
`,
    store: /* wgsl */ `
fn ds_store(lane: u32, s: u32, state: State) {
  let at = ((lane / p.lanes * p.steps + s) * p.lanes + lane % p.lanes) * ${stateWidth}u;
  ${stored.join(" ")}
}
`,
  };
}

/**
 * `outputs[B, tokens, H, V]`, the slab's place in it, from `states`: one invocation per output. Undefined where the profile is a finite ring and
 * the read-out divides.
 */
export function readShader(program: ModelProgram): Shader | undefined {
  const { model, profile, traced, layout, rows, columns, width, outputs, microSteps, fault } = program;
  if (profile.type === "u32" && !ringOnly(traced.read)) return undefined;
  const pre = model.reads === "pre";
  const at = (b: string, s: string, k: string, v: string, c: 0 | 1): string =>
    `(((${b} * p.steps + ${s}) * p.H + h) * ${rows * columns}u + ${k} * ${columns}u + ${v}) * ${width}u + ${c}u`;
  const e = emitter(profile, {
    load: inputLeaf(layout, program.places),
    state: (k, v, c) => pre ? `ds_previous(b, s, h, ${k}, ${v}, ${c}u)` : `states[${at("b", "s", k, v, c)}]`,
  });
  const value = e.value(traced.read);
  const previous = /* wgsl */ `
fn ds_previous(b: u32, s: u32, h: u32, k: u32, v: u32, c: u32) -> ${profile.type} {
  if (s == 0u) { return carry_in[((b * p.H + h) * ${rows * columns}u + k * ${columns}u + v) * ${width}u + c]; }
  return states[(((b * p.steps + s - 1u) * p.H + h) * ${rows * columns}u + k * ${columns}u + v) * ${width}u + c];
}
`;
  return assemble(`${model.name} ${profile.name}: read`, {
    bindings: [
      paramsBinding,
      ...inputBindings(layout, profile.type, program.places),
      storage("states", profile.type),
      ...(pre ? [storage("carry_in", profile.type)] : []),
      storage("outputs", profile.type, "read_write"),
    ],
    source: paramsSource + profile.prelude + (pre ? previous : "") + entryPerItem(
      `p.B * p.steps / ${microSteps}u * p.H * ${outputs}u`,
      /* wgsl */ `
  let v = id % ${outputs}u;
  let h = id / ${outputs}u % p.H;
  let tokens = p.steps / ${microSteps}u;
  let t = id / (${outputs}u * p.H) % tokens;
  let b = id / (${outputs}u * p.H * tokens);
  let s = t * ${microSteps}u + ${microSteps - 1}u;
${e.text()}
  let row = (b * (p.total / ${microSteps}u) + p.start / ${microSteps}u + t) * p.H + h;
  outputs[row * ${outputs}u + v] = ${value}${profile.type === "f32" ? relativeFactor(fault) : ""};`,
    ),
  });
}
