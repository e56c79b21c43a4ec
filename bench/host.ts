/**
 * Where a bench ran, in words.
 *
 * @module
 */
import { cpus } from "node:os";
import process from "node:process";

/** `deno 2.9.6`, `bun 1.4.5`, `node 20.19.0`. */
export function runtimeName(): string {
  const { versions } = process as { readonly versions: { readonly [name: string]: string | undefined } };
  const name = ["deno", "bun"].find((runtime) => versions[runtime] !== undefined) ?? "node";
  return `${name} ${versions[name]}`;
}

/** The processor's own name; `cpu` where the system does not say, or may not be asked. */
export function cpuName(): string {
  try {
    return cpus()[0]?.model.trim() || "cpu";
  } catch {
    return "cpu";
  }
}
