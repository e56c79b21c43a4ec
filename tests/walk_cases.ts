/** Walks of random numbers: what they must give, in f64 with a derived bound, and what a device gives. */
import type { Gpu } from "../kernels/device.ts";
import { runPlans } from "../kernels/plan.ts";
import { Tensor } from "../kernels/tensor.ts";
import { planWalk, WAITING_ROUNDINGS, type WalkDecay, type WalkOptions } from "../kernels/walk/walk.ts";
import { seeded } from "../models/random.ts";
import { POISON32 } from "../oracle/ulp.ts";

export const UNIT: number = 2 ** -24;
export const decays: readonly WalkDecay[] = ["none", "scalar", "head", "rows", "columns"];

export interface Case {
  readonly B: number;
  readonly T: number;
  readonly H: number;
  readonly R: number;
  readonly C: number;
  readonly decay: WalkDecay;
  readonly form?: "log" | "factor";
  readonly reverse: boolean;
  /** Whether a token is read before it is added, with a bonus. */
  readonly bonus?: boolean;
}

export interface Data {
  readonly x: Float32Array;
  readonly y: Float32Array;
  readonly z: Float32Array;
  readonly g: Float32Array | undefined;
  readonly u?: Float32Array;
  readonly initial: Float32Array;
}

const adversarial = [-104, 0, -0.5, -1e-30, -50, 0, 0, -(2 ** -149)];

/**
 * Decays near 1; the same but for one in 97, or one head's, behind which hardly anything is left; of some tenths, for whose products
 * a state is multiplied where loops' bodies begin; and at the ends of what is allowed, which multiply it anywhere.
 */
export type Kind = "gentle" | "rare" | "fast" | "adversarial";

export function dataOf({ B, T, H, R, C, decay, form, reverse, bonus }: Case, kind: Kind = "gentle"): Data {
  const random = seeded(11, "walk", decay, reverse ? 1 : 0);
  const numbers = (n: number): Float32Array => Float32Array.from({ length: n }, () => 2 * random() - 1);
  const gates = { none: 0, scalar: B * T * H, head: H, rows: B * T * H * R, columns: B * T * H * C }[decay];
  return {
    x: numbers(B * T * H * R),
    y: numbers(B * T * H * C),
    z: numbers(B * T * H * R),
    g: gates === 0 ? undefined : Float32Array.from(
      { length: gates },
      (_, n) => {
        const gate = kind === "adversarial"
          ? adversarial[Math.floor(8 * random())]!
          : kind === "rare" && n % 97 === (decay === "head" ? 1 : 40)
          ? -20
          : (kind === "fast" ? -4 : -0.05) * random();
        return form === "factor" ? Math.exp(gate) : gate;
      },
    ),
    initial: numbers(B * H * R * C),
    ...(bonus === true ? { u: numbers(H * R) } : {}),
  };
}

export interface Truth {
  readonly outputs: Float64Array;
  readonly final: Float64Array;
  /** Largest error allowed, of each number. */
  readonly outputsAllowed: Float64Array;
  readonly finalAllowed: Float64Array;
}

/**
 * The recurrence in f64; `waiting`: whether decays wait where they can. The bound is carried with it: per entry and token one multiply-add after the product with the gate,
 * itself off by 4 units (3 of the exponential, models/accuracy.ts, and 2^-10 of |g| ≤ 104 more), and R + 2 roundings
 * of what is summed in an output. Before the token is added these are the scale, a product, R − 1 additions and that of
 * the bonus, which meets two products more (kernels/walk/_bonus.ts).
 */
