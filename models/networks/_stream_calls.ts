/**
 * What the streams of all networks share: calls of an evaluator with the parameters at hand, and checked tokens.
 *
 * @module
 */
import { InputError } from "../error.ts";
import { headOf } from "./head.ts";
import type { Evaluator, Parameters, TensorOps, TokenNetwork } from "./ops.ts";
import { parameter } from "./parameters.ts";
import type { SavedArray, TokenStreamOptions } from "./token_stream.ts";

/** An array that a stream keeps. */
export interface Held<T> {
  readonly array: T;
  readonly shape: readonly number[];
}

/** Ids of the host with their shape. */
export type HostIds = readonly [ids: readonly number[], shape: readonly number[]];

/** A body with parameters. */
export type StreamBody<T, I> = (
  ops: TensorOps<T, I>,
  parameters: Parameters<T>,
  values: readonly T[],
  ids: readonly I[],
) => readonly T[];

/** Calls of one network's bodies. */
export interface StreamCalls<T, I> {
  readonly batch: number;
  /** Runs a body; the key need not name shapes. */
  call(key: string, values: readonly Held<T>[], ids: readonly HostIds[], body: StreamBody<T, I>): Promise<Held<T>[]>;
  /**
   * {@linkcode StreamCalls.call} of a body whose first result is vectors `[B, 1, d]`, one of each sequence: the logits
   * `[B, vocabulary]` take their place.
   */
  predict(key: string, values: readonly Held<T>[], ids: readonly HostIds[], body: StreamBody<T, I>): Promise<Held<T>[]>;
  /** Frees what the calls keep for themselves; they make it again when they need it. */
  close(): void;
  /** The numbers of an array, which is freed. */
  taken(x: Held<T>): Promise<Float32Array | Float64Array>;
  saved(x: Held<T>): Promise<SavedArray>;
  restored(x: SavedArray): Held<T>;
  free(xs: readonly Held<T>[]): void;
  /** Frees those of `xs` that are not among `others`: a cache brought up to date may be the array that it was. */
  freeBut(xs: readonly Held<T>[], others: readonly Held<T>[]): void;
  /** An array of zeros. */
  zeros(shape: readonly number[]): Held<T>;
  /** Makes a call of a body with arrays of these shapes ready, where the evaluator records. */
  prepare(name: string, shapes: readonly (readonly number[])[], body: StreamBody<T, I>): Promise<void>;
  /** Checked tokens `[B]`. */
  tokens(given: ArrayLike<number>): number[];
  /** The B rows of checked tokens `[B, n]`, for a prefill after `size` tokens, which must be none. */
  rows(given: ArrayLike<number>, size: number): number[][];
}

/** Of a network with its parameters: its number, and the shapes that its bodies return, by key. */
interface Known {
  readonly number: number;
  readonly shapes: Map<string, readonly (readonly number[])[]>;
}

// A body reads the parameters where they lie, so a key names the network and its parameters, by number.
const known = new WeakMap<TokenNetwork, WeakMap<Parameters<unknown>, Known>>();
let count = 0;

function knownOf(network: TokenNetwork, parameters: Parameters<unknown>): Known {
  const ofNetwork = known.get(network) ?? new WeakMap<Parameters<unknown>, Known>();
  known.set(network, ofNetwork);
  const found = ofNetwork.get(parameters) ?? { number: count++, shapes: new Map() };
  ofNetwork.set(parameters, found);
  return found;
}

function shown(shapes: readonly (readonly number[])[]): string {
  return shapes.map((shape) => shape.join("×")).join(", ");
}

