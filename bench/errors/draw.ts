/**
 * Error points, as they are saved, and their plots: one of every family and pass.
 *
 * @module
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { InputError } from "../../models/error.ts";
import { jsonLines } from "../fused/peer.ts";
import { grouped } from "../grouped.ts";
import type { ErrorPoint, Pass } from "./curve.ts";
import { type Curve, logPlot } from "../plot.ts";

/** One error of one kernel. */
export interface ErrorResult extends ErrorPoint {
  readonly family: string;
  readonly model: string;
  readonly pass: Pass;
  /** The class of inputs. */
  readonly inputs: string;
  /** `K=16 V=16 N=16 D=16` */
  readonly sizes: string;
  readonly adapter: string;
  readonly date: string;
}

/** The points in a file; lines that say why there is none are left out. Throws an {@link InputError} in one line. */
export function errorResults(path: string): readonly ErrorResult[] {
  return jsonLines(path).filter((object) => object["error"] === undefined).map((object, n) => {
    const bad = ["family", "model", "pass", "inputs"].find((key) => typeof object[key] !== "string") ??
      ["length", "maxError", "plainError"].find((key) => typeof object[key] !== "number" && object[key] !== null);
    if (bad !== undefined) {
      throw new InputError(`Cannot draw ${path}: point ${n + 1} lacks ${bad}, got ${JSON.stringify(object[bad])}`);
    }
    return object as unknown as ErrorResult;
  });
}

/** File names and texts of the plots. */
export function errorPlots(results: readonly ErrorResult[]): readonly (readonly [string, string])[] {
  const plots = grouped(results, ({ family, pass }) => JSON.stringify([family, pass]));
  return [...plots.values()].map((points) => {
    const { family, pass, adapter } = points[0]!;
    const models = [...new Set(points.map(({ model }) => model))];
    const classes = [...new Set(points.map(({ inputs }) => inputs))];
    const curves = [...grouped(points, ({ model, inputs }) => JSON.stringify([model, inputs])).values()].flatMap(
      (curve): Curve[] => {
        const { model, inputs } = curve[0]!;
        const of = (error: (point: ErrorResult) => number): [number, number][] =>
          curve.map((point): [number, number] => [point.length, error(point)]).sort(([a], [b]) => a - b);
        const style = { colour: models.indexOf(model), pattern: classes.indexOf(inputs) };
        const name = `${model}, ${inputs}`;
        return [
          { name, points: of(({ maxError }) => maxError), ...style },
          { name: `${name}: f32 recurrence`, points: of(({ plainError }) => plainError), ...style, faint: true },
        ];
      },
    );
    const name = `errors_${family.replace(/\W+/g, "_")}_${pass}.svg`;
    const title = `${family}, ${pass}: error against length (${adapter})`;
    return [
      name,
      logPlot({
        title,
        x: "tokens (faint: the recurrence itself in f32, one token after the other)",
        y: "largest error / rms of the truth",
      }, curves),
    ];
  });
}

/** Writes the plots into a folder; gives their paths. */
export function drawErrors(results: readonly ErrorResult[], folder: string): readonly string[] {
  mkdirSync(folder, { recursive: true });
  return errorPlots(results).map(([name, svg]) => {
    const path = join(folder, name);
    writeFileSync(path, svg);
    return path;
  });
}
