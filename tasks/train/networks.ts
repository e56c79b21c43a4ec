/**
 * The networks that can be trained, by name.
 *
 * @module
 */
import { InputError } from "../../models/error.ts";
import type { TokenNetwork } from "../../models/ops.ts";
import type { ModelSetup } from "./setup.ts";

/** A network's sizes as it takes them. */
export interface NetworkContext {
  readonly vocabulary: number;
  /** Longest sequence of the run. */
  readonly longest: number;
}

/** Trains on the CPU, and has no {@linkcode TokenNetwork}. */
export const CONTROL = "bigram";

type Build = (sizes: ModelSetup["sizes"], context: NetworkContext) => TokenNetwork;

const builders: { readonly [name: string]: Build } = {};

/** All names, the control last. */
export const modelNames: readonly string[] = [...Object.keys(builders), CONTROL];

/** Whether a network works in chunks. */
export function chunkOf({ name, sizes }: ModelSetup): number | undefined {
  return name.startsWith("t-psm") ? sizes.chunk : undefined;
}

/** The network of a setup; undefined for the control. Throws an {@link InputError} in one line. */
export function networkOf({ name, sizes }: ModelSetup, context: NetworkContext): TokenNetwork | undefined {
  if (name === CONTROL) return undefined;
  const build = builders[name];
  if (build === undefined) {
    throw new InputError(`Cannot train ${name}: the models are ${modelNames.join(", ")}`);
  }
  return build(sizes, context);
}
