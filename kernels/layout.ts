/**
 * Where the kernels find a token's numbers. All inputs may lie in one buffer, because a device need not bind more than
 * eight: first the parameters, `[H, …axes]` each; then the inputs per token, `[B, steps, H, …axes]` each, for the steps
 * of the slab at hand. Or each in a buffer of its own, `in_NAME`, with the steps of the whole run.
 *
 * @module
 */
import type { AnyAffineModel, Axes, Fields, Sizes } from "../models/affine.ts";
import { inputEntries } from "../models/inputs.ts";
import { fieldShape } from "../models/token.ts";
import type { Leaf } from "./trace.ts";
import { type Binding, storage } from "./wgsl.ts";

/** One field in the buffer. */
export interface FieldLayout {
  readonly name: string;
  readonly perToken: boolean;
  readonly shape: readonly number[];
  /** Numbers per head (and token). */
  readonly width: number;
  /** Numbers per head of the parameters, or per head and token of the other fields, that lie before it. */
  readonly before: number;
}

/** The layout of one model's inputs. */
export interface InputLayout {
  readonly fields: readonly FieldLayout[];
  /** Numbers per head of all parameters. */
  readonly parameterWidth: number;
  /** Numbers per head and token of all other fields. */
  readonly tokenWidth: number;
}

function product(shape: readonly number[]): number {
  return shape.reduce((n, extent) => n * extent, 1);
}

/** The layout of a model's raw inputs, or of its activated fields, which are all per token. */
export function inputLayout(model: AnyAffineModel, sizes: Sizes, from: "raw" | "activated"): InputLayout {
  const entries: readonly (readonly [string, Axes, boolean])[] = from === "raw"
    ? inputEntries(model).map(([name, spec]) => [name, spec.axes, spec.per !== "parameter"])
    : Object.entries(model.fields as Fields).map(([name, axes]) => [name, axes, true]);
  let parameterWidth = 0;
  let tokenWidth = 0;
  const fields = entries.map(([name, axes, perToken]): FieldLayout => {
    const shape = fieldShape(axes, sizes);
    const width = product(shape);
    const before = perToken ? tokenWidth : parameterWidth;
    if (perToken) tokenWidth += width;
    else parameterWidth += width;
    return { name, perToken, shape, width, before };
  });
  return { fields, parameterWidth, tokenWidth };
}

/** Numbers in the buffer for a slab of so many steps. */
export function inputNumbers(layout: InputLayout, B: number, H: number, steps: number): number {
  return H * layout.parameterWidth + B * steps * H * layout.tokenWidth;
}

/** First number of a field. */
export function fieldOffset(layout: InputLayout, field: FieldLayout, B: number, H: number, steps: number): number {
  return field.perToken ? H * layout.parameterWidth + B * steps * H * field.before : H * field.before;
}

/** `one`: all inputs in one buffer, `inputs`; `each`: one each, `in_NAME`, of a model of one step a token. */
export type InputPlaces = "one" | "each";

/** The buffers of the inputs. */
export function inputBindings({ fields }: InputLayout, type: "f32" | "u32", places: InputPlaces): Binding[] {
  return places === "one" ? [storage("inputs", type)] : fields.map(({ name }) => storage(`in_${name}`, type));
}

/**
 * The load of a field, in WGSL that knows `p: Params`, and `b`, `s`, `h` (batch row, step of the slab, head). Loads per
 * token need the key `s`.
 */
export function inputLeaf(
  layout: InputLayout,
  places: InputPlaces = "one",
): (name: string, index: readonly string[]) => Leaf {
  const byName = new Map(layout.fields.map((field) => [field.name, field]));
  return (name, index) => {
    const field = byName.get(name);
    if (field === undefined) throw new Error(`Cannot emit a load: there is no field ${name}`);
    const { perToken, shape, width, before } = field;
    const inner = shape.length === 0
      ? "0u"
      : shape.length === 1
      ? index[0]!
      : `${index[0]} * ${shape[1]}u + ${index[1]}`;
    if (places === "each") {
      if (!perToken) return `in_${name}[h * ${width}u + ${inner}]`;
      return { text: `in_${name}[((b * p.total + p.start + s) * p.H + h) * ${width}u + ${inner}]`, needs: ["s"] };
    }
    if (!perToken) return `inputs[p.H * ${before}u + h * ${width}u + ${inner}]`;
    const start = `p.H * ${layout.parameterWidth}u + p.B * p.steps * p.H * ${before}u`;
    return { text: `inputs[${start} + ((b * p.steps + s) * p.H + h) * ${width}u + ${inner}]`, needs: ["s"] };
  };
}
