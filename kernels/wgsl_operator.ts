/**
 * Scans of an operator that is written in WGSL by hand, on the same kernels the models run on.
 *
 * The meaning: `prefix_t = lift(0) · lift(1) · … · lift(t)` per lane, `·` being `combine(earlier, later)`, any
 * associative operation; the output is `read(prefix_t)`.
 *
 * ```ts
 * const sum: WgslOperator = {
 *   name: "sum", type: "f32", elementWidth: 1, inputs: ["x"],
 *   identity: "return Element(0.0);",
 *   combine: "return Element(earlier[0] + later[0]);",
 *   lift: "return Element(x[t * lanes + lane]);",
 *   read: "return prefix[0];",
 * };
 * const { outputs } = await scanWgsl(gpu, sum, { lanes: 1, steps: 3, inputs: { x: new Float32Array([1, 2, 3]) } });
 * ```
 *
 * @module
 */
import { InputError } from "../models/error.ts";
import type { Fault } from "./faults.ts";
import { type ArrayType, BufferUsage, type Gpu } from "./gpu.ts";
import { type LaneProgram, laneShaders, packParams, PARAMS_BYTES } from "./lane_scan.ts";
import { assemble, compileShader, dispatch, dispatchItems, entryPerItem, poisonShader, storage } from "./wgsl.ts";

/** An associative operator in WGSL. `Element` is `array<type, elementWidth>`; every text is a function's body. */
export interface WgslOperator {
  readonly name: string;
  readonly type: "f32" | "u32";
  readonly elementWidth: number;
  /** Names of the arrays (`array<type>`) that `lift` and `read` may use. */
  readonly inputs: readonly string[];
  /** Functions of your own that the other texts call. */
  readonly functions?: string;
  /** `() -> Element`, neutral on both sides. */
  readonly identity: string;
  /** `(earlier: Element, later: Element) -> Element` */
  readonly combine: string;
  /** `(lane: u32, lanes: u32, t: u32) -> Element` */
  readonly lift: string;
  /** `(prefix: Element, lane: u32, lanes: u32, t: u32) -> type` */
  readonly read: string;
}

/** What to scan. */
export interface WgslScan {
  readonly lanes: number;
  readonly steps: number;
  readonly inputs: { readonly [name: string]: Float32Array | Uint32Array };
  /** `[lanes, elementWidth]`; the identity where not given. */
  readonly initial?: Float32Array | Uint32Array;
  /** Steps that one invocation folds. Default 64. */
  readonly chunk?: number;
  /** Shuffle within subgroups; default: where the device has them. */
  readonly subgroups?: boolean;
  /** Only for tests. */
  readonly fault?: Fault;
}

/** Outputs `[steps, lanes]` and the prefix of everything, `[lanes, elementWidth]`. */
export interface WgslScanResult {
  readonly outputs: Float32Array | Uint32Array;
  readonly final: Float32Array | Uint32Array;
}

function program(operator: WgslOperator): LaneProgram {
  const { name, type, elementWidth, inputs } = operator;
  return {
    label: name,
    type,
    elementWidth,
    stateWidth: elementWidth,
    bindings: [...inputs.map((input) => storage(input, type)), storage("outputs", type, "read_write")],
    monoid: /* wgsl */ `
${operator.functions ?? ""}
fn ds_identity() -> Element { ${operator.identity} }
fn ds_combine(earlier: Element, later: Element) -> Element { ${operator.combine} }
`,
    apply: /* wgsl */ `
fn ds_apply(element: Element, state: State) -> State { return ds_combine(state, element); }
`,
    lift: /* wgsl */ `
fn ds_lift_of(lane: u32, lanes: u32, t: u32) -> Element { ${operator.lift} }
fn ds_lift(lane: u32, s: u32) -> Element { return ds_lift_of(lane, p.lanes, s); }
`,
    store: /* wgsl */ `
fn ds_read(prefix: Element, lane: u32, lanes: u32, t: u32) -> ${type} { ${operator.read} }
fn ds_store(lane: u32, s: u32, state: State) { outputs[s * p.lanes + lane] = ds_read(state, lane, p.lanes, s); }
`,
  };
}

/** The identity evaluated on the device, so that its text is the only statement of it. */
async function fillIdentity(
  gpu: Gpu,
  { label, type, elementWidth, monoid }: LaneProgram,
  target: GPUBuffer,
): Promise<void> {
  const writes = Array.from({ length: elementWidth }, (_, c) => `filled[id * ${elementWidth}u + ${c}u] = e[${c}];`);
  const count = `arrayLength(&filled) / ${elementWidth}u`;
  const shader = assemble(`${label}: identity`, {
    bindings: [storage("filled", type, "read_write")],
    source: `alias Element = array<${type}, ${elementWidth}>;\n${monoid}` +
      entryPerItem(count, `  let e = ds_identity(); ${writes.join(" ")}`),
  });
  const kernel = await compileShader(gpu, shader);
  await gpu.run(shader.label, [dispatchItems(kernel, { filled: target }, target.size / (4 * elementWidth))]);
}

