/**
 * How far a trained aggregator is from associative: `‖Agg(Agg(a, b), c) − Agg(a, Agg(b, c))‖` on given summaries. A model
 * whose aggregator is not associative depends on its tree; this says how much.
 *
 * @module
 */
import { InputError } from "./error.ts";
import { type Evaluator, type Parameters, under } from "./ops.ts";
import type { PsmParts } from "./psm_network.ts";

/** Of one triple of summaries. */
export interface Associator {
  /** `‖left − right‖₂` */
  readonly distance: number;
  /** `distance / √((‖left‖² + ‖right‖²) / 2)`; 0 where both are 0. From 0, associative, to 2. */
  readonly relative: number;
}

function associatorOf(left: ArrayLike<number>, right: ArrayLike<number>, from: number, to: number): Associator {
  let difference = 0;
  let size = 0;
  for (let i = from; i < to; i++) {
    difference += (left[i]! - right[i]!) ** 2;
    size += (left[i]! ** 2 + right[i]! ** 2) / 2;
  }
  return { distance: Math.sqrt(difference), relative: size === 0 ? 0 : Math.sqrt(difference / size) };
}

/**
 * The associator of each triple `(a[i], b[i], c[i])` of summaries `[N, …]`, neighbouring spans in this order.
 *
 * @throws {InputError} if the three differ in shape.
 */
export async function associators<T, I>(
  evaluator: Evaluator<T, I>,
  { name, agg }: Pick<PsmParts, "name" | "agg">,
  parameters: Parameters<T>,
  [a, b, c]: readonly [a: T, b: T, c: T],
): Promise<Associator[]> {
  const names = Object.keys(parameters).filter((key) => key.startsWith("agg."));
  let count = 0;
  const [left, right] = await evaluator.call(
    `${name} associator`,
    [...names.map((key) => parameters[key]!), a, b, c],
    [],
    (ops, values) => {
      const p = under(Object.fromEntries(names.map((key, i) => [key, values[i]!])), "agg");
      const [x, y, z] = values.slice(names.length) as [T, T, T];
      const shapes = [x, y, z].map((array) => `[${ops.shape(array).join(", ")}]`);
      if (new Set(shapes).size > 1) {
        throw new InputError(`Cannot measure the associator of ${name}: shapes must agree, got ${shapes.join(", ")}`);
      }
      count = ops.shape(x)[0]!;
      const join = (earlier: T, later: T): T => agg.combine(ops, p, earlier, later);
      return [join(join(x, y), z), join(x, join(y, z))];
    },
  ) as [T, T];
  const [l, r] = [await evaluator.read(left), await evaluator.read(right)];
  evaluator.free(left);
  evaluator.free(right);
  const width = l.length / Math.max(count, 1);
  return Array.from({ length: count }, (_, i) => associatorOf(l, r, i * width, (i + 1) * width));
}
