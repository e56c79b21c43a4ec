/** The tensors of a delta rule, and the checks of their shapes. */
import { InputError } from "../../models/error.ts";
import { assertShape, type Tensor } from "../tensor.ts";
import { type DeltaRule, type InputLayout, inputLayouts } from "./rule.ts";

/** The extent of a run. */
export interface DeltaDims {
  readonly B: number;
  readonly T: number;
  readonly H: number;
  readonly K: number;
  readonly V: number;
}

/** The model's inputs by name: `q`, `k`, `v`, `beta`, `g`; `q`, `k`, `v`, `w`, `kappa`, `eta`. f32 or f16 each. */
export type DeltaInputs = Readonly<Record<string, Tensor>>;

/** What a forward run reads and writes. */
export interface DeltaTensors {
  /** `[B, T, H, K]`, `[B, T, H, V]`, `[B, T, H]`; with n_h micro-steps those of every one `[B, T·n_h, H, …]`. */
  readonly inputs: DeltaInputs;
  /** `[B, T, H, V]`, f32, or f16 where V is even. */
  readonly outputs: Tensor;
  /** `[B, H, K, V]`, f32. */
  readonly finalState: Tensor;
  /** `[B, H, K, V]`, f32; zero where absent. */
  readonly initialState?: Tensor;
  /** Where the state before every chunk of `chunk` tokens goes: `[B, ceil(T / chunk), H, K, V]`, f32. */
  readonly chunkStates?: Tensor;
  /** Where the state after every micro-step goes: `[B, T·n_h, H, K, V]`, f32. Not both. */
  readonly states?: Tensor;
  /** Where e_t goes (u_t of RWKV-7): `[B, T·n_h, H, V]`, f32. The backward pass needs it. */
  readonly solved?: Tensor;
}

/** `[B, T, H, K]` and so on. */
export function inputShape({ axis, micro }: InputLayout, { B, T, H, K, V }: DeltaDims, microSteps: number): number[] {
  return [B, micro ? T * microSteps : T, H, ...(axis === "K" ? [K] : axis === "V" ? [V] : [])];
}

/** The dims of inputs, each checked against them. Throws an {@link InputError}. */
export function deltaDims(rule: DeltaRule, inputs: DeltaInputs): DeltaDims {
  const layouts = inputLayouts(rule);
  for (const name of Object.keys(inputs)) {
    if (layouts[name] === undefined) {
      throw new InputError(
        `Cannot plan a delta rule: its inputs are ${Object.keys(layouts).join(", ")}, got ${name}`,
      );
    }
  }
  for (const name of Object.keys(layouts)) {
    if (inputs[name] === undefined) {
      throw new InputError(
        `Cannot plan a delta rule: input ${name} is missing, got ${Object.keys(inputs).join(", ") || "none"}`,
      );
    }
  }
  const [B, T, H, K] = inputs.q!.shape;
  const V = inputs.v!.shape[3];
  if (B === undefined || T === undefined || H === undefined || K === undefined || V === undefined) {
    throw new InputError(
      `Cannot plan a delta rule: q and v must be [B, T, H, K] and [B, T·n, H, V], got [${
        inputs.q!.shape.join(", ")
      }] and [${inputs.v!.shape.join(", ")}]`,
    );
  }
  const dims = { B, T, H, K, V };
  for (const [name, layout] of Object.entries(layouts)) {
    assertShape(name, inputs[name]!, inputShape(layout, dims, rule.microSteps));
  }
  return dims;
}

/** Checks an f32 tensor's type and shape. */
export function assertFloat(what: string, tensor: Tensor, shape: readonly number[]): void {
  assertShape(what, tensor, shape);
  if (tensor.dtype !== "f32") {
    throw new InputError(`Cannot plan a delta rule: ${what} must be f32, got ${tensor.dtype}`);
  }
}

/** Checks a chunk length: a power of two. */
export function assertChunk(chunk: number): void {
  if (Number.isInteger(chunk) && chunk >= 1 && Number.isInteger(Math.log2(chunk))) return;
  throw new InputError(`Cannot plan a delta rule: chunk must be a power of two, got ${chunk}`);
}
