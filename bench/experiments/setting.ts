/**
 * What the tables of experiments go by: the experiment that a run belongs to, and the network it is of.
 *
 * @module
 */
import { grouped } from "../grouped.ts";
import type { ResultLine, RunFacts } from "./result.ts";

/** The preset without its chunk and length, which tables have as rows and columns: `text-small`, `mqar`. */
export function experimentOf(preset: string): string {
  return preset.replace(/-[cl]\d+(?=-|$)/g, "");
}

/** Sizes but for the chunk, dropout and where the head comes from. */
const frame = (shape: string): string => shape.replace(/ ?\b(?:(?:chunk|dropout)=[\d.e-]+|tied\b)/g, "");

/** The rate of dropout; none where nothing is dropped. */
const dropoutOf = ({ shape }: RunFacts): string | undefined => /\bdropout=([\d.e-]+)/.exec(shape)?.[1];

/** Whether the head is the table of tokens. */
const isTied = ({ shape }: RunFacts): boolean => /\btied\b/.test(shape);

/** Results that can stand in one table: one task on the same data, networks of the same sizes but for chunk, dropout and head. */
export function experiments(lines: readonly ResultLine[]): readonly (readonly ResultLine[])[] {
  const key = ({ task, preset, data, shape }: ResultLine): string =>
    JSON.stringify([task, experimentOf(preset), data, frame(shape)]);
  return [...grouped(lines, key).values()];
}

/** Tokens of the chunks that a network works in, or whose work it was matched to. */
export function chunkOfRow({ model, chunk, shape }: RunFacts): number | undefined {
  if (chunk !== undefined || model !== "sliding-window") return chunk;
  const matched = /\bchunk=(\d+)/.exec(shape)?.[1];
  return matched === undefined ? undefined : Number(matched);
}

/**
 * Lines by network, dropout, head and beginning: networks in chunks first, in the order of model and chunk, then the others as
 * they come.
 */
export function networks<L extends RunFacts>(lines: readonly L[]): readonly (readonly L[])[] {
  const key = (line: L): string =>
    JSON.stringify([
      line.model,
      chunkOfRow(line) ?? null,
      dropoutOf(line) ?? null,
      isTied(line),
      line.begunWith ?? null,
    ]);
  const groups = [...grouped(lines, key).values()];
  const models = [...new Set(lines.map(({ model }) => model))];
  const place = ([line]: readonly L[]): readonly number[] => [
    line!.chunk === undefined ? 1 : 0,
    models.indexOf(line!.model),
    chunkOfRow(line!) ?? 0,
  ];
  return groups.map((group) => ({ group, at: place(group) }))
    .sort(({ at: a }, { at: b }) => a[0]! - b[0]! || a[1]! - b[1]! || a[2]! - b[2]!)
    .map(({ group }) => group);
}

/**
 * `t-psm, c = 64`, `t-psm, c = 1, dropout 0.1`, `t-psm, c = 64, tied, begun with mqar-c32-l512 after 4000 steps`,
 * `gpt2`, `sliding-window, matched to c = 64`
 */
export function networkName(line: RunFacts): string {
  const [chunk, dropout] = [chunkOfRow(line), dropoutOf(line)];
  const chunks = chunk === undefined ? [] : [`${line.chunk === undefined ? "matched to " : ""}c = ${chunk}`];
  return [
    line.model,
    ...chunks,
    ...(dropout === undefined ? [] : [`dropout ${dropout}`]),
    ...(isTied(line) ? ["tied"] : []),
    ...(line.begunWith === undefined ? [] : [`begun with ${line.begunWith}`]),
  ].join(", ");
}
