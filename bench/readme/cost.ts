/**
 * What a step of training costs, beside the same network in PyTorch.
 *
 * @module
 */
import { checkFields, type Fields } from "../experiments/fields.ts";
import { type CostLine, costLine } from "../experiments/result.ts";
import { networkName } from "../experiments/setting.ts";
import { milliseconds } from "../format.ts";
import { grouped } from "../grouped.ts";
import { latest, linesOf } from "./lines.ts";
import { count, markdown, NONE, number, ratio } from "./markdown.ts";
import type { Made } from "./section.ts";
import { adapters } from "./trained.ts";

/** A line that `bench/torch_psm.py` prints. */
interface PeerCost {
  readonly peer: string;
  readonly dtype: string;
  /** Default: the Transformer-PSM. */
  readonly model?: string;
  readonly preset: string;
  readonly batch: number;
  readonly length: number;
  readonly ms: number;
  readonly tokensPerSecond: number;
  /** Null where it was not to be had. */
  readonly peakBytes: number | null;
  /** Numbers in all parameters. */
  readonly size: number;
  readonly adapter: string;
  readonly date: string;
}

/** Whether a line is a peer's training. */
export function isPeerCost(object: Fields): boolean {
  return object["peer"] !== undefined && typeof object["kernel"] === "string" && object["kernel"].startsWith("train ");
}

function peerCost(what: string, object: Fields): PeerCost | undefined {
  if (!isPeerCost(object) || object["error"] !== undefined) return undefined;
  checkFields(what, object, {
    texts: ["peer", "dtype", "preset", "adapter", "date"],
    numbers: ["batch", "length", "ms", "tokensPerSecond", "size"],
  });
  return object as unknown as PeerCost;
}

/** In words; halves split are what networks do by themselves. */
const productsOf = ({ products = "split" }: CostLine): string => products === "split" ? "f32, split" : products;

/** Of ours alone: products otherwise computed are another line. */
const ownSetting = (line: CostLine): string => JSON.stringify([setting(line), productsOf(line), line.adapter]);

/** Sequences of a step. */
const batchOf = (line: PeerCost | CostLine): number =>
  ("stageBatch" in line ? line.stageBatch : undefined) ?? line.batch;

const setting = (line: PeerCost | CostLine): string => {
  const { model = "t-psm", preset, length, size } = line;
  return JSON.stringify([model, preset, batchOf(line), length, size]);
};

/** Of one network, the lengths that a peer has too, and the longest. */
function worthShowing(lines: readonly CostLine[], peers: ReadonlyMap<string, unknown>): readonly CostLine[] {
  const longest = Math.max(...lines.map(({ length }) => length));
  return lines.filter((line) => line.length === longest || peers.has(setting(line)));
}

const HOUR = 3600e3;

/** Whether a ratio is of two machine sessions, as far as dates tell. */
const apart = (line: CostLine, peer: PeerCost): boolean =>
  Math.abs(Date.parse(line.date) - Date.parse(peer.date)) > HOUR;

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(0);

/** A row of ours beside one peer, or alone. */
function row(line: CostLine, peer: PeerCost | undefined): readonly string[] {
  const { preset, length, msPerStep, tokensPerSecond, peakBytes } = line;
  return [
    networkName(line),
    preset,
    productsOf(line),
    `${batchOf(line)} × ${length}`,
    milliseconds(msPerStep),
    count(Math.round(tokensPerSecond)),
    megabytes(peakBytes),
    ...(peer === undefined ? [NONE, NONE, NONE, NONE, NONE] : [
      `${peer.peer}, ${peer.dtype}`,
      milliseconds(peer.ms),
      `${ratio(msPerStep / peer.ms)}${apart(line, peer) ? " *" : ""}`,
      peer.peakBytes === null ? NONE : megabytes(peer.peakBytes),
      peer.peakBytes === null ? NONE : ratio(peakBytes / peer.peakBytes),
    ]),
  ];
}

/** One table for every adapter of ours. */
export function cost(folder: string): Made {
  const found = linesOf(folder, peerCost);
  const peers = grouped(latest(found, (line) => JSON.stringify([setting(line), line.peer, line.dtype])), setting);
  const ours = latest(linesOf(folder, costLine), ownSetting);
  const blocks = [...grouped(ours, ({ adapter }) => adapter)].map(([adapter, own]) => {
    const networks = [
      ...grouped(
        own,
        (line) => JSON.stringify([line.model, line.preset, line.batch, line.size, productsOf(line)]),
      ),
    ];
    const shown = networks.flatMap(([, lines]) => worthShowing(lines, peers));
    const rows = shown.flatMap((line) => {
      const beside = peers.get(setting(line)) ?? [];
      return beside.length === 0 ? [row(line, undefined)] : beside.map((peer) => row(line, peer));
    });
    const theirs = shown.flatMap((line) => peers.get(setting(line)) ?? []);
    const mixed = shown.some((line) => peers.get(setting(line))?.some((peer) => apart(line, peer)));
    return [
      `On ${adapter}${
        theirs.length === 0 ? "" : `, peers on ${adapters(theirs)}`
      }. A step is forward, backward and update ` +
      "of one batch, on the host's clock, its median; ratio: ours over theirs. Products: small ones in f32, large ones in f32 " +
      "split into halves, or in halves (f16), which keep as many bits as tf32." +
      (mixed ? " *: the two sides were measured more than an hour apart, in machine sessions of their own." : ""),
      "",
      markdown(
        [
          { name: "network" },
          { name: "preset" },
          { name: "products" },
          ...["batch × tokens", "ms a step", "tokens/s", "peak MB"].map(number),
          { name: "peer" },
          ...["its ms", "ratio", "its peak MB", "ratio"].map(number),
        ],
        rows,
      ),
    ].join("\n");
  });
  const none = "Not measured yet: `dualscan bench collect RUNS --only costs --save FILE`, then `dualscan bench table`.";
  return { text: blocks.length === 0 ? none : blocks.join("\n\n") };
}
