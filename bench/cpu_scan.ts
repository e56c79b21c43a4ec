/**
 * The schedules on the CPU, over plain pairs and over a model's elements. Timed is the scan alone; judged are the
 * states its prefixes lead to, read out.
 *
 * @module
 */
import type { AnyAffineModel } from "../models/affine.ts";
import { collect, scanned, single, tokensOf } from "../models/execution.ts";
import { prepare } from "../models/inputs.ts";
import { type Element, type LaneState, modelMonoid } from "../models/run.ts";
import type { Operator, Schedule } from "../scan/mod.ts";
import { affine, applied, type Pair, pairs } from "./affine.ts";
import type { CpuKernel, Effort, Opened } from "./kernel.ts";
import { samplesOf } from "./measure.ts";
import { type Setting, settingOf } from "./setting.ts";

/** What a schedule scans, and how a prefix acts on a state. */
interface Scanned<M> {
  readonly op: Operator<M>;
  readonly elements: readonly M[];
  apply(prefix: M, state: LaneState<number>): LaneState<number>;
}

function opened<M>(effort: Effort, setting: Setting, schedule: Schedule, scan: Scanned<M>, numbers: number): Opened {
  const { model, dims, inputs, initialState, shape } = setting;
  let prefixes: readonly M[] = [];
  const run = (): void => {
    prefixes = schedule.inclusive(scan.op, scan.elements);
  };
  const verdict = (): ReturnType<Setting["judge"]> =>
    setting.judge(
      collect(
        single.algebra,
        model,
        dims,
        inputs,
        { initialState },
        (_tokens, initial) => prefixes.map((prefix) => scan.apply(prefix, initial)),
      ),
    );
  return {
    shape,
    tokens: dims.T,
    // Every element once in, every prefix once out, as f32.
    bytes: 2 * 4 * numbers * dims.T,
    check() {
      run();
      return Promise.resolve(verdict());
    },
    async time() {
      const samples = await samplesOf(effort, run);
      return { samples, verdict: verdict() };
    },
  };
}

/** A schedule over pairs `(a, b)`. */
export function pairKernel(name: string, schedule: Schedule): CpuKernel {
  return {
    name: `${name} affine`,
    device: "cpu",
    open(effort) {
      const T = effort.quick ? 2 ** 12 : 2 ** 14;
      const setting = settingOf(affine, { T, sizes: { D: 1 } }, scanned(schedule).rounding);
      const { a, b } = setting.inputs as { a: Float32Array; b: Float32Array };
      const elements = Array.from({ length: T }, (_, t): Pair => ({ a: a[t]!, b: b[t]! }));
      const scan: Scanned<Pair> = {
        op: pairs,
        elements,
        apply: (prefix, state) => state.map(([s]) => [applied(prefix, s!)]),
      };
      return Promise.resolve(opened(effort, setting, schedule, scan, 2));
    },
  };
}

/** A schedule over the elements that a model lifts its tokens to; a model whose lanes are independent. */
export function modelKernel(name: string, schedule: Schedule, model: AnyAffineModel): CpuKernel {
  return {
    name: `${name} ${model.name}`,
    device: "cpu",
    open(effort) {
      const T = effort.quick ? 128 : 1024;
      const sizes = { K: 8, V: 8, N: 8, D: 8 };
      const setting = settingOf(model, { T, sizes }, scanned(schedule).rounding);
      const monoid = modelMonoid(single.algebra, model, sizes);
      const tokens = tokensOf(single.algebra, prepare(model, setting.dims, setting.inputs), 0, 0);
      const elements = tokens.map((token) => monoid.lift(token));
      const numbers = (elements[0] as readonly (readonly number[])[]).flat().length;
      const scan: Scanned<Element<number>> = { op: monoid, elements, apply: monoid.apply };
      return Promise.resolve(opened(effort, setting, schedule, scan, numbers));
    },
  };
}
