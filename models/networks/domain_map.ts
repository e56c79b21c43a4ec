/**
 * Bringing a network's numbers into the domain of a model's input, and back: where a parameter must begin so that its value is
 * the model's.
 *
 * @module
 */
import type { DomainMap } from "../domain.ts";
import type { TensorOps } from "./ops.ts";

/** Keeps what must be > 0 from underflowing to 0. */
const SMALL = 2 ** -20;

/** x brought into a domain, entry by entry (`unit`: along the last axis). */
export function intoDomain<T, I>(ops: TensorOps<T, I>, map: DomainMap, x: T): T {
  switch (map.kind) {
    case "linear":
      return x;
    case "log-sigmoid": {
      const g = ops.map("log-sigmoid", x);
      return map.divisor === 1 ? g : ops.affine(g, 1 / map.divisor);
    }
    case "interval": {
      const y = ops.map("sigmoid", x);
      return map.low === 0 && map.high === 1 ? y : ops.affine(y, map.high - map.low, map.low);
    }
    case "capped":
      return ops.affine(ops.map("tanh", ops.affine(x, 1 / map.size)), map.size);
    case "positive":
      return ops.affine(ops.map("softplus", x), 1, SMALL);
    case "negative":
      return ops.affine(ops.map("exp", x), -1);
    case "unit":
      return ops.unitNorm(x);
  }
}

/** The x that {@link intoDomain} brings to `value`; a vector for `unit` is its own. */
export function beforeDomain(map: DomainMap, value: number): number {
  switch (map.kind) {
    case "linear":
    case "unit":
      return value;
    case "log-sigmoid":
      return value === 0 ? Infinity : -Math.log(Math.expm1(-value * map.divisor));
    case "interval": {
      const y = (value - map.low) / (map.high - map.low);
      return Math.log(y / (1 - y));
    }
    case "capped":
      return map.size * Math.atanh(value / map.size);
    case "positive":
      return Math.log(Math.expm1(value - SMALL));
    case "negative":
      return Math.log(-value);
  }
}
