/**
 * Beginning a run with what another has learnt: its parameters, in place of those drawn. Moments and steps begin anew.
 *
 * @module
 */
import { InputError } from "../../models/error.ts";
import type { NamedArrays } from "../../models/networks/training.ts";
import type { Task } from "../task.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { checkpointShapes, shapeText } from "./session.ts";
import type { ModelSetup, Setup } from "./setup.ts";

/** A table with a row for each place, of which a longer chunk has more. */
const isPlaces = (name: string): boolean => /\.(places|positions)$/.test(name);

/** `mqar-c32-l512 after 4000 steps`, and with what that run began. */
export function beginningText({ setup: { preset, begunWith }, steps }: Checkpoint): string {
  return `${preset} after ${steps} steps${begunWith === undefined ? "" : ` (begun with ${begunWith})`}`;
}

/** What may not differ: all but the chunk, and dropout, which has no parameters. */
const frameOf = ({ name, sizes: { chunk: _chunk, dropout: _dropout, ...sizes } }: ModelSetup): string =>
  [name, ...Object.entries(sizes).sort(([a], [b]) => a < b ? -1 : 1).map(([size, value]) => `${size}=${value}`)].join(
    " ",
  );

/**
 * Throws an {@link InputError} unless a checkpoint is of the setup's network, which may have more rows in its tables of places. The
 * task may be another of as many tokens.
 */
export function checkBeginning({ arrays, setup: from }: Checkpoint, setup: Setup, task: Task, folder: string): void {
  const refuse = (name: string, wanted: string, got: string): never => {
    throw new InputError(`Cannot begin with ${folder}: ${name} of ${setup.model.name} must be ${wanted}, got ${got}`);
  };
  const parameters = (names: readonly string[]): readonly string[] => names.filter((x) => x.startsWith("parameter."));
  const [network, own] = [frameOf(setup.model), frameOf(from.model)];
  if (network !== own) throw new InputError(`Cannot begin with ${folder}: its network must be ${network}, got ${own}`);
  const shapes = checkpointShapes(setup, task);
  for (const name of parameters([...new Set([...Object.keys(shapes), ...Object.keys(arrays)])])) {
    const [wanted, got] = [shapes[name], arrays[name]?.shape];
    const fewer = wanted !== undefined && got !== undefined && isPlaces(name) && got[0]! < wanted[0]!;
    if (shapeText(fewer ? [wanted[0]!, ...got.slice(1)] : got) !== shapeText(wanted)) {
      refuse(name, shapeText(wanted), shapeText(got));
    }
  }
}

/** A session's arrays with the parameters of a checkpoint; places that it does not have keep what was drawn for them. */
export function beginning(drawn: NamedArrays, { arrays }: Checkpoint): NamedArrays {
  return Object.fromEntries(
    Object.entries(drawn).map(([name, { shape, data }]) => {
      if (!name.startsWith("parameter.")) return [name, { shape, data }];
      const begun = Float32Array.from(data);
      begun.set(arrays[name]!.data);
      return [name, { shape, data: begun }];
    }),
  );
}
