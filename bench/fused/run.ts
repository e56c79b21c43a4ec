/**
 * Cases to results, one after the other: whatever a case does, the next one is timed too.
 *
 * @module
 */
import type { Gpu } from "../../kernels/device.ts";
import { runPlans } from "../../kernels/plan.ts";
import { InputError } from "../../models/error.ts";
import { runtimeName } from "../host.ts";
import { quantile } from "../measure.ts";
import { tracked } from "./_tracked.ts";
import { caseText, type FusedCase } from "./cases.ts";
import { assertAllowed, looseness } from "./judge.ts";
import type { LineError } from "./line.ts";
import { peerFigures, type PeerResult, peersOf } from "./peer.ts";
import type { Rates } from "./rates.ts";
import type { FusedResult } from "./result.ts";
import { shapeText } from "./shape.ts";
import { type FusedEffort, timedPlans } from "./timing.ts";

/** What a run has to go by. */
export interface FusedRun {
  readonly effort: FusedEffort;
  /** Seconds after which nothing more is begun. */
  readonly budget: number;
  /** Seconds without an answer of the device after which the run is given up. */
  readonly patience: number;
  /** Whether what was timed is checked again. */
  readonly recheck: boolean;
  readonly peers: readonly PeerResult[];
  rates(gpu: Gpu): Promise<Rates>;
  /** Opens the device; called again after it was lost. */
  open(): Promise<Gpu>;
  /** Seconds that have passed. */
  now(): number;
}

/** Whom to tell. */
export interface FusedListeners {
  onStart?(item: FusedCase): void;
  /** One for every peer; one if there is none. */
  onResult(item: FusedCase, results: readonly FusedResult[]): void;
  /** A case that is not timed; `limits` if the device cannot run it, and it is not the default choice. */
  onFailure(item: FusedCase, reason: Error, limits: boolean, adapter: string): void;
  /** A case that is timed although its bound is too wide to judge it by. */
  onLoose(item: FusedCase, reason: string): void;
}

/** How a run ended. */
export interface FusedOutcome {
  /** Whether all that was begun is right. */
  readonly right: boolean;
  /** Cases not begun for lack of time. */
  readonly left: readonly FusedCase[];
  /** Whether the device stopped answering. */
  readonly stuck: boolean;
}

/** The device did not answer in time. */
class Stuck extends Error {}

async function elapsed<R>(seconds: number, work: Promise<R>): Promise<R | typeof late> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<typeof late>((resolve) => timer = setTimeout(() => resolve(late), 1000 * seconds));
  try {
    return await Promise.race([work, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

const late: unique symbol = Symbol("late");

/** Waits for work as long as the device answers: a reference in f64 may take its time. */
async function answered<R>(gpu: Gpu, patience: number, work: Promise<R>): Promise<R> {
  for (;;) {
    const result = await elapsed(patience, work);
    if (result !== late) return result;
    if (await elapsed(patience, gpu.done()) === late) {
      work.catch(() => {});
      throw new Stuck(`the device did not answer within ${patience} s`);
    }
  }
}

/** Runs cases in order until the budget is spent. Rejects only if there is no device. */
export async function runCases(
  cases: readonly FusedCase[],
  run: FusedRun,
  { onStart, onResult, onFailure, onLoose }: FusedListeners,
): Promise<FusedOutcome> {
  let right = true;
  let stuck = false;
  let gpu = await run.open();
  let lost = watched(gpu);
  const rates = await run.rates(gpu);
  let done = 0;
  for (const item of cases) {
    if (stuck || run.now() >= run.budget) break;
    done++;
    onStart?.(item);
    try {
      const { results, loose } = await answered(gpu, run.patience, timedCase(gpu, item, run, rates));
      onResult(item, results);
      if (loose !== undefined) {
        right = false;
        onLoose(item, loose);
      }
    } catch (error) {
      const limits = error instanceof InputError && item.variant !== item.line.variants[0];
      right &&= limits;
      stuck = error instanceof Stuck;
      onFailure(item, error as Error, limits, adapterName(gpu));
      if (lost() && !stuck) {
        await gpu.close();
        gpu = await run.open();
        lost = watched(gpu);
      }
    }
  }
  // A device that does not answer would not end either.
  if (!stuck) await gpu.close();
  return { right, left: cases.slice(done), stuck };
}

/** Whether a device was lost since. */
function watched(gpu: Gpu): () => boolean {
  let lost = false;
  gpu.device.lost.then(() => lost = true);
  return () => lost;
}

function adapterName(gpu: Gpu): string {
  return `${gpu.adapter.description} (${gpu.adapter.provider})`;
}

async function timedCase(
  gpu: Gpu,
  item: FusedCase,
  { effort, recheck, peers }: FusedRun,
  rates: Rates,
): Promise<{ readonly results: readonly FusedResult[]; readonly loose: string | undefined }> {
  const { line, shape, variant } = item;
  const own = tracked(gpu);
  const prepared = await line.prepare(own.gpu, shape, variant).catch((error: unknown) => {
    own.destroyAll();
    throw error;
  });
  try {
    const { plans, tokens } = prepared;
    const label = caseText(item);
    await runPlans(gpu, label, plans);
    let error: LineError = await prepared.check();
    assertAllowed(error);
    const { samples, onDevice, host } = await timedPlans(gpu, effort, label, plans);
    if (recheck) {
      error = await prepared.check();
      assertAllowed(error);
    }
    const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
    const ms = quantile(samples, 0.5);
    const bytes = sum(plans.map(({ bytes }) => bytes));
    const operations = sum(plans.map(({ operations }) => operations));
    const { copy, matmul: { [line.dtype]: matmul } } = rates;
    const result: FusedResult = {
      kernel: line.name,
      shape: shapeText(shape),
      dtype: line.dtype,
      variant: variant.name,
      plan: [...new Set(plans.map((plan) => plan.variant))].join("; "),
      adapter: adapterName(gpu),
      runtime: runtimeName(),
      ms,
      spread: [quantile(samples, 0.25), quantile(samples, 0.75)],
      samples: samples.length,
      onDevice,
      hostMs: quantile(host, 0.5),
      bytes,
      operations,
      tokensPerSecond: 1000 * tokens / ms,
      bandwidthFraction: bytes / ms / copy,
      copyBytesPerSecond: 1000 * copy,
      ...(matmul === undefined ? {} : {
        matmulFraction: operations / ms / matmul,
        matmulOperationsPerSecond: 1000 * matmul,
      }),
      scratchBytes: sum(plans.map(({ scratchBytes }) => scratchBytes)),
      maxError: (error.whole ?? error).max,
      rmsError: (error.whole ?? error).rms,
      judgedError: error.max,
      allowedError: error.allowed,
      date: new Date().toISOString(),
    };
    const beside = peersOf(peers, result);
    const results = beside.length === 0
      ? [result]
      : beside.map((peer): FusedResult => ({ ...result, ...peerFigures(result, peer) }));
    return { results, loose: looseness(line.dtype, error) };
  } finally {
    prepared.release();
  }
}
