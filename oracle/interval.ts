/**
 * Intervals over mathjs BigNumbers of 50 digits, rounded outwards: the independent judge of the enclosures that the
 * oracle uses (they are some hundred times faster), and an algebra in its own right.
 *
 * Sources of error, and what is done about each:
 * - `+ − · / √` of BigNumber are correctly rounded: the lower end is computed in a clone of the class that rounds
 *   towards −∞, the upper end in one that rounds towards +∞.
 * - `exp` and `ln` are described as correctly rounded too, but are not proved to be, and `ln` is known to miss by one
 *   unit next to a tie: each end is moved one unit of the last digit outwards.
 * - mathjs converts a float by its decimal string (0.1 becomes 1/10): here as mantissa · 2^exponent.
 *
 * Do not run a recurrence on these: the width grows with every step, where the oracle's does not.
 *
 * @module
 */

import { type BigNumber, BigNumberDependencies, create } from "mathjs";
import type { Analytic } from "../models/arith.ts";
import { numericIndexing } from "../models/numeric.ts";
import { bitLength, type Dyadic, exponent as exponentOfDyadic, fromNumber } from "./dyadic.ts";
import { type Enclosure, type Enclosures, roundEnclosure } from "./enclosure.ts";

/** Significant decimal digits of the ends of an interval. */
export const INTERVAL_DIGITS = 50;
/** The same where a subtraction or 1 + y is going to cancel up to 20 of them. */
const WIDE_DIGITS = 75;
/** Below 10^-CUT the first terms of a series take over. */
const CUT = 20;

/** A real number known to lie in `[lo, hi]`. */
export interface Interval {
  readonly lo: BigNumber;
  readonly hi: BigNumber;
}

/** The static side of a BigNumber class, so far as it is used; each function rounds as its class is configured. */
interface Rounding {
  new (value: BigNumber | string | number): BigNumber;
  clone(options: { precision?: number; rounding?: number }): Rounding;
  readonly precision: number;
  add(a: BigNumber, b: BigNumber): BigNumber;
  sub(a: BigNumber, b: BigNumber): BigNumber;
  mul(a: BigNumber, b: BigNumber): BigNumber;
  div(a: BigNumber, b: BigNumber): BigNumber;
  sqrt(a: BigNumber): BigNumber;
  exp(a: BigNumber): BigNumber;
  ln(a: BigNumber): BigNumber;
}

const math = create(BigNumberDependencies!, { precision: INTERVAL_DIGITS }) as unknown as { BigNumber: Rounding };
const CEILING = 2;
const FLOOR = 3;
const down = math.BigNumber.clone({ rounding: FLOOR });
const up = math.BigNumber.clone({ rounding: CEILING });
const wideDown = math.BigNumber.clone({ precision: WIDE_DIGITS, rounding: FLOOR });
const wideUp = math.BigNumber.clone({ precision: WIDE_DIGITS, rounding: CEILING });

const zero = new down(0);
const one = new down(1);
const two = new down(2);
const three = new down(3);

/** One unit of the last digit outwards, for results that are rounded well but not provably correctly. */
function outward(R: Rounding, x: BigNumber): BigNumber {
  const unit = new R(`1e${x.e - R.precision + 1}`);
  return R === down || R === wideDown ? R.sub(x, unit) : R.add(x, unit);
}

function opposite(R: Rounding): Rounding {
  return R === down ? up : R === up ? down : R === wideDown ? wideUp : wideDown;
}

function widened(R: Rounding): Rounding {
  return R === down ? wideDown : wideUp;
}

// Each of the following is a bound of its function at x from the side to which R rounds.

function expBound(R: Rounding, x: BigNumber): BigNumber {
  if (x.isZero()) return one;
  if (x.e > 15) throw new RangeError(`Cannot enclose e^x: |x| must be below 10^16, got ${x.toString()}`);
  return outward(R, R.exp(x));
}

function expm1Bound(R: Rounding, x: BigNumber): BigNumber {
  if (x.isZero()) return x;
  if (x.e >= -CUT) {
    const W = widened(R);
    return R.add(W.sub(expBound(W, x), one), zero);
  }
  // x + x²/2 + t, |t| ≤ |x|³ / 2, and t has the sign of x.
  const head = R.add(x, R.div(R.mul(x, x), two));
  if (x.isNegative() === (R === up)) return head;
  return R.add(head, R.div(R.mul(R.mul(x, x), x), two));
}

