/**
 * `dualscan bench compare`: our times beside those of peers, by kernel, shape and type.
 *
 * @module
 */
import { benchOptions, exactWords } from "../arguments.ts";
import { grouped } from "../grouped.ts";
import { milliseconds } from "../format.ts";
import type { BenchOutput } from "../output.ts";
import { resultFile, resultPath } from "../save.ts";
import { type PeerFigures, peerFigures, type PeerResult, peersOf, peerTimings, timings } from "./peer.ts";
import type { FusedResult } from "./result.ts";
import { error } from "./table.ts";

const help = `dualscan bench compare OURS.jsonl PEERS.jsonl   our times over the peers', by kernel, shape and type

  --json           one JSON object per pair on stdout instead of a table: our result with peer, peerMs, ratio, peerMaxError
  --save FILE      append those to FILE; a bare name lies in bench/results/
  --help           this text

OURS is what \`dualscan bench fused --json\` prints, PEERS what \`bench/peers.py\` prints. Of several timings of one kernel, shape
and type the fastest tuning counts, of several by one peer the last. Types of 16 bits are compared with one another, and a
peer that does the work in no such type with what it does it in. ratio: our time over theirs.`;

/** A timing of ours with a peer's. */
export type Pair = FusedResult & PeerFigures;

/** Our fastest tuning of each kernel, shape and type, with every peer of it; and which of ours have none. */
export function compared(
  ours: readonly FusedResult[],
  peers: readonly PeerResult[],
): { readonly pairs: readonly Pair[]; readonly alone: readonly FusedResult[] } {
  const groups = grouped(ours, ({ kernel, shape, dtype }) => JSON.stringify([kernel, shape, dtype]));
  const fastest = [...groups.values()].map((group) =>
    group.reduce((best, result) => result.ms < best.ms ? result : best)
  );
  const pairs = fastest.flatMap((result) =>
    peersOf(peers, result).map((peer): Pair => ({ ...result, ...peerFigures(result, peer) }))
  );
  return { pairs, alone: fastest.filter((result) => peersOf(peers, result).length === 0) };
}

const head = ["kernel", "shape", "type", "ms", "peer", "peer's ms", "ratio", "error", "peer's error", "tuning"];

/** Pairs as rows of text, the head first. */
export function comparisonTable(pairs: readonly Pair[]): readonly string[] {
  const rows = [
    head,
    ...pairs.map((pair) => [
      pair.kernel,
      pair.shape,
      pair.dtype,
      milliseconds(pair.ms),
      pair.peerDtype === undefined ? pair.peer : `${pair.peer} (${pair.peerDtype})`,
      milliseconds(pair.peerMs),
      pair.ratio.toPrecision(3),
      error(pair.maxError),
      pair.peerMaxError === undefined ? "–" : error(pair.peerMaxError),
      pair.variant,
    ]),
  ];
  const widths = head.map((_, n) => Math.max(...rows.map((row) => row[n]!.length)));
  return rows.map((row) => row.map((cell, n) => cell.padEnd(widths[n]!)).join("  ").trimEnd());
}

/** Runs the command on what follows `bench compare`; resolves to its exit status. Throws an `InputError`. */
export function benchCompare(args: readonly string[], { out, err }: BenchOutput): number {
  const given = benchOptions("bench compare", args, {
    json: { type: "boolean" },
    save: { type: "string" },
    help: { type: "boolean", short: "h" },
  });
  if (given.flag("help")) {
    out(help);
    return 0;
  }
  exactWords("bench compare", given.words, ["OURS.jsonl", "PEERS.jsonl"]);
  const [ours, theirs] = given.words as readonly [string, string];
  const { pairs, alone } = compared(timings<FusedResult>(ours, ["variant"]), peerTimings(theirs));
  const save = given.text("save");
  const file = save === undefined ? undefined : resultFile(resultPath(save));
  pairs.forEach((pair) => file?.(pair));
  if (given.flag("json")) pairs.forEach((pair) => out(JSON.stringify(pair)));
  else comparisonTable(pairs).forEach((row) => out(row));
  for (const { kernel, dtype, shape } of alone) err(`no peer's time: ${kernel} ${dtype}, ${shape}`);
  return 0;
}
