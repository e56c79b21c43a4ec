/**
 * A stream of a network that reads on from a state: keys and values, recurrent states.
 *
 * @module
 */
import { type Held, logitsOf, streamCalls } from "./_stream_calls.ts";
import { InputError } from "../error.ts";
import type { Evaluator, Parameters } from "./ops.ts";
import type { ResumableNetwork } from "./resumable.ts";
import type { PrefilledStream, TokenStreamOptions } from "./token_stream.ts";

/**
 * Opens a stream. States of one shape share a key of the evaluator: a network whose state does not grow is recorded once.
 *
 * @throws {InputError} if the batch is no whole number ≥ 1 or a parameter is missing.
 */
export function resumableDecoder<T, I>(
  network: ResumableNetwork,
  evaluator: Evaluator<T, I>,
  parameters: Parameters<T>,
  options: TokenStreamOptions = {},
): PrefilledStream {
  const calls = streamCalls(network, evaluator, parameters, options);
  const { batch } = calls;
  let size = 0;
  let state: readonly Held<T>[] = [];
  const replace = (next: readonly Held<T>[], count: number): void => {
    calls.free(state);
    [state, size] = [next, count];
  };
  const expectRoom = (more: number): void => {
    if (network.longest === undefined || size + more <= network.longest) return;
    throw new InputError(
      `Cannot stream ${network.name}: its context has ${network.longest} positions, got ${size + more} tokens`,
    );
  };
  return {
    get size(): number {
      return size;
    },
    async push(given) {
      const tokens = calls.tokens(given);
      expectRoom(1);
      const [logits, ...next] = await calls.call(
        "next token",
        state,
        [[tokens, [batch, 1]], [[network.placeOf(size)], [1]]],
        (ops, p, values, [token, place]) => {
          const resumed = network.resume(ops, p, token!, place!, values);
          return [logitsOf(ops, p, resumed.hidden), ...resumed.state];
        },
      );
      replace(next, size + 1);
      return await calls.taken(logits!);
    },
    async prefill(given) {
      const rows = calls.rows(given, size);
      const n = rows[0]!.length;
      expectRoom(n);
      if (n === 0) return;
      const places = Array.from({ length: n }, (_, t) => network.placeOf(t));
      const next = await calls.call(
        "prefill",
        [],
        [[rows.flat(), [batch, n]], [places, [n]]],
        (ops, p, _, [tokens, place]) => network.resume(ops, p, tokens!, place!, []).state,
      );
      replace(next, n);
    },
    async save() {
      const saved = [];
      for (const x of state) saved.push(await calls.saved(x));
      return { size, pending: [], arrays: Object.fromEntries(saved.map((array, i) => [`state.${i}`, array])) };
    },
    restore: (saved) =>
      Promise.resolve().then(() => {
        const arrays = Object.entries(saved.arrays);
        const fits = arrays.every(([name, { shape }], i) => name === `state.${i}` && shape[0] === batch);
        if (!fits || saved.pending.length > 0) {
          throw new InputError(
            `Cannot restore ${network.name}: a state is state.0, …, each of ${batch} rows, got ${
              arrays.map(([name, { shape }]) => `${name} [${shape.join(", ")}]`).join(", ")
            }`,
          );
        }
        replace(arrays.map(([, array]) => calls.restored(array)), saved.size);
      }),
    close: () => replace([], 0),
  };
}