/** log(1 + y) for y ≥ 0. */
function log1pBound(R: Rounding, y: BigNumber): BigNumber {
  if (y.isZero()) return y;
  if (y.e >= -CUT) {
    const W = widened(R);
    return R.add(outward(W, W.ln(W.add(one, y))), zero);
  }
  // y − y²/2 ≤ log(1 + y) ≤ y − y²/2 + y³/3.
  const head = R.sub(y, opposite(R).div(opposite(R).mul(y, y), two));
  return R === down ? head : R.add(head, R.div(R.mul(R.mul(y, y), y), three));
}

function sigmoidBound(R: Rounding, x: BigNumber): BigNumber {
  const O = opposite(R);
  return R.div(one, O.add(one, expBound(O, x.negated())));
}

function softplusBound(R: Rounding, x: BigNumber): BigNumber {
  return x.isNegative() || x.isZero()
    ? log1pBound(R, expBound(R, x))
    : R.add(x, log1pBound(R, expBound(R, x.negated())));
}

function sqrtBound(R: Rounding, x: BigNumber): BigNumber {
  if (x.isNegative() && !x.isZero()) {
    throw new RangeError(`Cannot take a square root: the interval must be ≥ 0, got a lower end of ${x.toString()}`);
  }
  return R.sqrt(x);
}

function increasing(bound: (R: Rounding, x: BigNumber) => BigNumber): (x: Interval) => Interval {
  return ({ lo, hi }: Interval): Interval => ({ lo: bound(down, lo), hi: bound(up, hi) });
}

/** x · 2^k from the side to which R rounds. */
function scaleBound(R: Rounding, x: BigNumber, k: number): BigNumber {
  const power = new R((1n << BigInt(Math.abs(k))).toString());
  return k < 0 ? R.div(x, power) : R.mul(x, power);
}

/** The narrowest interval around an exact number. */
export function fromDyadic(x: Dyadic): Interval {
  const m = new down(x.m.toString());
  return { lo: scaleBound(down, m, x.e), hi: scaleBound(up, m, x.e) };
}

/** Binary digits kept of an end: more than 50 decimal ones, so this loses nothing worth mentioning. */
const END_BITS = 200;

/** A dyadic below (`upper` false) or above a BigNumber, relatively within 2^-199. */
function endToDyadic(x: BigNumber, upper: boolean): Dyadic {
  if (x.isZero()) return fromNumber(0);
  const [digits = "", power = "0"] = x.toExponential().split("e");
  const [whole = "", fraction = ""] = digits.split(".");
  const m = BigInt(whole + fraction);
  const k = Number(power) - fraction.length;
  if (k >= 0) return { m: m * 10n ** BigInt(k), e: 0 };
  const divisor = 10n ** BigInt(-k);
  const shift = Math.max(0, END_BITS + bitLength(divisor) - bitLength(m < 0n ? -m : m));
  const shifted = m << BigInt(shift);
  const quotient = shifted / divisor;
  const rest = shifted - quotient * divisor;
  // BigInt division truncates towards 0.
  const floor = rest < 0n ? quotient - 1n : quotient;
  return { m: upper && rest !== 0n ? floor + 1n : floor, e: -shift };
}

/** The same interval with dyadic ends, rounded outwards. */
export function toEnclosure({ lo, hi }: Interval): Enclosure {
  return { lo: endToDyadic(lo, false), hi: endToDyadic(hi, true) };
}

/**
 * The enclosed number to `bits` significant bits, relative error below 2^-(bits-1).
 *
 * @throws {RangeError} if the interval is wider than 2^-bits, relative to its end nearer to 0.
 */
export function toDyadic(x: Interval, bits: number = 96): Dyadic {
  return roundEnclosure(toEnclosure(x), bits);
}

function show({ lo, hi }: Interval): string {
  return `[${lo.toString()}, ${hi.toString()}]`;
}

function integersOf(e: Interval): readonly [number, number] {
  const lo = e.lo.toNumber();
  const hi = e.hi.toNumber();
  if (!Number.isSafeInteger(lo) || !Number.isSafeInteger(hi)) {
    throw new RangeError(`Cannot scale by 2^e: e must have integer ends below 2^53, got ${show(e)}`);
  }
  return [lo, hi];
}

function least(...ends: BigNumber[]): BigNumber {
  return ends.reduce((a, b) => b.lt(a) ? b : a);
}

function greatest(...ends: BigNumber[]): BigNumber {
  return ends.reduce((a, b) => b.gt(a) ? b : a);
}

function add(a: Interval, b: Interval): Interval {
  return { lo: down.add(a.lo, b.lo), hi: up.add(a.hi, b.hi) };
}

