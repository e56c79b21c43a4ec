/**
 * Outputs and gradients of one sequence in f64, at lengths whose states do not fit in memory all at once: the same
 * expressions as `backward` (models/backward.ts), with only the states that are needed. In f32 they are what the recurrence
 * itself gives in the precision of the kernels, one token after the other.
 *
 * @module
 */
import type { SymbolicIndex } from "../../models/arith.ts";
import { type AnyAffineModel, outputColumns, stateColumns, stateRows } from "../../models/affine.ts";
import { gradientRow, readStep } from "../../models/backward.ts";
import { outputCotangent, p, q, stateCotangents, stateExponent, traceGradient } from "../../models/gradient.ts";
import { double, type Precision } from "../../models/execution.ts";
import { type Batch, type Dims, inputEntries, type Inputs, inputWidth, prepare } from "../../models/inputs.ts";
import { fieldShape } from "../../models/token.ts";
import { k, v } from "../../models/traced.ts";
import { compiled, type Loop, type Program, type Shapes } from "./program.ts";

/** Steps between states that are kept for the backward pass. */
const SEGMENT = 256;

/** The stages of a model's steps, see `TracedGradient`. */
interface Stages {
  /** Numbers of a state. */
  readonly numbers: number;
  readonly width: number;
  readonly cotangents: number;
  readonly next: Program;
  readonly read: Program;
  readonly local: Program;
  readonly pull: Program;
  readonly inputs: { readonly [name: string]: { readonly update: Program; readonly read: Program } };
}

function stagesOf(model: AnyAffineModel, { sizes }: Dims, precision: Precision): Stages {
  const { loads, width, cotangents, next, read, local, pull, inputs } = traceGradient(model, sizes);
  const rows = stateRows(model, sizes);
  const columns = stateColumns(model, sizes);
  const lane = [rows, columns];
  const shapes: Shapes = {
    loads: {
      ...Object.fromEntries(Object.entries(loads).map(([name, axes]) => [name, fieldShape(axes, sizes)])),
      [outputCotangent]: [columns],
      ...Object.fromEntries([...stateCotangents, stateExponent].map((name) => [name, lane])),
    },
    columns,
    width,
  };
  const loop = (index: unknown, n: number): Loop => ({ index: index as SymbolicIndex, n });
  const lanes = [loop(k, rows), loop(v, columns)];
  return {
    numbers: rows * columns * width,
    width,
    cotangents,
    next: compiled(next, lanes, shapes, precision),
    read: compiled([read], [loop(v, outputColumns(model, sizes))], shapes, precision),
    local: compiled(local, lanes, shapes, precision),
    pull: compiled(pull, lanes, shapes, precision),
    inputs: Object.fromEntries(
      Object.entries(inputs).map(([name, gradient]) => {
        const entries = fieldShape(gradient.axes, sizes).map((n, d) => loop(d === 0 ? p : q, n));
        const of = (expr: typeof gradient.read): Program => compiled([expr], entries, shapes, precision);
        return [name, { update: of(gradient.update), read: of(gradient.read) }];
      }),
    ),
  };
}

type Loads = { [name: string]: Float64Array };

/**
 * The raw inputs of a step of a batch of one sequence, with places for more loads beside them. It is the same object for
 * every step: a million steps would make many.
 */
function rawAt({ model, dims: { sizes }, inputs }: Batch, more: Loads = {}): (step: number) => Loads {
  const loads: Loads = { ...more };
  const entries = inputEntries(model).map(([name, spec]) => {
    const place = new Float64Array(inputWidth(spec, sizes));
    loads[name] = place;
    return { place, values: inputs[name]!, fixed: spec.per === "parameter" };
  });
  return (step) => {
    for (const { place, values, fixed } of entries) {
      const from = fixed ? 0 : step * place.length;
      for (let n = 0; n < place.length; n++) place[n] = values[from + n]!;
    }
    return loads;
  };
}