/** Calls of `network` on `evaluator`; its bodies read `parameters` where they lie, so that no program holds a copy. */
export function streamCalls<T, I>(
  network: TokenNetwork,
  evaluator: Evaluator<T, I>,
  parameters: Parameters<T>,
  { batch = 1 }: TokenStreamOptions,
): StreamCalls<T, I> {
  if (!Number.isSafeInteger(batch) || batch < 1) {
    throw new InputError(`Cannot stream ${network.name}: batch must be a whole number ≥ 1, got ${batch}`);
  }
  for (const name of Object.keys(network.parameters)) parameter(parameters, name);
  const badId = (tokens: ArrayLike<number>): number | undefined =>
    Array.from(tokens).find((id) => !Number.isSafeInteger(id) || id < 0 || id >= network.vocabulary);
  const { number, shapes } = knownOf(network, parameters);
  const keyOf = (name: string, all: readonly (readonly number[])[]): string =>
    `${network.name} ${number}: ${name} (${shown(all)})`;
  /** The body with the parameters; the shapes of its results are noted. */
  const noted =
    (key: string, body: StreamBody<T, I>) =>
    (ops: TensorOps<T, I>, values: readonly T[], ids: readonly I[]): readonly T[] => {
      const results = body(ops, parameters, values, ids);
      shapes.set(key, results.map((x) => ops.shape(x)));
      return results;
    };
  const free = (xs: readonly Held<T>[]): void => {
    for (const { array } of xs) evaluator.free(array);
  };
  const call: StreamCalls<T, I>["call"] = async (name, values, hostIds, body) => {
    const key = keyOf(name, [...values.map(({ shape }) => shape), ...hostIds.map(([, shape]) => shape)]);
    const ids = hostIds.map(([data, shape]) => evaluator.ids(data, shape));
    try {
      const arrays = await evaluator.call(key, values.map(({ array }) => array), ids, noted(key, body));
      return arrays.map((array, i) => ({ array, shape: shapes.get(key)![i]! }));
    } finally {
      for (const one of ids) evaluator.free(one);
    }
  };
  /** A head that is made of other parameters, once: an argument of the calls that read it, so that none makes it again. */
  let making: Promise<void> | undefined;
  let made: readonly Held<T>[] = [];
  const makeHead = async (): Promise<void> => {
    made = await call("head", [], [], (ops, p) => [headOf(network, ops, p)]);
  };
  return {
    batch,
    call,
    async predict(name, values, ids, body) {
      if (network.head !== undefined) await (making ??= makeHead());
      return await call(name, [...values, ...made], ids, (ops, p, given, tokens) => {
        const [hidden, ...rest] = body(ops, p, given.slice(0, values.length), tokens);
        const rows = ops.reshape(hidden!, [batch, ops.shape(hidden!).at(-1)!]);
        return [ops.linear(rows, given[values.length] ?? headOf(network, ops, p)), ...rest];
      });
    },
    close() {
      free(made);
      [making, made] = [undefined, []];
    },
    async taken(x) {
      try {
        return await evaluator.read(x.array);
      } finally {
        free([x]);
      }
    },
    saved: async ({ array, shape }) => ({ shape, data: Array.from(await evaluator.read(array)) }),
    restored: ({ shape, data }) => ({ array: evaluator.values(data, shape), shape }),
    free,
    freeBut(xs, others) {
      const kept = new Set(others.map(({ array }) => array));
      free(xs.filter(({ array }) => !kept.has(array)));
    },
    zeros: (shape) => ({ array: evaluator.values(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape), shape }),
    async prepare(name, all, body) {
      const key = keyOf(name, all);
      await evaluator.prepare?.(key, all, noted(key, body));
    },
    tokens(tokens) {
      if (tokens.length !== batch || badId(tokens) !== undefined) {
        throw new InputError(
          `Cannot stream ${network.name}: a push takes ${batch} ids < ${network.vocabulary}, got ${
            Array.from(tokens).join(", ") || "none"
          }`,
        );
      }
      return Array.from(tokens);
    },
    rows(tokens, size) {
      const what = `Cannot prefill ${network.name}`;
      if (size > 0) throw new InputError(`${what}: the stream must be at its beginning, got one after ${size} tokens`);
      const n = tokens.length / batch;
      if (!Number.isInteger(n)) {
        throw new InputError(`${what}: tokens must be ${batch} rows of one length, got ${tokens.length}`);
      }
      const bad = badId(tokens);
      if (bad !== undefined) throw new InputError(`${what}: tokens must be ids < ${network.vocabulary}, got ${bad}`);
      return Array.from({ length: batch }, (_, b) => Array.from({ length: n }, (_, t) => tokens[b * n + t]!));
    },
  };
}
