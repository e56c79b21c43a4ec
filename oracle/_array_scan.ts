/**
 * A model of the registry over arrays: `gates`, `step` and `read`, token after token.
 *
 * @module
 */
import type { AnyAffineModel, Axis, InputSpec, Sizes } from "../models/affine.ts";
import { outputColumns, stateColumns, stateRows } from "../models/affine.ts";
import type { Analytic } from "../models/arith.ts";
import { InputError } from "../models/error.ts";
import { inputEntries, inputWidth, microSteps, stateLength, stateWidth } from "../models/inputs.ts";
import { type LaneState, readOut } from "../models/run.ts";
import { activate, type FieldValues } from "../models/token.ts";
import { filled, type NdArray, requireShapes, sameShape, shown } from "./nd_array.ts";
import { stepLanes } from "./run.ts";

/** Raw inputs by name: token inputs `[B, T, H, …axes]` (H = 1 for element-wise models), parameters `[H, …axes]`. */
export type ScanInputs<N> = { readonly [name: string]: NdArray<N> };

interface Extent {
  readonly B: number;
  readonly T: number;
  readonly H: number;
  readonly sizes: Sizes;
}

/** Whether an input has a value of its own at every micro-step. */
function everyStep(spec: InputSpec): boolean {
  return spec.micro === undefined || spec.micro === "every";
}

/** The extent that all given inputs agree on; throws where they do not. */
function extentOf<N>(model: AnyAffineModel, inputs: ScanInputs<N>): Extent {
  const what = `scan ${model.name}`;
  const names = inputEntries(model).map(([name]) => name);
  const unknown = Object.keys(inputs).find((name) => !names.includes(name));
  if (unknown !== undefined) {
    throw new InputError(`Cannot ${what}: its inputs are ${names.join(", ")}, got ${unknown}`);
  }
  const known = new Map<string, number>();
  const agree = (name: string, of: string, n: number): void => {
    if ((known.get(of) ?? n) !== n) {
      throw new InputError(`Cannot ${what}: ${of} is ${known.get(of)} in another input, got ${n} in ${name}`);
    }
    known.set(of, n);
  };
  for (const [name, spec] of inputEntries(model)) {
    const given = inputs[name];
    if (given === undefined) {
      if (spec.initial === undefined) {
        throw new InputError(`Cannot ${what}: input ${name} is missing, got ${shown([])}`);
      }
      continue;
    }
    const leading = spec.per === "parameter" ? ["H"] : ["B", "T", "H"];
    const axes = [...leading, ...spec.axes];
    requireShapes(what, given.shape.length === axes.length, `${name} must be [${axes.join(", ")}]`, given.shape);
    axes.forEach((axis, i) => {
      const n = given.shape[i]!;
      agree(name, axis, axis === "T" && everyStep(spec) ? n / microSteps(model) : n);
    });
  }
  const [B, T, H] = ["B", "T", "H"].map((axis) => known.get(axis) ?? 1) as [number, number, number];
  if (!Number.isInteger(T)) {
    throw new InputError(`Cannot ${what}: micro-steps must be a multiple of ${microSteps(model)}, got ${T} tokens`);
  }
  if (!model.heads && H !== 1) throw new InputError(`Cannot ${what}: it has no heads, so H must be 1, got ${H}`);
  const sizes: { [A in Axis]?: number } = {};
  for (const axis of ["K", "V", "D", "N"] as const) {
    const n = known.get(axis);
    if (n !== undefined) sizes[axis] = n;
  }
  return { B, T, H, sizes };
}

/**
 * Outputs `[B, T, H, columns]` and the state after the last token, `[B, H, rows, columns, width]`, from a given state or
 * from 0. A parameter that is not given has its initial value.
 */
export function arrayScan<N>(
  A: Analytic<N>,
  model: AnyAffineModel,
  inputs: ScanInputs<N>,
  initial?: NdArray<N>,
): { readonly outputs: NdArray<N>; readonly state: NdArray<N> } {
  const { B, T, H, sizes } = extentOf(model, inputs);
  const n = microSteps(model);
  const width = stateWidth(model);
  const lanes = stateLength(model, { B: 1, T, H: 1, sizes }) / width;
  const stateShape = [B, H, stateRows(model, sizes), stateColumns(model, sizes), width];
  if (initial !== undefined) {
    requireShapes(
      `scan ${model.name}`,
      sameShape(initial.shape, stateShape),
      `the state must be ${shown(stateShape)}`,
      initial.shape,
    );
  }
  const raw = (b: number, s: number, h: number): FieldValues<N> =>
    Object.fromEntries(
      inputEntries(model).map(([name, spec]) => {
        const entries = inputWidth(spec, sizes);
        const from = (row: number): N[] => inputs[name]!.data.slice(row * entries, (row + 1) * entries);
        if (inputs[name] === undefined) {
          const second = spec.axes.length === 2 ? sizes[spec.axes[1] as Axis]! : 1;
          return [name, filled([entries], (i) => A.of(spec.initial!(h, Math.floor(i / second), i % second))).data];
        }
        if (spec.per === "parameter") return [name, from(h)];
        if (everyStep(spec)) return [name, from((b * T * n + s) * H + h)];
        const used = s % n === (spec.micro === "first" ? 0 : n - 1);
        const token = from((b * T + Math.floor(s / n)) * H + h);
        return [name, used ? token : token.map(() => A.of(0))];
      }),
    );
  const columns = outputColumns(model, sizes);
  const outputs = new Array<N>(B * T * H * columns);
  const states: N[] = [];
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < H; h++) {
      const start = (b * H + h) * lanes * width;
      let state: LaneState<N> = Array.from(
        { length: lanes },
        (_, lane) => Array.from({ length: width }, (_, c) => initial?.data[start + lane * width + c] ?? A.of(0)),
      );
      for (let s = 0; s < T * n; s++) {
        const token = activate(A, model, sizes, raw(b, s, h));
        const before = state;
        state = stepLanes(A, model, sizes, token, state);
        if (s % n !== n - 1) continue;
        const row = readOut(A, model, sizes, model.reads === "pre" ? before : state, token);
        const to = ((b * T + Math.floor(s / n)) * H + h) * columns;
        row.forEach((value, v) => outputs[to + v] = value);
      }
      states.push(...state.flat());
    }
  }
  return {
    outputs: { shape: [B, T, H, columns], data: outputs },
    state: { shape: stateShape, data: states },
  };
}
