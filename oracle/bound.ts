/**
 * Derived error bounds of a run, for every action whose lanes are independent (a matrix action is held to its defect:
 * defect.ts).
 *
 * Truth: `s_t = Σ_j (Π_{i>j} a_i) b_j`. A schedule computes each term as a product of the same gates in some
 * parenthesisation, plus additions. Walk from a term's leaf to the output: at every combine in which the term lies in the
 * *earlier* operand it is multiplied by an aggregate of at least one later gate and then added to — at most one
 * product and one addition per gate, and the product of m gates itself carries m − 1 roundings however it is grouped: at
 * most 2 roundings per gate. At every combine in which it lies in the *later* operand it is added to, nothing else: at
 * most d such additions, where d is a property of the schedule (`Rounding.rightCombines`). So with majorants
 * `h̄_t = |â_t|(1+u)² h̄_{t−1} + |b̂_t|` of everything that is computed,
 *
 *     E_t = |a_t| E_{t−1} + (r_a + ((1+u)² − 1)|â_t|) h̄_{t−1} + r_b + flush
 *     |ŝ_t − s_t| ≤ E_t + ((1+u)^d − 1) h̄_t
 *
 * where r_a, r_b are the radii of the lifted element (gates included; ball.ts). The telescoping keeps products of
 * errors, so this is rigorous, not first order. Complex lanes go by moduli: a product errs by √5 u (Brent, Percival
 * and Zimmermann 2007), a sum by u. Scaled lanes rescale by powers of two, which is exact, so they obey the plain
 * bound on f·2^p and c·2^e; only the flush threshold moves with the shared exponent. (That exponent may fall faster than
 * the running maximum, by less than a bit a step, so s itself is only known to stay below h̄.)
 *
 * Kernels of chunks: late additions and products are counted in d by the kernel. Where it takes the decay over several
 * tokens as e^{G_t − G_i} from running sums of log gates, each off by (m + 1)u|G| (m additions, all of one sign, and the rounding
 * of the log gate), the exponent is off by at most 2(m + 2)u|G_t|: x_t = e^{2(m + 2)u|G_t|} − 1 of h̄_t more,
 * which stays with the state where the running sum ends. Decays that cancel in the difference, |G_t − G_i| ≪ |G_t|, pay all the
 * same: that is what such a kernel does.
 *
 * Tiles: an operand's entry is off by φ of the operand's largest (`Rounding.tiles`). With every field at its largest in the
 * chunk a token adds at most b* to a state, off by 2φ b*, which no decay within the chunk makes less; a read-out's sum over n keys, of which the largest is q* (of the
 * token where `rows`, else of the chunk), is off by `φ n q* (2 max h̄ + 4 C b*)`, C the chunk's tokens: q·S, q·k and (q·k)·v,
 * each with both of its operands.
 *
 * Flush: an operation whose result is below the smallest normal number may lose that much. In a tree a segment's product or sum
 * may be flushed and then meets an operand of at most 1 + max h̄; a step ends at most d + 2 segments. For scaled lanes all of
 * this is so of mantissas, and 2^m is within a factor of 4 of the largest f…f·2^e.
 *
 * @module
 */
import type { AnyAffineModel, Sizes } from "../models/affine.ts";
import type { Accuracy } from "../models/accuracy.ts";
import type { Analytic } from "../models/arith.ts";
import type { LogSums, Tiles } from "../models/rounding.ts";
import { type LaneState, modelMonoid, readOut } from "../models/run.ts";
import type { Tuple } from "../models/action.ts";
import type { FieldValues } from "../models/token.ts";
import { type Ball, ball, ballAlgebra } from "./ball.ts";
import { closed, growthOf, laneElement, nextScale } from "./lane_gate.ts";
import { readAlgebra, tileFloors } from "./tile_floor.ts";

/** The bounds of one sequence. */
export interface SequenceBound {
  /** Radius of every state number after every step, lanes row-major, `[steps][lanes]` (moduli for complex lanes). */
  readonly states: readonly Float64Array[];
  /** Radius of every output, `[steps][columns]`. */
  readonly outputs: readonly Float64Array[];
  /** The largest magnitude that any schedule may meet: what must stay below the largest float. */
  readonly largest: number;
}

/** What an execution promises of lanes, see `Rounding`. */
export interface LanePromise {
  /** Roundings that no gate pays for. */
  readonly late: number;
  readonly logSums?: LogSums | undefined;
  readonly tiles?: Tiles | undefined;
}

/**
 * The bounds of a sequence whose true states are known (`truth(s)`, as numbers; a scaled state as value and 0).
 */
