/**
 * How the error of a fused kernel grows with the length: one model, one class of inputs, many lengths.
 *
 * @module
 */
import { double, type Execution, type Precision, single } from "../../models/execution.ts";
import { type AnyAffineModel, outputColumns } from "../../models/affine.ts";
import { type Dims, inputEntries, sliceInputs } from "../../models/inputs.ts";
import { seeded } from "../../models/random.ts";
import type { InputSource } from "../../models/source.ts";
import { lineError } from "../fused/errors.ts";
import { columnAxis, columnCotangents, columnDims, columnInputs, columnOf, type Place } from "./column.ts";
import { trueGradients, trueOutputs } from "./truth.ts";

/** Outputs, or gradients of every input. */
export type Pass = "forward" | "gradients";

/** An error at one length. */
export interface ErrorPoint {
  readonly length: number;
  /** Largest |x − truth| over the root mean square of the truth: of the worst input, for gradients. */
  readonly maxError: number;
  readonly rmsError: number;
  /** The largest error of the recurrence itself in f32, one token after the other. */
  readonly plainError: number;
}

const SEED = 1;

/** Whether there is something to compare. */
export function hasCurve(execution: Execution, pass: Pass): boolean {
  return pass === "forward" || execution.gradients !== undefined;
}

/**
 * The errors at growing lengths, each given as soon as it is there; a length whose truth leaves the range of f32 has none. The inputs of a length are the first of those of
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
  const outputs = (precision: Precision): Float64Array =>
    trueOutputs(model, columnDims(model, whole), columnInputs(model, whole, inputs, place), precision);
  const all = pass === "forward" ? { truth: outputs(double), plain: outputs(single) } : undefined;
  for (const T of lengths) {
    const dims = { ...whole, T };
    const given = sliceInputs(model, whole, inputs, 0, T);
    if (all !== undefined) {
      const { outputs } = await execution.run(model, dims, given);
      const axis = columnAxis(model);
      const got = columnOf(outputs, [axis], axis, heads, sizes, place);
      yield* point(T, [{
        got: Float32Array.from(got),
        truth: all.truth.subarray(0, T),
        plain: Float32Array.from(all.plain.subarray(0, T)),
      }]);
      continue;
    }
    const gradients = await execution.gradients!(model, dims, given, {
      outputs: columnCotangents(model, dims, cotangents, place),
    });
    const column = columnInputs(model, dims, given, place);
    const gradientsIn = (precision: Precision): { readonly [name: string]: Float64Array } =>
      trueGradients(model, columnDims(model, dims), column, cotangents.subarray(0, T), precision);
    const [truth, plain] = [gradientsIn(double), gradientsIn(single)];
    const got = columnInputs(model, dims, gradients.inputs, place);
    yield* point(
      T,
      inputEntries(model).map(([name]) => ({
        got: got[name]!,
        truth: truth[name]!,
        plain: Float32Array.from(plain[name]!),
      })),
    );
  }
}

/** What is compared: of one output, or of one input's gradients. */
interface Compared {
  readonly got: Float32Array;
  readonly truth: Float64Array;
  readonly plain: Float32Array;
}

/** The largest f32. */
const LARGEST = (2 - 2 ** -23) * 2 ** 127;

function* point(length: number, compared: readonly Compared[]): Generator<ErrorPoint> {
  if (compared.some(({ truth }) => truth.some((x) => Math.abs(x) > LARGEST))) return;
  const errors = compared.map(({ got, truth }) => lineError(got, truth, Infinity));
  yield {
    length,
    maxError: Math.max(...errors.map(({ max }) => max)),
    rmsError: Math.max(...errors.map(({ rms }) => rms)),
    plainError: Math.max(...compared.map(({ plain, truth }) => lineError(plain, truth, Infinity).max)),
  };
}
