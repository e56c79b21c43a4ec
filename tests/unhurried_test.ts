/**
 * Waiting without hurry: the same outcome, in few turns of the event loop where these cost something.
 */
import { test } from "node:test";
import { assertEquals, assertGreater, assertRejects } from "@std/assert";
import { unhurried } from "../kernels/_unhurried.ts";
import { runtime } from "../kernels/_runtime.ts";

const later = <T>(value: T, ms = 1): Promise<T> => new Promise((resolve) => setTimeout(() => resolve(value), ms));

/** Turns of the event loop while a promise is pending. */
async function turnsDuring(promise: Promise<unknown>): Promise<number> {
  const { setImmediate } = globalThis as unknown as { setImmediate(turn: () => void): void };
  let turns = 0;
  let pending = true;
  const turn = (): void => {
    if (!pending) return;
    turns++;
    setImmediate(turn);
  };
  setImmediate(turn);
  await promise;
  pending = false;
  return turns;
}

test("an unhurried wait resolves and rejects as what it waits for", async () => {
  assertEquals(await unhurried(Promise.resolve(7)), 7);
  assertEquals(await unhurried(later(8)), 8);
  await assertRejects(() => unhurried(later(9).then(() => Promise.reject(new Error("planted")))), Error, "planted");
});

test("an unhurried wait takes a fraction of the turns under Node", { skip: runtime() !== "node" }, async () => {
  const hurried = await turnsDuring(later(0, 100));
  assertGreater(hurried, 4 * await turnsDuring(unhurried(later(0, 100))));
  // Waits side by side sleep together, or each would make all of them longer.
  const many = Promise.all(Array.from({ length: 50 }, () => unhurried(later(0, 100))));
  const began = performance.now();
  assertGreater(hurried, 4 * await turnsDuring(many));
  assertGreater(500, performance.now() - began);
});
