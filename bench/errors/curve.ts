/**
 * How the error of a fused kernel grows with the length: one model, one class of inputs, many lengths.
 *
 * @module
 */
import type { Execution } from "../../models/execution.ts";
import { type AnyAffineModel, outputColumns } from "../../models/affine.ts";
import { type Dims, inputEntries, sliceInputs } from "../../models/inputs.ts";
import { seeded } from "../../models/random.ts";
import type { InputSource } from "../../models/source.ts";
import { lineError } from "../fused/errors.ts";
import { columnAxis, columnCotangents, columnDims, columnInputs, columnOf, type Place } from "./column.ts";
import { trueGradients64, trueOutputs64 } from "./truth.ts";

/** Outputs, or gradients of every input. */
export type Pass = "forward" | "gradients";

/** An error at one length. */
export interface ErrorPoint {
  readonly length: number;
  /** Largest |x − truth| over the root mean square of the truth: of the worst input, for gradients. */
  readonly maxError: number;
  readonly rmsError: number;
}

const SEED = 1;

/** Whether there is something to compare. */
export function hasCurve(execution: Execution, pass: Pass): boolean {
  return pass === "forward" || execution.gradients !== undefined;
}

/**
 * The errors at growing lengths, each given as soon as it is there. The inputs of a length are the first of those of
 * the longest; judged is the last column of the last head, for gradients with cotangents of that column alone.
 */
export async function* errorCurve(
  execution: Execution,
  model: AnyAffineModel,
  pass: Pass,
  source: InputSource,
  lengths: readonly number[],
  { H, sizes }: Pick<Dims, "H" | "sizes">,
): AsyncGenerator<ErrorPoint> {
  const longest = Math.max(...lengths);
  const heads = model.heads ? H : 1;
  const whole: Dims = { B: 1, T: longest, H: heads, sizes };
  const inputs = source.inputs(model, whole, SEED, longest);
  const place: Place = { head: heads - 1, column: outputColumns(model, sizes) - 1 };
  const random = seeded(SEED, "cotangents", model.name);
  const cotangents = Float64Array.from({ length: longest }, () => Math.fround(2 * random() - 1));
  const truth = pass === "forward"
    ? trueOutputs64(model, columnDims(model, whole), columnInputs(model, whole, inputs, place))
    : undefined;
  for (const T of lengths) {
    const dims = { ...whole, T };
    const given = sliceInputs(model, whole, inputs, 0, T);
    if (truth !== undefined) {
      const { outputs } = await execution.run(model, dims, given);
      const axis = columnAxis(model);
      const got = columnOf(outputs, [axis], axis, heads, sizes, place);
      yield point(T, [[Float32Array.from(got), truth.subarray(0, T)]]);
      continue;
    }
    const gradients = await execution.gradients!(model, dims, given, {
      outputs: columnCotangents(model, dims, cotangents, place),
    });
    const column = columnInputs(model, dims, given, place);
    const exact = trueGradients64(model, columnDims(model, dims), column, cotangents.subarray(0, T));
    const got = columnInputs(model, dims, gradients.inputs, place);
    yield point(T, inputEntries(model).map(([name]) => [got[name]!, exact[name]!]));
  }
}

function point(length: number, pairs: readonly (readonly [Float32Array, Float64Array])[]): ErrorPoint {
  const errors = pairs.map(([got, truth]) => lineError(got, truth, Infinity));
  return {
    length,
    maxError: Math.max(...errors.map(({ max }) => max)),
    rmsError: Math.max(...errors.map(({ rms }) => rms)),
  };
}
