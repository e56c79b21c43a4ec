/**
 * Opening what a setup trains, checked against a checkpoint before any work.
 *
 * @module
 */
import { InputError } from "../../models/error.ts";
import type { TokenNetwork } from "../../models/networks/ops.ts";
import type { TrainingSession } from "../../models/networks/training.ts";
import type { Task } from "../task.ts";
import { openBigram } from "./bigram.ts";
import { type Checkpoint, LARGEST_SHARD, shards } from "./checkpoint.ts";
import { networkOf } from "./networks.ts";
import type { Setup } from "./setup.ts";

/** The longest sequence that a run sees. */
export function longestOf({ plan, evaluate }: Setup): number {
  return Math.max(...plan.stages.map(({ to }) => to), ...evaluate);
}

/** Throws an {@link InputError} if the task lacks sequences of a length that the run needs. */
export function checkLengths(task: Task, { plan, evaluate }: Setup): void {
  const needed = [
    ...plan.stages.flatMap(({ from, to, asked }) =>
      [[from, "train", asked], [to, "train", asked], [to, "validation", 1]] as const
    ),
    ...evaluate.map((length) => [length, "test", 1] as const),
  ];
  for (const [length, split, asked] of needed) {
    const refused = task.refusal(length, split, asked);
    if (refused !== undefined) throw new InputError(`Cannot train on ${task.name}: ${refused}`);
  }
}

/** Shapes of what a checkpoint of the setup holds, by name. */
export function checkpointShapes(setup: Setup, task: Task): { readonly [name: string]: readonly number[] } {
  const network = networkOf(setup.model, { vocabulary: task.vocabulary, longest: longestOf(setup) });
  const parameters: { readonly [name: string]: { readonly shape: readonly number[] } } = network?.parameters ??
    { table: { shape: [task.vocabulary, task.vocabulary] } };
  return Object.fromEntries(
    ["parameter", "first", "second"].flatMap((kind) =>
      Object.entries(parameters).map(([name, { shape }]) => [`${kind}.${name}`, shape])
    ),
  );
}

/** Throws an {@link InputError} if a checkpoint cannot be cut into files so small. */
export function checkShards(setup: Setup, task: Task, shardBytes: number = LARGEST_SHARD): void {
  const sizes = Object.entries(checkpointShapes(setup, task)).map((
    [name, shape],
  ) => [name, 4 * shape.reduce((product, extent) => product * extent, 1)]);
  shards(Object.fromEntries(sizes), shardBytes);
}

/** `[32, 128]`, `none` */
export function shapeText(shape: readonly number[] | undefined): string {
  return shape === undefined ? "none" : `[${shape.join(", ")}]`;
}

/** Throws an {@link InputError} unless a checkpoint is of this very network and task. */
export function checkCheckpoint({ arrays, setup, task: identity }: Checkpoint, task: Task, folder: string): void {
  if (identity !== task.identity) {
    throw new InputError(`Cannot resume ${folder}: its task must be ${task.identity}, got ${identity}`);
  }
  const shapes = checkpointShapes(setup, task);
  for (const name of new Set([...Object.keys(shapes), ...Object.keys(arrays)])) {
    const [wanted, got] = [shapeText(shapes[name]), shapeText(arrays[name]?.shape)];
    if (wanted !== got) {
      throw new InputError(`Cannot resume ${folder}: ${name} of ${setup.model.name} must be ${wanted}, got ${got}`);
    }
  }
}

/** What trains a network on a device. */
export type OpenSession = (network: TokenNetwork, setup: Setup) => Promise<TrainingSession>;

/** A session of the setup at its beginning; `onDevice` opens those of networks. */
export async function sessionOf(setup: Setup, task: Task, onDevice: OpenSession): Promise<TrainingSession> {
  const network = networkOf(setup.model, { vocabulary: task.vocabulary, longest: longestOf(setup) });
  return network === undefined ? openBigram(task.vocabulary, setup.optimiser) : await onDevice(network, setup);
}
