/**
 * The few functions of `@std/assert` that the tests use, over `node:assert`, so that the same test
 * files run under Deno, Bun and Node without reaching JSR. `deno.json` and `tsconfig.json` map
 * `@std/assert` to this file.
 */
import * as node from "node:assert/strict";

/** Thrown by every assertion here. */
export { AssertionError } from "node:assert/strict";

/** A class whose instances are errors. */
// deno-lint-ignore no-explicit-any -- constructors of every parameter list must be accepted
export type ErrorClass<E extends Error = Error> = new (...args: any[]) => E;

function fail(message: string): never {
  throw new node.AssertionError({ message });
}

function suffix(message: string | undefined): string {
  return message === undefined ? "" : `: ${message}`;
}

/** Runs an assertion of `node:assert` so that `message` is added to its difference instead of replacing it. */
function explained(message: string | undefined, assertion: () => void): void {
  try {
    assertion();
  } catch (error) {
    if (message !== undefined && error instanceof Error) error.message += suffix(message);
    throw error;
  }
}

function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  return typeof value === "bigint" ? `${value}n` : String(value);
}

/** Holds when `condition` is truthy. */
export function assert(condition: unknown, message?: string): asserts condition {
  if (!condition) fail(message ?? `Expected a truthy value, got ${show(condition)}`);
}

/** Holds when `condition` is falsy. */
export function assertFalse(condition: unknown, message?: string): void {
  if (condition) fail(message ?? `Expected a falsy value, got ${show(condition)}`);
}

/** Deep equality; NaN equals NaN and −0 differs from 0. */
export function assertEquals<T>(actual: T, expected: T, message?: string): void {
  explained(message, () => node.deepStrictEqual(actual, expected));
}

/** The negation of {@linkcode assertEquals}. */
export function assertNotEquals<T>(actual: T, expected: T, message?: string): void {
  explained(message, () => node.notDeepStrictEqual(actual, expected));
}

/** `Object.is` equality. */
export function assertStrictEquals<T>(actual: unknown, expected: T, message?: string): asserts actual is T {
  explained(message, () => node.strictEqual(actual, expected));
}

/** The negation of {@linkcode assertStrictEquals}. */
export function assertNotStrictEquals<T>(actual: T, expected: T, message?: string): void {
  explained(message, () => node.notStrictEqual(actual, expected));
}

/** Holds when the value is neither null nor undefined. */
export function assertExists<T>(actual: T, message?: string): asserts actual is NonNullable<T> {
  if (actual === null || actual === undefined) fail(`Expected a value, got ${actual}${suffix(message)}`);
}

/** Holds when `actual` is an instance of `type`. */
export function assertInstanceOf<E extends Error>(
  actual: unknown,
  type: ErrorClass<E>,
  message?: string,
): asserts actual is E {
  if (!(actual instanceof type)) fail(`Expected an instance of ${type.name}, got ${show(actual)}${suffix(message)}`);
}

/**
 * Holds when `|actual − expected| ≤ tolerance`. Unlike `@std/assert` there is no default: a tolerance
 * in this project is always derived.
 */
export function assertAlmostEquals(actual: number, expected: number, tolerance: number, message?: string): void {
  if (Object.is(actual, expected)) return;
  const distance = Math.abs(actual - expected);
  if (!(distance <= tolerance)) {
    fail(`Expected ${expected} within ${tolerance}, got ${actual} (off by ${distance})${suffix(message)}`);
  }
}

/** Holds when `actual > expected`. */
export function assertGreater<T extends number | bigint | string>(actual: T, expected: T, message?: string): void {
  if (!(actual > expected)) fail(`Expected ${show(actual)} > ${show(expected)}${suffix(message)}`);
}

/** Holds when `actual ≥ expected`. */
export function assertGreaterOrEqual<T extends number | bigint | string>(
  actual: T,
  expected: T,
  message?: string,
): void {
  if (!(actual >= expected)) fail(`Expected ${show(actual)} ≥ ${show(expected)}${suffix(message)}`);
}

/** Holds when `actual < expected`. */
export function assertLess<T extends number | bigint | string>(actual: T, expected: T, message?: string): void {
  if (!(actual < expected)) fail(`Expected ${show(actual)} < ${show(expected)}${suffix(message)}`);
}

/** Holds when `actual ≤ expected`. */
export function assertLessOrEqual<T extends number | bigint | string>(actual: T, expected: T, message?: string): void {
  if (!(actual <= expected)) fail(`Expected ${show(actual)} ≤ ${show(expected)}${suffix(message)}`);
}

/** Holds when the text contains `expected`. */
export function assertStringIncludes(actual: string, expected: string, message?: string): void {
  if (!actual.includes(expected)) fail(`Expected ${show(actual)} to contain ${show(expected)}${suffix(message)}`);
}

/** Holds when the array contains every element of `expected`. */
export function assertArrayIncludes<T>(actual: readonly T[], expected: readonly T[], message?: string): void {
  const missing = expected.filter((wanted) => !actual.some((item) => isDeepEqual(item, wanted)));
  if (missing.length > 0) fail(`Expected [${actual.map(show)}] to contain [${missing.map(show)}]${suffix(message)}`);
}

function isDeepEqual(left: unknown, right: unknown): boolean {
  try {
    node.deepStrictEqual(left, right);
    return true;
  } catch {
    return false;
  }
}

/** Holds when the text matches `expected`. */
export function assertMatch(actual: string, expected: RegExp, message?: string): void {
  if (!expected.test(actual)) fail(`Expected ${show(actual)} to match ${expected}${suffix(message)}`);
}

/** Holds when the text does not match `expected`. */
export function assertNotMatch(actual: string, expected: RegExp, message?: string): void {
  if (expected.test(actual)) fail(`Expected ${show(actual)} not to match ${expected}${suffix(message)}`);
}

function checkError<E extends Error>(error: unknown, type: ErrorClass<E>, includes: string | undefined): E {
  assertInstanceOf(error, type);
  if (includes !== undefined) assertStringIncludes(error.message, includes);
  return error;
}

/** Holds when `body` throws an instance of `type` whose message contains `includes`; returns the error. */
export function assertThrows<E extends Error = Error>(
  body: () => unknown,
  type: ErrorClass<E> = Error as unknown as ErrorClass<E>,
  includes?: string,
): E {
  let error: unknown;
  try {
    body();
  } catch (thrown) {
    error = thrown;
    return checkError(error, type, includes);
  }
  fail(`Expected the function to throw ${type.name}, it returned`);
}

/** Holds when the promise of `body` rejects with an instance of `type`; resolves to the error. */
export async function assertRejects<E extends Error = Error>(
  body: () => PromiseLike<unknown>,
  type: ErrorClass<E> = Error as unknown as ErrorClass<E>,
  includes?: string,
): Promise<E> {
  try {
    await body();
  } catch (thrown) {
    return checkError(thrown, type, includes);
  }
  fail(`Expected the promise to reject with ${type.name}, it resolved`);
}

/** Marks a branch that must not be reached. */
export function unreachable(reason?: string): never {
  fail(`Unreachable${suffix(reason)}`);
}
