/** Normalisation of rows, with its gradients. */
import { recordColumnSums } from "./column_sums.ts";
import { type Norm, type NormKind, prepareNorm, prepareNormBackward } from "./norm.ts";
import { type Recorder, result, step } from "./recorder.ts";
import { expectShape, rowsOf } from "./shapes.ts";
import type { Slot } from "./slot.ts";
import type { Value } from "./value.ts";

export interface NormOptions {
  readonly gain?: Value;
  readonly bias?: Value | undefined;
  readonly epsilon: number;
}

export function norm(recorder: Recorder, kind: NormKind, x: Value, { gain, bias, epsilon }: NormOptions): Value {
  const { gpu, program, tape } = recorder;
  const { rows, width } = rowsOf("normalise", x.shape);
  if (gain) expectShape("normalise", "gain", gain.shape, [width]);
  if (bias) expectShape("normalise", "bias", bias.shape, [width]);
  const y = result(recorder, x.shape, [x, gain, bias]);
  const job: Norm = {
    kind,
    x: x.slot,
    gain: gain?.slot,
    bias: bias?.slot,
    epsilon,
    statistics: program.slot([rows, 2]),
  };
  step(
    recorder,
    `${kind} norm`,
    [x.slot, gain?.slot, bias?.slot],
    [y.slot, job.statistics],
    (at) => prepareNorm(gpu, job, y.slot, at),
  );
  tape?.record(y, (g) => {
    tape.contribute(x, (dx, accumulate) => {
      step(
        recorder,
        `${kind} norm backward`,
        [x.slot, gain?.slot, job.statistics, g],
        [dx],
        (at) => prepareNormBackward(gpu, job, { g, dx, accumulate }, at),
      );
    });
    if (gain) gradients(recorder, job, g, gain, bias);
  });
  return y;
}

/** Those of gain and bias in one pass over the rows. */
function gradients({ program, tape }: Recorder, { x, statistics }: Norm, g: Slot, gain: Value, bias?: Value): void {
  const [rows, columns] = [statistics.shape[0]!, gain.slot.length];
  const byGain = "a_of[at] * ((b_of[at] - c_of[2u * row]) * c_of[2u * row + 1u])";
  const inputs = [g, x, statistics];
  tape!.contribute(gain, (output, accumulate) => {
    const first = { value: byGain, output, accumulate };
    if (!bias?.tracked) return recordColumnSums(program, "gain", { rows, columns, inputs, sums: [first] });
    tape!.contribute(bias, (output, accumulate) => {
      const sums = [first, { value: "a_of[at]", output, accumulate }] as const;
      recordColumnSums(program, "gain and bias", { rows, columns, inputs, sums });
    });
  });
  if (gain.tracked || !bias) return;
  tape!.contribute(bias, (output, accumulate) => {
    recordColumnSums(program, "bias", {
      rows,
      columns,
      inputs: [g],
      sums: [{ value: "a_of[at]", output, accumulate }],
    });
  });
}