export function boundSequence(
  model: AnyAffineModel,
  sizes: Sizes,
  tokens: Iterable<FieldValues<Ball>>,
  truth: (step: number) => LaneState<number>,
  initial: LaneState<number>,
  machine: Accuracy,
  { late: roundings, logSums, tiles }: LanePromise,
): SequenceBound {
  const A: Analytic<Ball> = ballAlgebra(machine);
  const { unit } = machine;
  const monoid = modelMonoid(A, model, sizes);
  const growth = growthOf(model, unit);
  const late = (1 + unit) ** roundings - 1;
  const lanes = initial.length;
  const error = new Float64Array(lanes);
  const majorant = Float64Array.from(
    initial,
    (s) => model.action === "scaled" ? Math.abs(s[0]!) * 2 ** s[1]! : Math.hypot(...s),
  );
  let largest = majorant.reduce((x, y) => Math.max(x, y), 0);
  // A scaled lane is s·2^m with 2^m at most the largest f…f·2^e so far, and 1 (an exponent is the floor of a logarithm):
  // what is flushed of s is lost times 2^m.
  let scale = 2 ** Math.max(0, ...initial.map((s) => model.action === "scaled" ? s[1]! : 0));
  const sums = new Float64Array(lanes);
  const given = tiles === undefined ? tokens : [...tokens];
  const floors = tiles && tileFloors(model, sizes, [...given], majorant, machine, tiles, scale);
  // Of a scaled lane, the largest |s|.
  let mantissa = largest / scale;
  // What tiles have added since the chunk's start (to s of a scaled lane): decays within the chunk come before.
  let pending = 0;
  const states: Float64Array[] = [];
  const outputs: Float64Array[] = [];
  const withRadius = (state: LaneState<number>, radii: ArrayLike<number>): LaneState<Ball> => {
    if (model.action === "complex") return state.map((s, lane) => s.map((x) => ball(x, radii[lane]!)));
    if (model.action !== "scaled") return state.map(([x], lane) => [ball(x!, radii[lane]!)]);
    // Read-outs are bounded at the largest exponent: rounding is the same at any, flushing is worst there.
    const m = Math.ceil(Math.log2(scale)) + 1;
    return state.map(([x, e], lane) => [ball(x! * 2 ** (e! - m), radii[lane]! * 2 ** -m), ball(m)]);
  };
  let before = withRadius(initial, new Float64Array(lanes));
  for (const token of given) {
    const step = states.length;
    const element = monoid.lift(token) as readonly Tuple<Ball>[];
    if (model.action === "scaled") scale = nextScale(scale, element[0]!);
    const floor = floors?.[Math.floor(step / tiles!.chunk)];
    const reach = model.action === "scaled" ? 4 * scale * (1 + mantissa) : 1 + largest;
    const flush = (roundings + 2) * machine.flush * reach;
    pending += floor?.update ?? 0;
    const chunkEnds = tiles !== undefined && (step + 1) % tiles.chunk === 0;
    const radii = new Float64Array(lanes);
    for (let lane = 0; lane < lanes; lane++) {
      const { a, ra, b, rb } = laneElement(model.action, element[lane]!);
      const aHat = a + ra;
      error[lane] = a * error[lane]! + (ra + (growth - 1) * aHat) * majorant[lane]! + rb + flush;
      majorant[lane] = aHat * growth * majorant[lane]! + b + rb;
      if (chunkEnds) error[lane]! += pending * scale;
      radii[lane] = error[lane]! + late * majorant[lane]! + (chunkEnds ? 0 : pending * scale);
      if (logSums !== undefined) {
        sums[lane] = (step % logSums.chunk === 0 ? 0 : sums[lane]!) + closed(a);
        const off = Math.expm1(2 * (logSums.additions + 2) * unit * sums[lane]!) * majorant[lane]!;
        radii[lane]! += (1 + late) * off;
        if ((step + 1) % logSums.chunk === 0) {
          error[lane]! += off;
          majorant[lane]! += off;
        }
      }
      if (majorant[lane]! > largest) largest = majorant[lane]!;
      mantissa = Math.max(mantissa, majorant[lane]! / scale);
    }
    if (chunkEnds) pending = 0;
    states.push(radii);
    const after = withRadius(truth(step), radii);
    const B = readAlgebra(A, unit, model.reads === "pre" ? late : 0, floor?.read(step % tiles!.chunk) ?? 0);
    const row = readOut(B, model, sizes, model.reads === "pre" ? before : after, token);
    outputs.push(Float64Array.from(row, (o) => o.r));
    before = after;
  }
  return { states, outputs, largest };
}
