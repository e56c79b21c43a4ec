/** The rules on who may import whom, as functions of the sources, so that a planted breach can be shown to be found. */

/** Path relative to the repository's root → source text. */
export type Sources = ReadonlyMap<string, string>;

/** Folder → folders it may import besides itself. Files at the root and unlisted folders may import anything. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  scan: [],
  models: ["scan"],
  oracle: ["models", "scan"],
  kernels: ["models", "scan"],
  tasks: ["models", "kernels"],
};

/** What only tests, benches, tools and the command line may import. */
const ends: readonly string[] = ["bench", "cli", "tests", "tools", "cli.ts"];

/** The specifiers a module imports or re-exports, types included. `deno fmt` keeps declarations at the line's start. */
export function specifiers(source: string): string[] {
  const declarations = /^(?:import|export)\s(?:[^"';]*?\sfrom\s*)?"([^"]+)"/gm;
  const dynamic = /\bimport\(\s*"([^"]+)"\s*[,)]/g;
  return [...source.matchAll(declarations), ...source.matchAll(dynamic)].map(([, specifier]) => specifier ?? "");
}

/** Resolves a relative specifier against the file that holds it; undefined for packages and built-in modules. */
function target(from: string, specifier: string): string | undefined {
  if (!specifier.startsWith(".")) return undefined;
  const parts = from.split("/").slice(0, -1);
  for (const part of specifier.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== ".") parts.push(part);
  }
  return parts.join("/");
}

function top(path: string): string {
  return path.split("/")[0] ?? "";
}

/** One sentence per forbidden import. */
export function breaches(sources: Sources): string[] {
  const found: string[] = [];
  for (const [path, source] of sources) {
    const from = top(path);
    for (const specifier of specifiers(source)) {
      const to = target(path, specifier);
      const folders = allowed[from];
      if (to === undefined) {
        if (from === "scan") found.push(`${path} imports "${specifier}": scan imports nothing`);
        if (specifier === "@std/assert" && from !== "tests") {
          found.push(`${path} imports "${specifier}": only tests do`);
        }
      } else if (folders !== undefined && top(to) !== from && !folders.includes(top(to))) {
        found.push(`${path} imports ${to}: ${from} may import ${folders.join(", ") || "nothing"}`);
      } else if (ends.includes(top(to)) && !ends.includes(from)) {
        found.push(`${path} imports ${to}: only bench, tests, tools and cli.ts do`);
      }
    }
  }
  return found;
}

/** Each import cycle once, as `a.ts → b.ts → a.ts`. */
export function cycles(sources: Sources): string[] {
  const found: string[] = [];
  const done = new Set<string>();
  const stack: string[] = [];
  function visit(path: string): void {
    const at = stack.indexOf(path);
    if (at >= 0) {
      found.push([...stack.slice(at), path].join(" → "));
      return;
    }
    const source = sources.get(path);
    if (done.has(path) || source === undefined) return;
    stack.push(path);
    for (const specifier of specifiers(source)) {
      const to = target(path, specifier);
      if (to !== undefined) visit(to);
    }
    stack.pop();
    done.add(path);
  }
  for (const path of sources.keys()) visit(path);
  return found;
}
