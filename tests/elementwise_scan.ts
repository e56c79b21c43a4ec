/** Cases of the element-wise scan for its tests: run in any layout and direction, judged as the linear recurrence. */

import { assert } from "@std/assert";
import type { Gpu } from "../kernels/device.ts";
import { planScan, type ScanLayout, type ScanOptions, type ScanPlan } from "../kernels/elementwise/scan.ts";
import { runPlans } from "../kernels/plan.ts";
import { type DType, Tensor } from "../kernels/tensor.ts";
import type { InputClass } from "../models/domain.ts";
import type { Rounding } from "../models/execution.ts";
import { sampleInputs } from "../models/inputs.ts";
import { linearRecurrence } from "../models/linear_recurrence.ts";
import { seeded } from "../models/random.ts";
import { judgeOf } from "../oracle/allowance.ts";
import { joined, type Verdict, withinRadius } from "../oracle/compare.ts";
import { reference } from "../oracle/reference.ts";
import { POISON32 } from "../oracle/ulp.ts";

/** Extents, and arrays `[B, T, D]`, `[B, D]`. */
export interface ScanCase {
  readonly B: number;
  readonly D: number;
  readonly T: number;
  /** Absent: 1. */
  readonly a: Float32Array | undefined;
  readonly b: Float32Array;
  readonly h0: Float32Array;
}

/** A seeded case; the case of a smaller T is no part of it. */
export function scanCase(
  B: number,
  D: number,
  T: number,
  { kind = "long-memory", gated = true }: { readonly kind?: InputClass; readonly gated?: boolean } = {},
): ScanCase {
  const inputs = sampleInputs(linearRecurrence, { B, T, H: 1, sizes: { D } }, kind, 7);
  const random = seeded("h0", B, D, T);
  return {
    B,
    D,
    T,
    a: gated ? inputs.a : undefined,
    b: inputs.b!,
    h0: Float32Array.from({ length: B * D }, () => 2 * random() - 1),
  };
}

/** From `[B, T, D]` to the layout's order, and back. */
export function arranged(
  x: Float32Array,
  { B, D, T }: Pick<ScanCase, "B" | "D" | "T">,
  layout: ScanLayout,
  back: boolean = false,
): Float32Array {
  if (layout === "columns") return x;
  const out = new Float32Array(x.length);
  for (let b = 0; b < B; b++) {
    for (let t = 0; t < T; t++) {
      for (let d = 0; d < D; d++) {
        const [row, column] = [(b * D + d) * T + t, (b * T + t) * D + d];
        if (back) out[column] = x[row]!;
        else out[row] = x[column]!;
      }
    }
  }
  return out;
}

/** Shape of `[B, D, T]` numbers in a layout. */
export function shapeOf({ B, D, T }: Pick<ScanCase, "B" | "D" | "T">, layout: ScanLayout): number[] {
  return layout === "rows" ? [B, D, T] : [B, T, D];
}

/** One run, and what it gave in `[B, T, D]` and `[B, D]`. */
export interface ScanRun {
  readonly given: ScanCase;
  readonly options: ScanOptions & { readonly dtype?: DType };
  readonly plan: ScanPlan;
  readonly outputs: Float32Array;
  readonly finalState: Float32Array;
}

/** Runs cases in one submit. */
export async function runScans(
  gpu: Gpu,
  cases: readonly { readonly given: ScanCase; readonly options: ScanRun["options"] }[],
): Promise<ScanRun[]> {
  const prepared = await Promise.all(cases.map(async ({ given, options: { dtype = "f32", ...options } }) => {
    const shape = shapeOf(given, options.layout);
    const tensor = (x: Float32Array): Tensor => Tensor.from(gpu, arranged(x, given, options.layout), shape, { dtype });
    const poison = (length: number): Float32Array => new Float32Array(length).fill(dtype === "f32" ? POISON32 : -65504);
    const { B, D } = given;
    const tensors = {
      ...(given.a && { a: tensor(given.a) }),
      b: tensor(given.b),
      h: tensor(poison(given.b.length)),
      h0: Tensor.from(gpu, given.h0, [B, D]),
      final: Tensor.from(gpu, new Float32Array(B * D).fill(POISON32), [B, D]),
    };
    return { tensors, plan: await planScan(gpu, tensors, options) };
  }));
  await runPlans(gpu, "scans", prepared.map(({ plan }) => plan));
  const runs: ScanRun[] = [];
  for (const [n, { tensors, plan }] of prepared.entries()) {
    const { given, options } = cases[n]!;
    const outputs = arranged(await tensors.h.read(), given, options.layout, true);
    runs.push({ given, options, plan, outputs, finalState: await tensors.final.read() });
    plan.release();
    for (const one of Object.values(tensors)) one.destroy();
  }
  return runs;
}

