/**
 * Running error bounds: a number that carries how far a floating-point evaluation may be from it.
 *
 * A ball stands for one subexpression: `x` its true value (in f64), and a radius `r` such that any evaluation allowed
 * by the machine's rules — every operation rounded with relative error ≤ u, multiply–add fused or not, sums in any
 * order, subnormals flushed — gives a result within the radius. The radius is rigorous, not first order: products of
 * errors are kept.
 *
 * Sums in any order: a `sum` of n terms errs by at most γ_{n−1} Σ|terms|. A lone addition `a + b` may be one of a chain of
 * three or four that the compiler regroups, so it is charged 2u (|a| + |b|), not u |a + b|: (a + c) + b errs by
 * u|a + c| + u|a + b + c| ≤ 2u (|a| + |b| + |c|), and the two charges of (a + b) + c come to at least that. Models
 * write longer sums with `sum`.
 *
 * The radii are themselves computed in f64 with u = 2^−24: their own rounding, some 2^−50 of them, is covered by the
 * slack that the comparison adds (compare.ts).
 *
 * @module
 */
import type { Analytic } from "../models/arith.ts";
import type { Accuracy, FunctionAccuracy } from "../models/accuracy.ts";
import { numericIndexing } from "../models/numeric.ts";
import { f64 } from "../models/number.ts";

/** One value with its radius. */
export interface Ball {
  readonly x: number;
  readonly r: number;
}

/** The machine that rounds every operation and function once, to the nearest: the CPU's f32 and f64 instances. */
export function roundedAccuracy(unit: number): Accuracy {
  const single = unit === 2 ** -24;
  // f32: the function in f64, off by at most a few 2^-53, then one rounding. f64: a few ulps of the host's library.
  const host = { units: single ? 1 + 2 ** -20 : 8, perArgument: 0 };
  const once = { units: 1, perArgument: 0 };
  const flush = single ? 2 ** -149 : 2 ** -1074;
  return {
    unit,
    flush,
    sqrtFlush: flush,
    add: once,
    mul: once,
    div: once,
    sqrt: once,
    exp: host,
    expMantissa: host,
    expm1: host,
    sigmoid: host,
    softplus: host,
  };
}

/** γ_n = n u / (1 − n u), the relative error of n roundings. */
export function gamma(n: number, unit: number): number {
  return n * unit / (1 - n * unit);
}

/** A value known up to `r`; an indeterminate radius (∞·0, ∞ − ∞) is no bound at all. */
export function ball(x: number, r: number = 0): Ball {
  return { x, r: r === r ? r : Infinity };
}