function neg(a: Interval): Interval {
  return { lo: a.hi.negated(), hi: a.lo.negated() };
}

function abs(a: Interval): Interval {
  if (!a.lo.isNegative()) return a;
  if (a.hi.isNegative() || a.hi.isZero()) return neg(a);
  return { lo: zero, hi: greatest(a.lo.negated(), a.hi) };
}

function corners(op: "mul" | "div", a: Interval, b: Interval): Interval {
  const ends = (R: Rounding): BigNumber[] => [
    R[op](a.lo, b.lo),
    R[op](a.lo, b.hi),
    R[op](a.hi, b.lo),
    R[op](a.hi, b.hi),
  ];
  return { lo: least(...ends(down)), hi: greatest(...ends(up)) };
}

function exponentOf(x: Interval): Interval {
  const { lo, hi } = abs(x);
  if (hi.isZero()) return { lo: zero, hi: zero };
  if (lo.isZero()) throw new RangeError(`Cannot enclose the exponent: the interval must exclude 0, got ${show(x)}`);
  // Rounding down never crosses a power of two: it has few bits.
  const end = (y: BigNumber): BigNumber => new down(exponentOfDyadic(endToDyadic(y, false)));
  return { lo: end(lo), hi: end(hi) };
}

function scale2(x: Interval, e: Interval): Interval {
  const [from, to] = integersOf(e);
  return {
    lo: least(scaleBound(down, x.lo, from), scaleBound(down, x.lo, to)),
    hi: greatest(scaleBound(up, x.hi, from), scaleBound(up, x.hi, to)),
  };
}

const LN2: Interval = { lo: outward(down, down.ln(two)), hi: outward(up, up.ln(two)) };
const exp = increasing(expBound);

/**
 * Interval arithmetic: the result of each operation contains every value that the operation takes on its operands.
 *
 * @throws {RangeError} from `of` if the constant is not finite; from `div` if the divisor contains 0; from `sqrt` if
 * the operand reaches below 0; from `exponent` if it contains 0 and more; from `scale2` if the exponent's ends are no
 * integers; from the exponential functions if |x| ≥ 10^16.
 */
export const interval: Analytic<Interval> = {
  ...numericIndexing<Interval>({ lo: zero, hi: zero }, { lo: one, hi: one }, add),
  of: (x: number): Interval => fromDyadic(fromNumber(x)),
  add,
  sub: (a: Interval, b: Interval): Interval => ({ lo: down.sub(a.lo, b.hi), hi: up.sub(a.hi, b.lo) }),
  mul: (a: Interval, b: Interval): Interval => corners("mul", a, b),
  neg,
  max: (a: Interval, b: Interval): Interval => ({ lo: greatest(a.lo, b.lo), hi: greatest(a.hi, b.hi) }),
  scale2,
  exponent: exponentOf,
  div(a: Interval, b: Interval): Interval {
    if (!b.lo.gt(zero) && !b.hi.lt(zero)) {
      throw new RangeError(`Cannot divide: the divisor must exclude 0, got ${show(b)}`);
    }
    return corners("div", a, b);
  },
  abs,
  atLeast(a: Interval, b: Interval, then: Interval, otherwise: Interval): Interval {
    if (a.lo.gte(b.hi)) return then;
    if (a.hi.lt(b.lo)) return otherwise;
    return { lo: least(then.lo, otherwise.lo), hi: greatest(then.hi, otherwise.hi) };
  },
  exp,
  expm1: increasing(expm1Bound),
  sqrt: increasing(sqrtBound),
  sigmoid: increasing(sigmoidBound),
  softplus: increasing(softplusBound),
  expParts(x: Interval): { readonly mantissa: Interval; readonly exponent: Interval } {
    const k = new down(Math.round(x.lo.toNumber() / Math.LN2));
    const exponent = { lo: k, hi: k };
    const rest = corners("mul", exponent, LN2);
    return { mantissa: exp({ lo: down.sub(x.lo, rest.hi), hi: up.sub(x.hi, rest.lo) }), exponent };
  },
};

function at(f: (x: Interval) => Interval): (x: Dyadic) => Enclosure {
  return (x: Dyadic): Enclosure => toEnclosure(f(fromDyadic(x)));
}

/** The same functions as enclosures of exact arguments: `certifiedBy(intervalEnclosures)` is the slow, second judge. */
export const intervalEnclosures: Enclosures = {
  exp: at(interval.exp),
  expm1: at(interval.expm1),
  sqrt: at(interval.sqrt),
  sigmoid: at(interval.sigmoid),
  softplus: at(interval.softplus),
};
