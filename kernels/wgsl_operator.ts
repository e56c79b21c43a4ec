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
import { BufferUsage, type Dispatch, type Gpu } from "./gpu.ts";
import { type LaneProgram, laneShaders, packParams, PARAMS_BYTES } from "./lane_scan.ts";
import { compileShader, dispatch, dispatchItems, poisonShader, storage } from "./wgsl.ts";

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
async function identities(gpu: Gpu, lanes: LaneProgram, count: number, target: GPUBuffer): Promise<Dispatch> {
  const { assemble, entryPerItem } = await import("./wgsl.ts");
  const width = lanes.elementWidth;
  const writes = Array.from({ length: width }, (_, c) => `target_[id * ${width}u + ${c}u] = e[${c}];`).join(" ");
  const kernel = await compileShader(
    gpu,
    assemble(`${lanes.label}: identity`, {
      bindings: [storage("target_", lanes.type, "read_write")],
      source: `alias Element = array<${lanes.type}, ${width}>;\n${lanes.monoid}` +
        entryPerItem(`arrayLength(&target_) / ${width}u`, `  let e = ds_identity(); ${writes}`),
    }),
  );
  return dispatchItems(kernel, { target_: target }, count);
}