/** The algebra of balls on one machine. */
export function ballAlgebra(machine: Accuracy): Analytic<Ball> {
  const { unit, flush } = machine;
  /** One operation's result: inherited radius, then a rounding of `units` u. */
  const rounded = (x: number, inherited: number, units: number, lost: number = flush): Ball =>
    ball(x, inherited + units * unit * (Math.abs(x) + inherited) + lost);
  const unitsAt = ({ units, perArgument }: FunctionAccuracy, x: number): number => units + perArgument * Math.abs(x);
  const zero = ball(0);
  const one = ball(1);
  const add = (a: Ball, b: Ball): Ball => {
    if (a.x === 0 && a.r === 0) return b;
    if (b.x === 0 && b.r === 0) return a;
    const r = a.r + b.r;
    return ball(a.x + b.x, r + 2 * unit * (Math.abs(a.x) + Math.abs(b.x) + r));
  };
  const neg = (a: Ball): Ball => ball(-a.x, a.r);
  const mul = (a: Ball, b: Ball): Ball => {
    // Products with 0, 1 and −1 are exact.
    if (a.r === 0 && (a.x === 0 || a.x === 1 || a.x === -1)) return a.x === 0 ? zero : ball(a.x * b.x, b.r);
    if (b.r === 0 && (b.x === 0 || b.x === 1 || b.x === -1)) return b.x === 0 ? zero : ball(a.x * b.x, a.r);
    const [x, y] = [Math.abs(a.x), Math.abs(b.x)];
    // A subnormal operand may count as 0: then the other operand times the flush threshold is lost.
    return rounded(a.x * b.x, x * b.r + y * a.r + a.r * b.r, 1, flush * (1 + x + y));
  };
  /** A function that stretches distances near `a` by at most `slope`. */
  const lipschitz = (a: Ball, x: number, slope: number, units: number): Ball => rounded(x, slope * a.r, units);
  const sub = (a: Ball, b: Ball): Ball => add(a, neg(b));
  const max = (a: Ball, b: Ball): Ball => {
    const [ra, rb] = [a.r, b.r];
    // Far apart, the smaller operand's radius does not matter.
    if (a.x - ra >= b.x + rb) return ball(a.x, ra);
    if (b.x - rb >= a.x + ra) return ball(b.x, rb);
    return ball(Math.max(a.x, b.x), Math.max(ra, rb));
  };
  return {
    ...numericIndexing<Ball>(zero, one, add),
    sum(n, term) {
      let [x, r, terms] = [0, 0, 0];
      for (let i = 0; i < n; i++) {
        const t = term(i);
        x += t.x;
        r += t.r;
        terms += Math.abs(t.x);
      }
      return ball(x, n < 2 ? r : r + gamma(n - 1, unit) * (terms + r));
    },
    of: (x) => ball(x, Math.abs(Math.fround(x) - x)),
    add,
    sub,
    neg,
    mul,
    max,
    abs: (a) => ball(Math.abs(a.x), a.r),
    scale2: (a, e) => e.x === 0 ? a : ball(f64.scale2(a.x, e.x), f64.scale2(a.r, e.x) + flush),
    exponent: (a) => ball(f64.exponent(a.x)),
    div(a, b) {
      const [ra, rb] = [a.r, b.r];
      const x = a.x / b.x;
      const room = Math.abs(b.x) - rb;
      if (!(room > 0)) return ball(Number.isFinite(x) ? x : 0, Infinity);
      return rounded(x, (ra + Math.abs(x) * rb) / room, machine.div.units, flush * (1 + (1 + Math.abs(x)) / room));
    },
    atLeast(a, b, then, otherwise) {
      const [chosen, other] = a.x >= b.x ? [then, otherwise] : [otherwise, then];
      if (Math.abs(a.x - b.x) > a.r + b.r) return ball(chosen.x, chosen.r);
      return ball(chosen.x, Math.max(chosen.r, Math.abs(other.x - chosen.x) + other.r));
    },
    exp(a) {
      const ra = a.r;
      const x = Math.exp(a.x);
      return rounded(x, x * Math.expm1(ra), unitsAt(machine.exp, Math.abs(a.x) + ra));
    },
    expm1(a) {
      const ra = a.r;
      return rounded(Math.expm1(a.x), Math.exp(a.x) * Math.expm1(ra), unitsAt(machine.expm1, a.x));
    },
    sqrt(a) {
      const ra = a.r;
      const x = Math.sqrt(a.x);
      const low = a.x - ra;
      // √ is steepest at the low end; where that is not positive, |√y − √x| ≤ √|y − x|.
      return rounded(
        x,
        low > 0 ? Math.min(ra / (x + Math.sqrt(low)), Math.sqrt(ra)) : Math.sqrt(ra),
        machine.sqrt.units,
        machine.sqrtFlush,
      );
    },
    sigmoid(a) {
      const ra = a.r;
      const y = f64.sigmoid(a.x);
      // σ' = σ(1 − σ) ≤ σ(x) e^r within r of x, and ≤ 1/4 everywhere.
      const slope = Math.min(0.25, y * f64.sigmoid(-a.x) * Math.exp(Math.min(ra, 50)));
      return lipschitz(a, y, slope, unitsAt(machine.sigmoid, a.x));
    },
    softplus(a) {
      const ra = a.r;
      return lipschitz(
        a,
        f64.softplus(a.x),
        Math.min(1, f64.sigmoid(a.x) * Math.exp(Math.min(ra, 50))),
        unitsAt(machine.softplus, a.x),
      );
    },
    expParts(a) {
      const { mantissa, exponent } = f64.expParts(a.x);
      return {
        mantissa: rounded(mantissa, mantissa * Math.expm1(a.r), unitsAt(machine.expMantissa, a.x)),
        exponent: ball(exponent),
      };
    },
  };
}
