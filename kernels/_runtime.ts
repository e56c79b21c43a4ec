/** Which JavaScript runtime this is, and its environment read without ever asking for a permission. */

export type Runtime = "deno" | "bun" | "node" | "browser";

interface DenoLike {
  readonly permissions: { querySync(descriptor: { name: string; variable?: string }): { state: string } };
  readonly env: { get(name: string): string | undefined; set(name: string, value: string): void };
}

interface Globals {
  readonly Deno?: DenoLike;
  readonly Bun?: unknown;
  readonly process?: {
    readonly versions?: { readonly node?: string };
    readonly env: Record<string, string | undefined>;
  };
}

const globals = globalThis as unknown as Globals;

/** Names the runtime; whatever is not Deno, Bun or Node counts as a browser. */
export function runtime(): Runtime {
  if (globals.Deno !== undefined) return "deno";
  if (globals.Bun !== undefined) return "bun";
  return globals.process?.versions?.node !== undefined ? "node" : "browser";
}

/** Whether Deno has granted a permission; elsewhere there are none to refuse. */
export function isGranted(name: string, variable?: string): boolean {
  if (globals.Deno === undefined) return true;
  const descriptor = variable === undefined ? { name } : { name, variable };
  return globals.Deno.permissions.querySync(descriptor).state === "granted";
}

/** An environment variable; undefined when unset, empty, or when reading it is not permitted. */
export function environment(name: string): string | undefined {
  if (!isGranted("env", name)) return undefined;
  const value = globals.Deno === undefined ? globals.process?.env[name] : globals.Deno.env.get(name);
  return value === "" ? undefined : value;
}

/** Sets an environment variable for the native libraries of this process, where that is permitted and it is unset. */
export function setEnvironmentDefault(name: string, value: string): void {
  if (!isGranted("env", name) || environment(name) !== undefined) return;
  if (globals.Deno !== undefined) globals.Deno.env.set(name, value);
  else if (globals.process !== undefined) globals.process.env[name] = value;
}