export function truthOf(
  { B, T, H, R, C, decay, form, reverse }: Case,
  { x, y, z, g, u, initial }: Data,
  scale: number,
  waiting: boolean = true,
): Truth {
  const own = waiting && !reverse && (decay === "scalar" || decay === "head") ? WAITING_ROUNDINGS : 0;
  const outputs = new Float64Array(B * T * H * C), outputsAllowed = new Float64Array(outputs.length);
  const final = new Float64Array(B * H * R * C), finalAllowed = new Float64Array(final.length);
  const gate = (row: number, h: number, i: number, j: number): number => {
    if (g === undefined) return 1;
    const at = { none: 0, scalar: row, head: h, rows: row * R + i, columns: row * C + j }[decay];
    return form === "factor" ? g[at]! : Math.exp(g[at]!);
  };
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < H; h++) {
      for (let i = 0; i < R; i++) {
        for (let j = 0; j < C; j++) {
          const at = ((b * H + h) * R + i) * C + j;
          let s: number = initial[at]!;
          let size = Math.abs(s);
          let error = 0;
          const decayed = (row: number): void => {
            const a = gate(row, h, i, j);
            error = a * (error + 6 * UNIT * size) + 2 ** -120;
            [s, size] = [a * s, a * size];
          };
          for (let n = 0; n < T; n++) {
            const row = (b * T + (reverse ? T - 1 - n : n)) * H + h;
            const term = x[row * R + i]! * y[row * C + j]!;
            const weight = scale * z[row * R + i]!;
            if (u !== undefined) {
              const added = u[h * R + i]! * term;
              outputs[row * C + j] = outputs[row * C + j]! + weight * (s + added);
              const allowed = error + (R + 3) * UNIT * size + (R + 5) * UNIT * Math.abs(added);
              outputsAllowed[row * C + j]! += Math.abs(weight) * allowed;
            }
            if (!reverse) decayed(row);
            [s, size] = [s + term, size + Math.abs(term)];
            error += 2 * UNIT * size + own * UNIT * Math.abs(term);
            if (u === undefined) {
              outputs[row * C + j] = outputs[row * C + j]! + weight * s;
              outputsAllowed[row * C + j]! += Math.abs(weight) * (error + (R + 3) * UNIT * size);
            }
            if (reverse) decayed(row);
          }
          [final[at], finalAllowed[at]] = [s, error];
        }
      }
    }
  }
  return { outputs, final, outputsAllowed, finalAllowed };
}

export interface Ran {
  readonly outputs: Float32Array;
  readonly final: Float32Array;
  readonly dispatches: number;
}

export async function ran(device: Gpu, size: Case, data: Data, options: WalkOptions): Promise<Ran> {
  const { B, T, H, R, C, decay, form = "log", reverse } = size;
  const made: Tensor[] = [];
  const tensor = (values: ArrayLike<number>, shape: readonly number[]): Tensor => {
    const t = Tensor.from(device, values, shape);
    made.push(t);
    return t;
  };
  const shapes = { none: [], scalar: [B, T, H], head: [H], rows: [B, T, H, R], columns: [B, T, H, C] };
  const out = tensor(new Float32Array(B * T * H * C).fill(POISON32), [B, T, H, C]);
  const final = tensor(new Float32Array(B * H * R * C).fill(POISON32), [B, H, R, C]);
  const plan = await planWalk(device, {
    x: tensor(data.x, [B, T, H, R]),
    y: tensor(data.y, [B, T, H, C]),
    z: tensor(data.z, [B, T, H, R]),
    ...(data.g === undefined ? {} : { g: tensor(data.g, shapes[decay]) }),
    ...(data.u === undefined ? {} : { u: tensor(data.u, [H, R]) }),
    out,
    initial: tensor(data.initial, [B, H, R, C]),
    final,
  }, { decay, form, reverse, ...options });
  await runPlans(device, "walk", [plan]);
  const result = { outputs: await out.read(), final: await final.read(), dispatches: plan.dispatches.length };
  plan.release();
  made.forEach((t) => t.destroy());
  return result;
}

/** The largest number of a true final state. */
export const left = ({ final: values }: Truth): number => values.reduce((most, x) => Math.max(most, Math.abs(x)), 0);

/** The first number outside its bound. */
export function wrong(got: Float32Array, want: Float64Array, allowed: Float64Array): string | undefined {
  const bad = got.findIndex((x, i) => !(Math.abs(x - want[i]!) <= allowed[i]!));
  return bad < 0 ? undefined : `at ${bad}: got ${got[bad]}, truth ${want[bad]}, allowed ${allowed[bad]}`;
}
