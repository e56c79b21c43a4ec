/** Gets an adapter from each WebGPU implementation the kit knows. */

import { isGranted, runtime, setEnvironmentDefault } from "./_runtime.ts";

/**
 * A WebGPU implementation: Deno's own (wgpu), Dawn from npm `webgpu` (Node and Deno), Dawn from npm `bun-webgpu`,
 * or the browser's.
 */
export type GpuProvider = "deno" | "dawn" | "bun" | "browser";

/** Switches of Dawn, by the names of its `Toggles.cpp`. */
export interface DawnToggles {
  readonly enable?: readonly string[];
  readonly disable?: readonly string[];
}

export interface AdapterRequest {
  readonly adapter?: string | undefined;
  readonly toggles?: DawnToggles | undefined;
}

export interface FoundAdapter {
  readonly adapter: GPUAdapter;
  /** Lets go of what keeps the implementation alive; call it once the device is destroyed. */
  release(): void;
}

/** Every provider with the runtimes it works in. Under Bun, npm `webgpu` crashes on its second `mapAsync`. */
const providers: Record<
  GpuProvider,
  { runtimes: readonly string[]; find: (r: AdapterRequest) => Promise<FoundAdapter> }
> = {
  deno: { runtimes: ["deno"], find: findBuiltIn },
  dawn: { runtimes: ["node", "deno"], find: findDawn },
  bun: { runtimes: ["bun"], find: findBun },
  browser: { runtimes: ["browser"], find: findBuiltIn },
};

export const providerNames: readonly GpuProvider[] = Object.keys(providers) as GpuProvider[];

/** The providers to try, in order. Deno's built-in one comes first: it needs no permission. */
export function candidates(wanted: GpuProvider | "auto"): readonly GpuProvider[] {
  if (wanted !== "auto") return [wanted];
  const order: Record<string, readonly GpuProvider[]> = {
    deno: ["deno", "dawn"],
    node: ["dawn"],
    bun: ["bun"],
    browser: ["browser"],
  };
  return order[runtime()] ?? [];
}

/** Resolves to an adapter, or rejects with the reason why this provider has none here. */
export async function findAdapter(provider: GpuProvider, request: AdapterRequest): Promise<FoundAdapter> {
  const { runtimes, find } = providers[provider];
  if (!runtimes.includes(runtime())) throw new Error(`runs under ${runtimes.join(" and ")} only, this is ${runtime()}`);
  if (provider !== "dawn" && request.adapter !== undefined) {
    throw new Error(`cannot choose an adapter by name ("${request.adapter}"), only dawn can`);
  }
  // Without it the Vulkan drivers' window-system layer writes two lines on stderr for every adapter request.
  setEnvironmentDefault("XDG_RUNTIME_DIR", "/tmp");
  return await find(request);
}

function builtIn(): GPU | undefined {
  return (globalThis as { navigator?: { gpu?: GPU } }).navigator?.gpu;
}

async function request(gpu: GPU): Promise<GPUAdapter> {
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  // bun-webgpu answers with Dawn's null backend, which computes nothing, where there is no driver.
  if (!adapter || adapter.info.device === "null-backend") throw new Error("no adapter");
  return adapter;
}

async function findBuiltIn(_: AdapterRequest): Promise<FoundAdapter> {
  const gpu = builtIn();
  if (gpu === undefined) throw new Error("navigator.gpu is missing");
  return { adapter: await request(gpu), release: () => {} };
}

interface DawnModule {
  create(options: readonly string[]): GPU;
  readonly globals: Record<string, unknown>;
}

/**
 * Instances of Dawn that are in use. They hang on `globalThis` because one held by a module alone may be collected
 * while its device still works, which ends the process with a segmentation fault.
 */
const held = ((globalThis as Record<symbol, unknown>)[Symbol.for("dualscan.dawn")] ??= new Set()) as Set<unknown>;

async function findDawn({ adapter: name, toggles }: AdapterRequest): Promise<FoundAdapter> {
  if (!isGranted("ffi") || !isGranted("read")) throw new Error("needs the permissions --allow-ffi and --allow-read");
  const dawn = await importPackage<DawnModule>("webgpu");
  defineMissing(dawn.globals);
  const options: string[] = [];
  if (name !== undefined) options.push(`adapter=${name}`);
  if (toggles?.enable?.length) options.push(`enable-dawn-features=${toggles.enable.join(",")}`);
  if (toggles?.disable?.length) options.push(`disable-dawn-features=${toggles.disable.join(",")}`);
  const gpu = dawn.create(options);
  held.add(gpu);
  const release = () => void held.delete(gpu);
  try {
    return { adapter: await request(gpu), release };
  } catch (error) {
    release();
    throw error;
  }
}

async function findBun(_: AdapterRequest): Promise<FoundAdapter> {
  const { setupGlobals } = await importPackage<{ setupGlobals(): void | Promise<void> }>("bun-webgpu");
  if (builtIn() === undefined) await setupGlobals();
  const gpu = builtIn();
  if (gpu === undefined) throw new Error("bun-webgpu did not define navigator.gpu");
  return { adapter: await request(gpu), release: () => {} };
}

/**
 * Imports a package that only one runtime can load. The specifier is not a literal, so that bundlers and type checkers
 * leave it alone: the packages' declarations clash with those of Deno.
 */
async function importPackage<M>(name: string): Promise<M> {
  try {
    return await import(name) as M;
  } catch (error) {
    throw new Error(`cannot load npm package "${name}" (${(error as Error).message.split("\n")[0]})`);
  }
}

/** Node has no `GPUBufferUsage` and the like; Deno's own must stay. */
function defineMissing(values: Record<string, unknown>): void {
  const target = globalThis as Record<string, unknown>;
  for (const [name, value] of Object.entries(values)) if (!(name in target)) target[name] = value;
}

/** The one command that gets a machine without a GPU an adapter for this provider. */
export function remedy(provider: GpuProvider): string {
  switch (provider) {
    case "deno":
      return "`apt-get install -y mesa-vulkan-drivers` (Debian, Ubuntu) installs a software one";
    case "browser":
      return "start Chromium with --enable-unsafe-webgpu --use-webgpu-adapter=swiftshader for a software one";
    default:
      return "`apt-get install -y mesa-vulkan-drivers` (Mesa 25 or newer: Ubuntu 24.04, Debian 13) or " +
        "`apt-get install -y chromium && export VK_DRIVER_FILES=/usr/lib/chromium/vk_swiftshader_icd.json` " +
        "(Debian 12) installs a software one";
  }
}