function checkScan(operator: WgslOperator, { lanes, steps, inputs, initial, chunk = 64 }: WgslScan): void {
  const wrong = (constraint: string, value: unknown): never => {
    throw new InputError(`Cannot scan ${operator.name}: ${constraint}, got ${value}`);
  };
  if (!Number.isSafeInteger(lanes) || lanes < 1) wrong("lanes must be a whole number ≥ 1", lanes);
  if (!Number.isSafeInteger(steps) || steps < 0) wrong("steps must be a whole number ≥ 0", steps);
  if (!Number.isSafeInteger(chunk) || chunk < 1) wrong("chunk must be a whole number ≥ 1", chunk);
  const array = operator.type === "f32" ? Float32Array : Uint32Array;
  for (const name of operator.inputs) {
    if (!(inputs[name] instanceof array)) wrong(`input ${name} must be a ${array.name}`, typeof inputs[name]);
    if (inputs[name]!.length === 0 && steps > 0) wrong(`input ${name} must not be empty`, 0);
  }
  if (initial !== undefined && initial.length !== lanes * operator.elementWidth) {
    wrong(`initial must hold lanes · elementWidth = ${lanes * operator.elementWidth} numbers`, initial.length);
  }
}

/**
 * Scans a hand-written operator. Rejects with an {@link InputError} if an extent or an array is wrong or exceeds what the
 * device can bind, and with the compiler's message if a text is not WGSL.
 */
export async function scanWgsl(gpu: Gpu, operator: WgslOperator, scan: WgslScan): Promise<WgslScanResult> {
  checkScan(operator, scan);
  const { lanes, steps, initial, chunk = 64, subgroups = gpu.subgroups !== undefined, fault } = scan;
  const lane = program(operator);
  const shaders = laneShaders(lane, { subgroups, fault });
  const [reduce, across, apply, poison] = await Promise.all(
    [shaders.reduce, shaders.scan, shaders.apply, poisonShader].map((shader) => compileShader(gpu, shader)),
  );
  const width = operator.elementWidth;
  const array: ArrayType<Float32Array | Uint32Array> = operator.type === "f32" ? Float32Array : Uint32Array;
  const chunks = Math.ceil(steps / chunk);
  const made: GPUBuffer[] = [];
  const make = (label: string, numbers: number): GPUBuffer => {
    const buffer = gpu.createBuffer({ label: `${operator.name}: ${label}`, bytes: 4 * Math.max(numbers, 1) });
    made.push(buffer);
    return buffer;
  };
  try {
    const carry = make("carry_in", lanes * width);
    if (initial === undefined) await fillIdentity(gpu, lane, carry);
    else gpu.write(carry, initial);
    if (steps === 0) return { outputs: new array(new ArrayBuffer(0)), final: await gpu.read(carry, array) };
    const p = gpu.createBuffer({
      label: "params",
      bytes: PARAMS_BYTES,
      usage: BufferUsage.UNIFORM | BufferUsage.COPY_DST,
    });
    made.push(p);
    gpu.write(p, packParams({ B: 1, H: 1, lanes, steps, chunks, chunk }));
    const buffers: { [name: string]: GPUBuffer } = {
      p,
      carry_in: carry,
      carry_out: make("carry_out", lanes * width),
      aggregates: make("aggregates", chunks * lanes * width),
      incoming: make("incoming", chunks * lanes * width),
      outputs: make("outputs", steps * lanes),
    };
    for (const name of operator.inputs) {
      buffers[name] = make(name, scan.inputs[name]!.length);
      gpu.write(buffers[name], scan.inputs[name]!);
    }
    const filled = [buffers["carry_out"]!, buffers["incoming"]!, buffers["outputs"]!];
    await gpu.run(operator.name, [
      ...filled.map((poisoned) => dispatchItems(poison!, { poisoned }, poisoned.size / 4)),
      ...(chunks === 1 ? [] : [dispatchItems(reduce!, buffers, lanes * chunks), dispatch(across!, buffers, lanes)]),
      dispatchItems(apply!, buffers, lanes * chunks),
    ]);
    return { outputs: await gpu.read(buffers["outputs"]!, array), final: await gpu.read(buffers["carry_out"]!, array) };
  } finally {
    for (const buffer of made) buffer.destroy();
  }
}
