/** Operations by entries, with their gradients. */
import { InputError } from "../../models/error.ts";
import type { Activation } from "../../models/networks/ops.ts";
import { activations } from "./activations.ts";
import { recordColumnSums } from "./column_sums.ts";
import { prepareDropout } from "./dropout.ts";
import { recordEach } from "./each.ts";
import { contributeEach, type Recorder, result, step } from "./recorder.ts";
import { expectSuffix, sameShape } from "./shapes.ts";
import type { Slot } from "./slot.ts";
import type { Value } from "./value.ts";

export function add(recorder: Recorder, a: Value, b: Value): Value {
  expectSuffix("add", a.shape, b.shape);
  const y = result(recorder, a.shape, [a, b]);
  recordEach(recorder.program, "add", { inputs: [a.slot, b.slot], output: y.slot, value: "a + b" });
  recorder.tape?.record(y, (g) => {
    recorder.tape!.pass(a, g);
    if (sameShape(a.shape, b.shape)) recorder.tape!.pass(b, g);
    else sumRepeated(recorder, b, [g], "a_of[at]");
  });
  return y;
}

export function mul(recorder: Recorder, a: Value, b: Value): Value {
  expectSuffix("multiply entries", a.shape, b.shape);
  const y = result(recorder, a.shape, [a, b]);
  recordEach(recorder.program, "multiply", { inputs: [a.slot, b.slot], output: y.slot, value: "a * b" });
  recorder.tape?.record(y, (g) => {
    contributeEach(recorder, "multiply", a, { inputs: [g, b.slot], value: "a * b" });
    if (sameShape(a.shape, b.shape)) {
      contributeEach(recorder, "multiply", b, { inputs: [g, a.slot], value: "a * b" });
    } else sumRepeated(recorder, b, [g, a.slot], "a_of[at] * b_of[at]");
  });
  return y;
}

/** The gradient of what was repeated over the leading axes. */
function sumRepeated({ program, tape }: Recorder, value: Value, inputs: readonly Slot[], text: string): void {
  const columns = value.slot.length;
  const rows = columns === 0 ? 0 : inputs[0]!.length / columns;
  tape!.contribute(value, (output, accumulate) => {
    recordColumnSums(program, "repeated", { rows, columns, inputs, sums: [{ value: text, output, accumulate }] });
  });
}

export function affine(recorder: Recorder, x: Value, factor: number, offset: number): Value {
  const y = result(recorder, x.shape, [x]);
  const constants = [factor, offset] as const;
  recordEach(recorder.program, "affine", { inputs: [x.slot], output: y.slot, value: "p * a + q", constants });
  recorder.tape?.record(y, (g) => {
    contributeEach(recorder, "affine", x, { inputs: [g], value: "p * a + q", constants: [factor] });
  });
  return y;
}

export function map(recorder: Recorder, activation: Activation, x: Value): Value {
  const { value, pull } = activations[activation];
  const y = result(recorder, x.shape, [x]);
  recordEach(recorder.program, activation, { inputs: [x.slot], output: y.slot, value });
  recorder.tape?.record(y, (g) => {
    contributeEach(recorder, `${activation} backward`, x, { inputs: [x.slot, g], value: pull });
  });
  return y;
}

export function dropout(
  recorder: Recorder,
  x: Value,
  rate: number,
  { site, drops }: { readonly site: number; readonly drops: boolean },
): Value {
  if (!(rate >= 0 && rate < 1)) throw new InputError(`Cannot drop out: rate must be in [0, 1), got ${rate}`);
  if (!drops || rate === 0) return x;
  const y = result(recorder, x.shape, [x]);
  const record = (x: Slot, y: Slot, accumulate: boolean): void =>
    step(recorder, "dropout", [x], [y], (at) => prepareDropout(recorder.gpu, { x, y, rate, site, accumulate }, at));
  record(x.slot, y.slot, false);
  recorder.tape?.record(y, (g) => {
    recorder.tape!.contribute(x, (dx, accumulate) => record(g, dx, accumulate));
  });
  return y;
}

/** `[count, …]` copies. */
export function repeat(recorder: Recorder, x: Value, count: number): Value {
  if (!(Number.isSafeInteger(count) && count >= 0)) {
    throw new InputError(`Cannot repeat: count must be an integer ≥ 0, got ${count}`);
  }
  const y = result(recorder, [count, ...x.shape], [x]);
  recordEach(recorder.program, "repeat", { inputs: [x.slot], output: y.slot, value: "a" });
  recorder.tape?.record(y, (g) => sumRepeated(recorder, x, [g], "a_of[at]"));
  return y;
}
