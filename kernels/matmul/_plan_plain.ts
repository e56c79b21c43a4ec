/** A product in plain f32, made ready. */

import type { Gpu } from "../gpu.ts";
import { plainTime } from "./_cost.ts";
import { BUSY, type Design, type Memory, partsOf } from "./_design.ts";
import { planFinish } from "./_finish.ts";
import {
  partsApart,
  type Plain,
  plainBytes,
  plainShader,
  plainSizes,
  plainThreads,
  type PlainTuning,
  plainTuning,
  plainWorkgroups,
  termsEach,
} from "./_plain.ts";
import type { Problem } from "./_problem.ts";
import { sizesWords } from "./_sizes.ts";
import { InputError } from "../../models/error.ts";

export type { PlainTuning } from "./_plain.ts";

type Tuning = Required<PlainTuning>;

const rest = { blockTerms: 16, prefetch: true, swizzle: 8, together: false };
const large: Tuning = { each: 8, blockRows: 128, blockColumns: 128, ...rest };
const medium: Tuning = { each: 8, blockRows: 64, blockColumns: 64, ...rest };
/** For little work by invocations that do little each: what counts is how soon one of them is done. */
const small: Tuning = { each: 4, blockRows: 32, blockColumns: 32, ...rest, blockTerms: 32 };
/** Workgroups from which on the medium blocks are as fast: two a multiprocessor, roughly. */
const SEVERAL = 256;
/** Compiles fast, which is what counts on the CPU. */
const software: Tuning = {
  each: 4,
  blockRows: 32,
  blockColumns: 32,
  blockTerms: 4,
  prefetch: false,
  swizzle: 8,
  together: false,
};

/** Parts that a workgroup takes together, at most, and terms that one has at least. */
const TOGETHER = 4;
const LEAST_TOGETHER = 192;
/** Terms that a part has at least that is a workgroup's own. */
const LEAST_APART = 512;
/** As many where a row must not depend on how many there are, whatever the blocks. */
const fixedParts = ({ K }: Problem): number => Math.min(TOGETHER, Math.max(1, Math.floor(K / LEAST_TOGETHER)));

export interface PlainOptions extends PlainTuning {
  readonly accumulate: boolean;
  readonly parts?: number;
  readonly invariant?: boolean;
}

/** A product and its blocks. Throws an {@link InputError} if the device has no room for one. */
export function plainSpread(gpu: Gpu, problem: Problem, options: Omit<PlainOptions, "accumulate">): Plain {
  const { limits } = gpu;
  const workgroups = (tuning: Tuning): number =>
    plainWorkgroups({ problem, tuning, parts: 1, accumulate: false, bias: false, single: false });
  const partsFor = (tuning: Tuning): number => {
    const { parts: asked, invariant = false } = options;
    if (asked === undefined && (invariant || tuning.together)) return fixedParts(problem);
    return partsOf(problem, workgroups(tuning), { asked, least: LEAST_APART });
  };
  const timeOf = (tuning: Tuning): number =>
    plainTime({ problem, tuning, parts: partsFor(tuning), accumulate: false, bias: false, single: false });
  const fits = (tuning: Tuning): boolean => {
    const extent = { tuning, parts: partsFor(tuning) };
    return plainBytes(extent) <= limits.maxComputeWorkgroupStorageSize &&
      plainThreads(extent) <= limits.maxComputeInvocationsPerWorkgroup;
  };
  const suggested = (): Tuning => {
    if (fits(large) && workgroups(large) >= BUSY) return large;
    const [larger, smaller] = [medium, small].map((tuning) => ({ ...tuning, together: true })) as [Tuning, Tuning];
    if (fits(larger) && workgroups(larger) >= SEVERAL) return larger;
    const apart = { ...smaller, together: false };
    const together = [smaller, { ...smaller, blockTerms: rest.blockTerms }].find(fits) ?? apart;
    // Long sums of few numbers take more parts than a workgroup has room for.
    return options.invariant !== true && timeOf(apart) < timeOf(together) ? apart : together;
  };
  const defaults = gpu.adapter.software ? software : suggested();
  const tuning = plainTuning(given(options), defaults);
  const parts = partsFor(tuning);
  if (!fits(tuning)) {
    throw new InputError(
      `Cannot multiply: a block of ${tuning.blockRows} × ${tuning.blockColumns} × ${tuning.blockTerms} takes ` +
        `${plainThreads({ tuning, parts })} invocations and ${plainBytes({ tuning, parts })} bytes of workgroup ` +
        `memory, the device allows ${limits.maxComputeInvocationsPerWorkgroup} and ${limits.maxComputeWorkgroupStorageSize}`,
    );
  }
  // What compiles on the CPU takes long to.
  const single = gpu.adapter.software;
  return { problem, tuning, parts, accumulate: false, bias: false, single };
}

export function planPlain(gpu: Gpu, problem: Problem, memory: Memory, options: PlainOptions): Design {
  const spread = plainSpread(gpu, problem, options);
  const { tuning, parts } = spread;
  const apart = partsApart(spread);
  const { c } = problem;
  // Halves are not addressable one by one.
  const partial = apart > 1 || c.dtype === "f16" ? memory.scratch(4 * apart * c.length, "partial sums") : undefined;
  const finish = partial && planFinish(gpu, memory, {
    ...{ c, bias: problem.bias, before: options.accumulate ? "added" : "replaced" },
    partial: { buffer: partial, parts: apart, rows: problem.M, columns: problem.N },
  });
  const [accumulate, bias] = partial ? [false, undefined] : [options.accumulate, problem.bias];
  const plain = { ...spread, accumulate, bias: bias !== undefined };
  const sizes = memory.uniform(sizesWords(plainSizes(plain)));
  return {
    variant: `f32, ${tuning.blockRows}x${tuning.blockColumns}x${tuning.blockTerms}` +
      `${tuning.prefetch ? ", read ahead" : ""}, ${parts === 1 ? "1 part" : `${parts} parts`}${
        tuning.together && parts > 1 ? " together" : ""
      }`,
    mode: "f32",
    hardware: false,
    chunk: termsEach(plain),
    parts,
    async dispatches() {
      // Kernels are compiled together.
      const [pipeline, last] = await Promise.all([
        gpu.compile({ label: "matmul f32", code: plainShader(plain) }),
        finish?.(),
      ]);
      const { a, b } = problem;
      const buffers = [a.tensor.buffer, b.tensor.buffer, partial ?? c.buffer, sizes, ...(bias ? [bias.buffer] : [])];
      const product = { pipeline, buffers, workgroups: plainWorkgroups(plain) };
      return last === undefined ? [product] : [product, last];
    },
  };
}

/** Options that were given: an undefined one must not hide a default. */
function given({ each, blockRows, blockColumns, blockTerms, prefetch, swizzle, together }: PlainTuning): PlainTuning {
  return Object.fromEntries(
    Object.entries({ each, blockRows, blockColumns, blockTerms, prefetch, swizzle, together }).filter(([, value]) =>
      value !== undefined
    ),
  );
}