/** The rounding of a plan, as an execution would publish it. */
export function roundingOf({ rightCombines }: Pick<ScanPlan, "rightCombines">): Rounding {
  return { unit: 2 ** -24, rightCombines: () => rightCombines, accuracy: "wgsl", denseChunk: () => 1 };
}

/**
 * Any direction as the linear recurrence in time: reversed in time; the shifted scan has the gate of the token before, 1 at
 * first, and a last token of the last gate and nothing, whose state is the final one.
 */
function asRecurrence({ given: { B, D, T, a, b }, options: { reverse = false, shifted = false } }: ScanRun) {
  const steps = shifted ? T + 1 : T;
  const [gates, inputs] = [new Float32Array(B * steps * D).fill(1), new Float32Array(B * steps * D)];
  for (let n = 0; n < B; n++) {
    for (let s = 0; s < steps; s++) {
      for (let d = 0; d < D; d++) {
        const from = (at: number): number => (n * T + (reverse ? T - 1 - at : at)) * D + d;
        const to = (n * steps + s) * D + d;
        if (a !== undefined && (!shifted || s > 0)) gates[to] = a[from(shifted ? s - 1 : s)]!;
        if (s < T) inputs[to] = b[from(s)]!;
      }
    }
  }
  return { steps, inputs: { a: gates, b: inputs } };
}

/** Judges a run by the derived bound of the linear recurrence. */
export function verdictOf(run: ScanRun): Verdict {
  const { given: { B, D, T, h0 }, options: { reverse = false }, outputs, finalState } = run;
  const { steps, inputs } = asRecurrence(run);
  const dims = { B, T: steps, H: 1, sizes: { D } };
  const judge = judgeOf(reference(linearRecurrence, dims, inputs, h0), roundingOf(run.plan));
  const ordered = new Float32Array(B * steps * D);
  for (let n = 0; n < B; n++) {
    for (let s = 0; s < steps; s++) {
      for (let d = 0; d < D; d++) {
        ordered[(n * steps + s) * D + d] = s < T
          ? outputs[(n * T + (reverse ? T - 1 - s : s)) * D + d]!
          : finalState[n * D + d]!;
      }
    }
  }
  return judge.judge({ outputs: ordered, finalState }, steps);
}

/** What a failure prints. */
export function wordsOf({ given: { B, D, T, a }, options, plan }: ScanRun): string {
  return `B ${B} D ${D} T ${T}${a ? "" : " sum"} ${JSON.stringify(options)} (${plan.variant})`;
}

/** Asserts that runs are within their bounds, and that the longest would show a fault. */
export function assertRight(runs: readonly ScanRun[]): void {
  for (const run of runs) {
    const verdict = verdictOf(run);
    assert(verdict.ok, `${wordsOf(run)}: ${JSON.stringify(verdict.first)}`);
    assert(verdict.planted !== "missed", `${wordsOf(run)}: the bound is blind`);
  }
}

/**
 * Numbers stored as halves: each within the radius of an f32 run and its own rounding, 2^−11 relative (normal halves), or
 * flushed below the least normal one. `truth` is of the rounded inputs.
 */
export function halvesVerdict(got: Float32Array, truth: Float64Array, radii: ArrayLike<number>): Verdict {
  const allowed = truth.map((x, n) => radii[n]! + 2 ** -11 * (Math.abs(x) + radii[n]!) + 2 ** -14);
  return joined([withinRadius(got, truth, allowed)]);
}
