/**
 * Where the expressions of a traced gradient find their leaves in the buffers of the backward pass, and what the bodies
 * of its shaders have in common.
 *
 * @module
 */
import { type InputSpec, outputColumns, stateColumns, stateRows } from "../models/affine.ts";
import { outputCotangent, stateCotangents, stateExponent, type TracedGradient } from "../models/gradient.ts";
import { microSteps } from "../models/inputs.ts";
import { fieldShape } from "../models/token.ts";
import { CHUNK, extents } from "./_backward_shader.ts";
import type { Environment, Leaf } from "./trace.ts";

/** What one kernel's expressions find at their leaves. */
export interface Places {
  /** The state an expression sees: the index of its step, or the text of an entry. */
  readonly state?: string | ((k: string, component: number) => Leaf);
  /** The cotangent of the state: the index of its step, or the text of an entry. */
  readonly lambda?: string | ((k: string, component: number) => Leaf);
  readonly variables?: { readonly [name: string]: Leaf };
}

/** The buffers of one traced gradient, as WGSL. Indices are texts; `bh` is the sequence. */
export interface Layout {
  readonly rows: number;
  readonly columns: number;
  /** rows · columns. */
  readonly lanes: number;
  /** Micro-steps a token. */
  readonly micro: number;
  /** What is added to a step for the state its read-out sees: 1, or 0 for a model that reads before its update. */
  readonly early: 0 | 1;
  stateAt(step: string, entry: string, component: number): string;
  lambdaAt(step: string, entry: string, component: number): string;
  /** A number of a chunk's element, in lane `lane`. */
  elementAt(chunk: string, elementWidth: number, component: number): string;
  /** The entry [k, v] of a state, flat, in brackets. */
  entry(k: string, v: string): string;
  /** Everything that may be loaded at step `s` of sequence `bh`. */
  environment(places: Places): Environment;
  /** Steps of the whole run, of which the buffers hold some, and the first of those. */
  readonly total: string;
  readonly first: string;
  /** Begins a kernel of one thread per sequence, chunk and lane; steps `start … end − 1`. */
  readonly chunkOfLane: string;
  /** Begins a kernel of one thread per sequence and lane. */
  readonly sequenceOfLane: string;
}

/** One line of WGSL for each of `n` components. */
export function each(n: number, text: (component: number) => string): string {
  return Array.from({ length: n }, (_, component) => text(component)).join("\n");
}

/** The layout of one traced gradient. */
export function backwardLayout({ model, sizes, width, cotangents }: TracedGradient): Layout {
  const rows = stateRows(model, sizes);
  const columns = stateColumns(model, sizes);
  const lanes = rows * columns;
  const micro = microSteps(model);
  const early = model.reads === "pre" ? 0 : 1;
  const offsets = new Map(Object.keys(model.inputs).map((name, n) => [name, `extent[${6 + n}]`]));

  const stateAt = (step: string, entry: string, component: number): string =>
    `states[((bh * (steps + 1u) + ${step}) * ${lanes}u + ${entry}) * ${width}u + ${component}]`;
  const lambdaAt = (step: string, entry: string, component: number): string =>
    `lambda[((bh * (steps + 1u) + ${step}) * ${lanes}u + ${entry}) * ${cotangents}u + ${component}]`;
  const elementAt = (chunk: string, elementWidth: number, component: number): string =>
    `elements[((bh * chunks + ${chunk}) * ${lanes}u + lane) * ${elementWidth}u + ${component}]`;
  const entry = (k: string, v: string): string => `(${k} * ${columns}u + ${v})`;

  /** Everything that may be loaded at step `s` of sequence `bh`. */
  function environment({ state, lambda, variables = {} }: Places): Environment {
    const ofStep = (text: string): Leaf => ({ text, needs: ["s"] });
    return {
      load(field, index) {
        if (field === outputCotangent) {
          const row = `(b * (extent[4] / ${micro}u) + (extent[5] + s) / ${micro}u) * H + h`;
          return ofStep(`outputs[(${row}) * ${outputColumns(model, sizes)}u + ${index[0]}]`);
        }
        if (field === stateExponent) return ofStep(stateAt("(s + 1u)", entry(index[0]!, index[1]!), 1));
        const component = stateCotangents.indexOf(field);
        if (component >= 0) {
          if (typeof lambda === "function") return lambda(index[0]!, component);
          return ofStep(lambdaAt(lambda!, entry(index[0]!, index[1]!), component));
        }
        const spec = model.inputs[field] as InputSpec;
        const shape = fieldShape(spec.axes, sizes);
        const size = shape.reduce((x, y) => x * y, 1);
        const own = index.length === 0
          ? "0u"
          : index.length === 1
          ? index[0]!
          : `${index[0]} * ${shape[1]}u + ${index[1]}`;
        if (spec.per === "parameter") return `inputs[${offsets.get(field)} + h * ${size}u + ${own}]`;
        return ofStep(`inputs[${offsets.get(field)} + ((b * steps + s) * H + h) * ${size}u + ${own}]`);
      },
      state(k, v, component) {
        if (typeof state === "function") return state(k, component);
        return ofStep(stateAt(state!, entry(k, v), component));
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
  return {
    rows,
    columns,
    lanes,
    micro,
    early,
    stateAt,
    lambdaAt,
    elementAt,
    entry,
    environment,
    total: "extent[4]",
    first: "extent[5]",
    chunkOfLane,
    sequenceOfLane,
  };
}
