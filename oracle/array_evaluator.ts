/**
 * The reference `Evaluator`: bodies run at once over f64 arrays, and what a GPU would rely on is enforced.
 *
 * @module
 */
import { InputError } from "../models/error.ts";
import { f64 } from "../models/number.ts";
import type { Evaluator, TensorOps } from "../models/networks/ops.ts";
import { arrayOps } from "./array_ops.ts";
import { arrayOf, type IdArray, type NdArray } from "./nd_array.ts";

/** An {@link Evaluator} that counts. */
export interface ArrayEvaluator extends Evaluator<NdArray<number>, IdArray> {
  /** Arrays not freed yet. */
  readonly live: number;
  /** Calls so far, by key. */
  readonly calls: ReadonlyMap<string, number>;
}

/** The arrays that an operation returned: one, or several by name. */
function arraysIn(result: unknown): readonly unknown[] {
  if (typeof result !== "object" || result === null || Array.isArray(result)) return [];
  return "data" in result ? [result] : Object.values(result);
}

const others = new WeakMap<object, number>();
let otherCount = 0;

/** The number of an array that is no operand and no result, such as a parameter. */
function outside(array: object): number {
  const number = others.get(array) ?? otherCount++;
  others.set(array, number);
  return number;
}

/** `ops` with every operation written to `log`: its name, its operands by number, their shapes and the constants. */
function logged(
  ops: TensorOps<NdArray<number>, IdArray>,
  operands: readonly (NdArray<number> | IdArray)[],
  log: string[],
): TensorOps<NdArray<number>, IdArray> {
  const numbers = new Map<unknown, number>(operands.map((operand, i) => [operand, i]));
  const named = (value: unknown): unknown => {
    if (typeof value !== "object" || value === null || !("data" in value)) return value;
    return `${numbers.has(value) ? `#${numbers.get(value)}` : `@${outside(value)}`} [${
      (value as IdArray).shape.join(", ")
    }]`;
  };
  const wrapped = Object.entries(ops).map(([name, operation]) => [
    name,
    (...given: unknown[]): unknown => {
      log.push(`${name} ${JSON.stringify(given, (_, value: unknown) => named(value))}`);
      const result: unknown = (operation as (...given: unknown[]) => unknown)(...given);
      for (const array of arraysIn(result)) numbers.set(array, numbers.size);
      return result;
    },
  ]);
  return Object.fromEntries(wrapped) as TensorOps<NdArray<number>, IdArray>;
}

/**
 * Runs bodies over f64 arrays. Throws an {@link InputError} where a replay of the first call under a key would compute
 * something else (other operations, shapes, constants or arrays from outside), or an array is used that is not live.
 */
export function arrayEvaluator(): ArrayEvaluator {
  const ops = arrayOps(f64);
  const live = new Set<NdArray<number> | IdArray>();
  const recorded = new Map<string, string>();
  const calls = new Map<string, number>();
  const kept = <X extends NdArray<number> | IdArray>(x: X): X => {
    live.add(x);
    return x;
  };
  const check = (what: string, x: NdArray<number> | IdArray): void => {
    if (!live.has(x)) {
      throw new InputError(`Cannot ${what}: the array must be live, got one of [${x.shape.join(", ")}] that is not`);
    }
  };
  return {
    get live(): number {
      return live.size;
    },
    calls,
    call: (key, values, ids, body) =>
      Promise.resolve().then(() => {
        for (const x of [...values, ...ids]) check(`call ${key}`, x);
        // Copies, so that an operand given twice has two numbers.
        const inner = values.map((x) => ({ ...x }));
        const innerIds = ids.map((x) => ({ ...x }));
        const log: string[] = [];
        const results = body(logged(ops, [...inner, ...innerIds], log), inner, innerIds);
        const text = log.join("\n");
        if ((recorded.get(key) ?? text) !== text) {
          throw new InputError(
            `Cannot call ${key}: every call under a key must do the same, got another text of operations`,
          );
        }
        recorded.set(key, text);
        calls.set(key, (calls.get(key) ?? 0) + 1);
        return results.map((x) => kept({ shape: x.shape, data: [...x.data] }));
      }),
    values: (data, shape) => kept(arrayOf(data, shape)),
    ids: (data, shape) => kept(arrayOf(data, shape)),
    read: (x) =>
      Promise.resolve().then(() => {
        check("read", x);
        return Float64Array.from(x.data);
      }),
    free(x) {
      check("free", x);
      live.delete(x);
    },
  };
}