/** The outputs `[T, columns]` of one sequence (B and H are 1) from zero. */
export function trueOutputs(
  model: AnyAffineModel,
  dims: Dims,
  inputs: Inputs,
  precision: Precision = double,
): Float64Array {
  const batch = prepare(model, dims, inputs);
  const { numbers, next, read } = stagesOf(model, dims, precision);
  const raw = rawAt(batch);
  const columns = outputColumns(model, dims.sizes);
  const out = new Float64Array(dims.T * columns);
  let [state, after] = [new Float64Array(numbers), new Float64Array(numbers)];
  let [s, t] = [0, 0];
  for (; s < batch.steps; s++) {
    const loads = raw(s);
    next(loads, state, after);
    if (s === readStep(model, t)) {
      read(loads, model.reads === "pre" ? state : after, out.subarray(t * columns, (t + 1) * columns));
      t++;
    }
    [state, after] = [after, state];
  }
  return out;
}

/** Gradients of Σ cotangent · o of one sequence (B and H are 1) from zero, by input: part by part from the end. */
export function trueGradients(
  model: AnyAffineModel,
  dims: Dims,
  inputs: Inputs,
  cotangents: Float64Array,
  precision: Precision = double,
): { readonly [name: string]: Float64Array } {
  const batch = prepare(model, dims, inputs);
  const stages = stagesOf(model, dims, precision);
  const { numbers, width, cotangents: parts, next } = stages;
  const columns = outputColumns(model, dims.sizes);
  const lanes = numbers / width;
  const late = model.reads === "pre";
  const { add } = precision.algebra;
  // λ, what is added to it, and its components as loads.
  const lambda = new Float64Array(lanes * parts);
  const given = new Float64Array(lanes * parts);
  const components = Array.from({ length: parts }, () => new Float64Array(lanes));
  const exponents = new Float64Array(lanes);
  const output = new Float64Array(columns);
  const raw = rawAt(batch, {
    [outputCotangent]: output,
    [stateExponent]: exponents,
    ...Object.fromEntries(components.map((values, c) => [stateCotangents[c]!, values])),
  });
  const out = Object.fromEntries(inputEntries(model).map(([name]) => [name, new Float64Array(inputs[name]!.length)]));
  const collected = inputEntries(model).map(([name, spec]) => ({
    ...stages.inputs[name]!,
    name,
    values: new Float64Array(inputWidth(spec, dims.sizes)),
    sum: out[name]!,
  }));
  const starts = [new Float64Array(numbers)];
  // The states of a part, from its start on.
  const states = Array.from({ length: SEGMENT + 1 }, () => new Float64Array(numbers));
  const run = (part: number): number => {
    const steps = Math.min(SEGMENT, batch.steps - part * SEGMENT);
    states[0]!.set(starts[part]!);
    for (let s = 0; s < steps; s++) next(raw(part * SEGMENT + s), states[s]!, states[s + 1]!);
    return steps;
  };
  for (let part = 0; (part + 1) * SEGMENT < batch.steps; part++) starts.push(states[run(part)]!.slice());
  const addLocal = (loads: Loads, seen: Float64Array): void => {
    stages.local(loads, seen, given);
    for (let n = 0; n < lambda.length; n++) lambda[n] = add(lambda[n]!, given[n]!);
  };

  let t = dims.T - 1;
  for (let part = starts.length - 1; part >= 0; part--) {
    for (let s = run(part) - 1; s >= 0; s--) {
      const step = part * SEGMENT + s;
      const loads = raw(step);
      const [before, after] = [states[s]!, states[s + 1]!];
      const seen = late ? before : after;
      const reads = readStep(model, t) === step;
      if (reads) output.set(cotangents.subarray(t * columns, (t + 1) * columns));
      if (reads && !late) addLocal(loads, seen);
      for (let lane = 0; lane < lanes; lane++) {
        for (let c = 0; c < parts; c++) components[c]![lane] = lambda[lane * parts + c]!;
        exponents[lane] = after[lane * width + width - 1]!;
      }
      for (const { name, update, read, values, sum } of collected) {
        const row = gradientRow(batch, name, 0, step, 0);
        if (row < 0) continue;
        const at = row * values.length;
        update(loads, before, values);
        for (let n = 0; n < values.length; n++) sum[at + n] = add(sum[at + n]!, values[n]!);
        if (!reads) continue;
        read(loads, seen, values);
        for (let n = 0; n < values.length; n++) sum[at + n] = add(sum[at + n]!, values[n]!);
      }
      stages.pull(loads, before, given);
      lambda.set(given);
      if (reads && late) addLocal(loads, seen);
      if (reads) t--;
    }
  }
  return out;
}
