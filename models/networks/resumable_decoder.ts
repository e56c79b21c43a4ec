/**
 * A stream of a network that reads on from a state: keys and values, recurrent states.
 *
 * Keys and values lie in caches with room for a power of two of tokens, which grow to twice that; how many there are is read
 * at run time. What is saved is the state itself, without the room.
 *
 * @module
 */
import { cacheOfRows, inRoom, roomFor, rowsOfCache, withTwiceTheRoom } from "./_cache_rows.ts";
import { type Held, type HostIds, streamCalls } from "./_stream_calls.ts";
import { InputError } from "../error.ts";
import type { Evaluator, Parameters } from "./ops.ts";
import type { CachedTokens, ResumableNetwork } from "./resumable.ts";
import type { PrefilledStream, TokenStreamOptions } from "./token_stream.ts";

/**
 * Opens a stream. States of one shape share a key of the evaluator: a network whose state does not grow is recorded once, one
 * with caches once for each room they have.
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
  const { cached } = network;
  let size = 0;
  let state: readonly Held<T>[] = [];
  const replace = (next: readonly Held<T>[], count: number): void => {
    calls.freeBut(state, next);
    [state, size] = [next, count];
  };
  const expectRoom = (more: number): void => {
    if (network.longest === undefined || size + more <= network.longest) return;
    throw new InputError(
      `Cannot stream ${network.name}: its context has ${network.longest} positions, got ${size + more} tokens`,
    );
  };
  /** Logits of the next token, and the state after it. */
  const following = async (tokens: number[]): Promise<Held<T>[]> => {
    const ids: HostIds[] = [[tokens, [batch, 1]], [[network.placeOf(size)], [1]]];
    if (cached === undefined) {
      return await calls.predict("next token", state, ids, (ops, p, values, [token, place]) => {
        const resumed = network.resume(ops, p, token!, place!, values);
        return [resumed.hidden, ...resumed.state];
      });
    }
    await makeRoom(cached);
    return await calls.predict("next token", state, [...ids, [[size + 1], [1]]], (ops, p, caches, given) => {
      const [token, place, count] = given as [I, I, I];
      const resumed = cached.next(ops, p, { token, place, count }, caches);
      return [resumed.hidden, ...resumed.state];
    });
  };
  /** Caches with room for one more token. */
  const makeRoom = async ({ arrays, width, reach }: CachedTokens): Promise<void> => {
    const room = roomFor(size + 1, reach);
    if (state.length === 0) {
      state = Array.from({ length: arrays }, () => calls.zeros([batch, room, width]));
    } else if (state[0]!.shape[1]! < room) {
      const grown: Held<T>[] = [];
      try {
        for (const x of state) {
          grown.push(...await calls.call("room", [x], [], (ops, _, [cache]) => [withTwiceTheRoom(ops, cache!)]));
        }
      } catch (error) {
        calls.free(grown);
        throw error;
      }
      replace(grown, size);
    }
  };
  return {
    get size(): number {
      return size;
    },
    async push(given) {
      const tokens = calls.tokens(given);
      expectRoom(1);
      const [logits, ...next] = await following(tokens);
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
        (ops, p, _, [tokens, place]) => {
          const resumed = network.resume(ops, p, tokens!, place!, []).state;
          return cached === undefined ? resumed : resumed.map((x) => inRoom(ops, x, n, roomFor(n, cached.reach)));
        },
      );
      replace(next, n);
    },
    async save() {
      const saved = [];
      for (const x of size === 0 ? [] : state) {
        const array = await calls.saved(x);
        saved.push(cached === undefined ? array : rowsOfCache(array, size, Math.min(size, cached.reach)));
      }
      return { size, pending: [], arrays: Object.fromEntries(saved.map((array, i) => [`state.${i}`, array])) };
    },
    restore: (saved) =>
      Promise.resolve().then(() => {
        const arrays = Object.entries(saved.arrays);
        const fits = arrays.every(([name, { shape }], i) =>
          name === `state.${i}` && shape[0] === batch &&
          (cached === undefined || shape[1] === Math.min(saved.size, cached.reach) && shape[2] === cached.width)
        );
        const all = cached === undefined || arrays.length === (saved.size === 0 ? 0 : cached.arrays);
        if (!fits || !all || saved.pending.length > 0) {
          throw new InputError(
            `Cannot restore ${network.name}: a state is state.0, …, each of ${batch} rows, got ${
              arrays.map(([name, { shape }]) => `${name} [${shape.join(", ")}]`).join(", ")
            }`,
          );
        }
        const room = cached === undefined ? 0 : roomFor(saved.size, cached.reach);
        replace(
          arrays.map(([, array]) =>
            calls.restored(cached === undefined ? array : cacheOfRows(array, saved.size, room))
          ),
          saved.size,
        );
      }),
    close() {
      replace([], 0);
      calls.close();
    },
  };
}
