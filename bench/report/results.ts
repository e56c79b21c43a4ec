/**
 * Sections on what was timed: streams, training beside PyTorch, kernels, and errors against length.
 *
 * @module
 */
import { type ErrorResult } from "../errors/draw.ts";
import { grouped } from "../grouped.ts";
import type { StreamLine } from "../stream/latency.ts";
import type { ReportLine } from "./lines.ts";
import { plotted, type Section } from "./section.ts";

function streams(lines: readonly StreamLine[]): readonly Section[] {
  if (lines.length === 0) return [];
  const of = [...grouped(lines, ({ model, shape, adapter }) => `${model}, ${shape} (${adapter})`)];
  const table = {
    head: ["stream", "tokens", "ms a token", "slowest", "bytes", "summaries"],
    rows: of.flatMap(([name, some]) =>
      some.map(({ tokens, ms, slowest, liveBytes, held }) => [name, tokens, ms, slowest, liveBytes, held ?? "–"])
    ),
  };
  const curves = (value: (line: StreamLine) => number) =>
    of.map(([name, some]) => ({ name, hue: name, points: some.map((line) => [line.tokens, value(line)] as const) }));
  const axes = { x: "tokens so far", along: "log2", up: "log10" } as const;
  return [
    plotted("Streams: latency of a token", { ...axes, y: "ms a token" }, curves(({ ms }) => ms), table),
    plotted("Streams: memory", { ...axes, y: "bytes on the device" }, curves(({ liveBytes }) => liveBytes), table),
  ];
}

function errorsByLength(points: readonly ErrorResult[]): readonly Section[] {
  return [...grouped(points, ({ family, pass }) => `${family}, ${pass}`)].map(([name, some]) => {
    const of = [...grouped(some, ({ model, inputs }) => `${model}, ${inputs}`)].map(([curve, line]) => ({
      name: curve,
      hue: line[0]!.model,
      line: [...line].sort((a, b) => a.length - b.length),
    }));
    return plotted(
      `${name}: error against length`,
      { x: "tokens", y: "largest error / rms of the truth", along: "log2", up: "log10" },
      of.map(({ name, hue, line }) => ({ name, hue, points: line.map(({ length, maxError }) => [length, maxError]) })),
      {
        head: ["model, inputs", "length", "largest error", "rms error"],
        rows: of.flatMap(({ name, line }) =>
          line.map(({ length, maxError, rmsError }) => [name, length, maxError, rmsError])
        ),
      },
    );
  });
}

const text = (value: unknown): string | number => typeof value === "number" || typeof value === "string" ? value : "–";

function timings(lines: readonly ReportLine[]): readonly Section[] {
  return [...grouped(lines, ({ source }) => source)].map(([source, some]) => ({
    title: `Timings: ${source}`,
    table: {
      head: ["kernel", "shape", "type", "by", "ms", "tokens a second", "largest error"],
      rows: some.map(({ object }) => [
        text(object["kernel"]),
        text(object["shape"]),
        text(object["dtype"]),
        text(object["peer"] ?? object["variant"]),
        text(object["ms"]),
        text(object["tokensPerSecond"]),
        text(object["maxError"]),
      ]),
    },
  }));
}

/** Sections of all lines that belong to no training run. */
export function resultSections(lines: readonly ReportLine[]): readonly Section[] {
  const objects = lines.filter(({ object }) => object["error"] === undefined || object["kind"] !== undefined);
  return [
    ...streams(
      objects.filter(({ object }) => object["kind"] === "stream").map(({ object }) => object as unknown as StreamLine),
    ),
    ...errorsByLength(
      objects.filter(({ object }) => typeof object["family"] === "string" && typeof object["maxError"] === "number")
        .map(({ object }) => object as unknown as ErrorResult),
    ),
    ...timings(
      objects.filter(({ object }) => typeof object["kernel"] === "string" && typeof object["ms"] === "number"),
    ),
  ];
}
