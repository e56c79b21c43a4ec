/**
 * Results of fused lines as a table for a person: one block per line and shape, its tunings from the fastest on.
 *
 * @module
 */
import { figures, milliseconds, percent } from "../format.ts";
import { grouped } from "../grouped.ts";
import type { FusedResult } from "./result.ts";

const key = ({ kernel, dtype, shape }: FusedResult): string => `${kernel} ${dtype}  ${shape}`;

/** The head of a block: what, and the time that a copy of its bytes takes. */
function head(result: FusedResult): string {
  const floor = result.ms * result.bandwidthFraction;
  return `${key(result)}  ${figures(result.bytes)}B (copied in ${milliseconds(floor)} ms), ${
    figures(result.operations)
  }flop`;
}

/** One tuning, as a line of a block. */
export function tuningLine(result: FusedResult): string {
  const { ms, spread: [low, high], hostMs, bandwidthFraction, matmulFraction, maxError, judgedError, allowedError } =
    result;
  return [
    `  ${milliseconds(ms)} ms`.padEnd(12),
    `(${milliseconds(low)}–${milliseconds(high)}, host ${milliseconds(hostMs)})`.padEnd(34),
    `${percent(bandwidthFraction)} of copy`.padStart(14),
    ...(matmulFraction === undefined ? [] : [`${percent(matmulFraction)} of matmul`.padStart(18)]),
    `  error ${error(judgedError)} of ${error(allowedError)}`,
    ...(maxError === judgedError ? [] : [`, ${error(maxError)} in all`]),
    ` ${result.variant}`,
    ...(result.onDevice ? [] : [" (host's clock)"]),
    ...(result.peer === undefined ? [] : [`  ${peerText(result)}`]),
  ].join("").trimEnd();
}

/** `0.84 × fla chunk_gla, bf16 (0.714 ms, error 1.2e-2)` */
export function peerText({ peer, peerDtype, peerMs, ratio, peerMaxError }: FusedResult): string {
  const off = peerMaxError === undefined ? "" : `, error ${error(peerMaxError)}`;
  const type = peerDtype === undefined ? "" : ` ${peerDtype}`;
  return `${ratio!.toPrecision(3)} × ${peer}${type} (${milliseconds(peerMs!)} ms${off})`;
}

/** Two figures. */
export function error(x: number): string {
  return x === 0 ? "0" : x.toExponential(1);
}

/** All results, by line and shape; within these from the fastest to the slowest. */
export function fusedTable(results: readonly FusedResult[]): readonly string[] {
  const blocks = grouped(results, key);
  return [...blocks.values()].flatMap((block) => [
    head(block[0]!),
    ...[...block].sort((a, b) => a.ms - b.ms).map(tuningLine),
  ]);
}
