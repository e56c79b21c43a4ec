/** Operations by entries, with their gradients. */
import { InputError } from "../../models/error.ts";
import type { Activation } from "../../models/networks/ops.ts";
import { activations } from "./activations.ts";
import { contributeColumns } from "./column_sums.ts";
import { type Dropout, prepareDropout } from "./dropout.ts";
import { recordEach } from "./each.ts";
import type { StepOptions } from "./program.ts";
import { contributeEach, type Recorder, result } from "./recorder.ts";
import { expectSuffix, sameShape } from "./shapes.ts";
import type { Slot } from "./slot.ts";
import type { Value } from "./value.ts";

export function add(recorder: Recorder, a: Value, b: Value): Value {
  expectSuffix("add", a.shape, b.shape);
  const y = result(recorder, a.shape, [a, b]);
  if (b.dropped && sameShape(a.shape, b.shape)) recordDropout(recorder, { ...b.dropped, y: y.slot, added: a.slot });
  else recordEach(recorder.program, "add", { inputs: [a.slot, b.slot], output: y.slot, value: "a + b" });
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
function sumRepeated(recorder: Recorder, repeated: Value, inputs: readonly Slot[], value: string): void {
  const columns = repeated.slot.length;
  const rows = columns === 0 ? 0 : inputs[0]!.length / columns;
  contributeColumns(recorder, "repeated", repeated, { rows, inputs, value });
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
  const dropped = { x: x.slot, rate, site };
  const y = result(recorder, x.shape, [x], { dropped });
  // What is only added to something else goes there at once.
  recordDropout(recorder, { ...dropped, y: y.slot }, { optional: true });
  recorder.tape?.record(y, (g) => {
    recorder.tape!.contribute(x, (dx, accumulate) => {
      recordDropout(recorder, { ...dropped, x: g, y: dx, ...(accumulate && { added: dx }) });
    });
  });
  return y;
}

function recordDropout({ gpu, program }: Recorder, job: Dropout, options: StepOptions = {}): void {
  const reads = job.added === undefined ? [job.x] : [job.x, job.added];
  program.step("dropout", reads, [job.y], (at) => prepareDropout(gpu, job, at), options);
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
