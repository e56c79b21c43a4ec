/** Compilation of a kernel with messages that show the line at fault. */

import { scoped } from "./_scoped.ts";
import { unhurried } from "./_unhurried.ts";

export interface KernelOptions {
  readonly label: string;
  readonly code: string;
  /** Default: the module's only entry point. */
  readonly entryPoint?: string;
  /** Values of the module's `override` constants. */
  readonly constants?: Readonly<Record<string, number>>;
}

interface Fault {
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

export async function compile(device: GPUDevice, options: KernelOptions): Promise<GPUComputePipeline> {
  const { label, code, entryPoint, constants } = options;
  const what = `compile ${label}`;
  const { result: module, error } = scoped(device, what, () => device.createShaderModule({ label, code }));
  const refusal = await error;
  if (refusal !== undefined) {
    const found = parsed(refusal.message);
    const faults = found.length > 0 ? found : await reported(module);
    throw faults.length === 0 ? refusal : new Error(`Cannot ${what}: ${faults.map((f) => show(f, code)).join("\n")}`);
  }
  const stage: GPUProgrammableStage = {
    module,
    ...(entryPoint === undefined ? {} : { entryPoint }),
    ...(constants === undefined ? {} : { constants: { ...constants } }),
  };
  try {
    return await unhurried(device.createComputePipelineAsync({ label, layout: "auto", compute: stage }));
  } catch (cause) {
    throw new Error(`Cannot ${what}: ${(cause as Error).message}`, { cause });
  }
}

/** The faults as WebGPU reports them. Not asked for first: bun-webgpu does not implement it and logs that it does not. */
async function reported(module: GPUShaderModule): Promise<Fault[]> {
  try {
    const { messages } = await module.getCompilationInfo();
    return messages.filter(({ type }) => type === "error").map(({ lineNum, linePos, message }) => (
      { line: lineNum, column: linePos, message: message.trim() }
    ));
  } catch {
    return [];
  }
}

/** The faults in the text of Dawn's error, such as `:3:16 error: cannot initialize 'let' of type …`. */
function parsed(text: string): Fault[] {
  return [...text.matchAll(/:(\d+):(\d+) error: (.*)/g)].map(([, line, column, message]) => (
    { line: Number(line), column: Number(column), message: message ?? "" }
  ));
}

function show({ line, column, message }: Fault, code: string): string {
  const source = code.split("\n")[line - 1];
  return `line ${line}:${column}: ${message}` +
    (source === undefined ? "" : `\n${String(line).padStart(5)} | ${source}`);
}
