/**
 * Text: the loss by chunk, beside baselines, by both conventions.
 *
 * @module
 */
import { type Best, bestRuns } from "../experiments/best.ts";
import type { ResultLine } from "../experiments/result.ts";
import { experimentOf, experiments, networkName, networks } from "../experiments/setting.ts";
import { grouped } from "../grouped.ts";
import { mean } from "../mean.ts";
import { type Curve, plot } from "../plot.ts";
import { markdown, number, spread } from "./markdown.ts";
import type { Made } from "./section.ts";
import {
  adapters,
  cutOff,
  HOW,
  NOT_MEASURED,
  plotName,
  results,
  shownPlot,
  trainedCells,
  trainedColumns,
} from "./trained.ts";

const digits = (x: number): string => x.toFixed(4);

/** Nats a token and bits a byte, of one of the two losses. */
function cells(lines: readonly ResultLine[], loss: (line: ResultLine) => number | undefined): readonly string[] {
  const of = lines.flatMap((line) => {
    const nats = loss(line);
    return nats === undefined ? [] : [{ nats, bits: nats / Math.LN2 / (line.bytesPerToken ?? 1) }];
  });
  return [spread(of.map(({ nats }) => nats), digits), spread(of.map(({ bits }) => bits), digits)];
}

/** Loss against the chunk: networks in chunks as curves, the others as level lines. */
function byChunk(title: string, all: readonly Best[]): string {
  const points = all.map(({ lines }) => ({ line: lines[0]!, loss: mean(lines.map(({ loss }) => loss)) }));
  const chunked = points.filter(({ line }) => line.chunk !== undefined);
  const chunks = chunked.map(({ line }) => line.chunk!);
  const [least, most] = chunks.length === 0 ? [16, 256] : [Math.min(...chunks), Math.max(...chunks)];
  const ends = least === most ? [least / 2, 2 * most] : [least, most];
  const curves = [
    ...[...grouped(chunked, ({ line }) => line.model)].map(([name, of]) => ({
      name,
      points: of.map(({ line, loss }) => [line.chunk!, loss] as const),
      pattern: 0,
    })),
    ...points.filter(({ line }) => line.chunk === undefined).map(({ line, loss }) => ({
      name: networkName(line),
      points: ends.map((at) => [at, loss] as const),
      pattern: 1,
    })),
  ].map((curve, colour): Curve => ({ ...curve, colour }));
  const axes = { title: `${title}: loss against the chunk`, x: "tokens of a chunk", y: "nats a token" };
  return plot(axes, curves, { x: "log2", y: "fitted" });
}

/** A table and a plot of every text, setting and length. */
export function text(folder: string): Made {
  const plots: [string, string][] = [];
  const own = experiments(results(folder).filter(({ task }) => task === "text"));
  const blocks = own.flatMap((lines) => [...grouped(lines, ({ length }) => `${length}`).values()]).map((lines) => {
    const all = networks(lines).map(bestRuns);
    const { preset, data, length, bytesPerToken = 1 } = lines[0]!;
    const title = `${experimentOf(preset)}, windows of ${length} tokens`;
    const name = plotName(`${experimentOf(preset)} ${length}`, plots.map(([name]) => name));
    plots.push([name, byChunk(title, all)]);
    const bytes = bytesPerToken === 1 ? "" : `, ${bytesPerToken.toFixed(3)} bytes a token`;
    return [
      `${title} (${data}${bytes}), on ${adapters(all.flatMap((best) => best.lines))}. \`all\`: over all ` +
      `tokens; \`inside\`: without the first token of each chunk; ${HOW}.`,
      "",
      markdown(
        [
          ...trainedColumns,
          ...["nats a token, all", "bits a byte, all", "nats a token, inside", "bits a byte, inside"].map(number),
        ],
        all.map((best) => [
          ...trainedCells(best),
          ...cells(best.lines, ({ loss }) => loss),
          ...cells(best.lines, ({ insideLoss }) => insideLoss),
        ]),
      ),
      ...cutOff(networks(lines)),
      "",
      shownPlot(`loss against the chunk, ${title}`, name),
    ].join("\n");
  });
  return { text: blocks.length === 0 ? NOT_MEASURED : blocks.join("\n\n"), plots };
}
