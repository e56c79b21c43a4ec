/**
 * The unit of memory traffic: a few neighbouring numbers that one load or store moves, as WGSL, whatever they are stored
 * as. Arithmetic is always f32.
 *
 * @module
 */
import type { DType } from "../tensor.ts";

/** Numbers of a unit. */
export type Width = 1 | 2 | 4 | 8;

/** How a tensor's units are loaded, held in a register, taken apart and stored. */
export interface Unit {
  readonly dtype: DType;
  readonly width: Width;
  /** The WGSL type of a unit in memory and in a register. */
  readonly type: string;
  /** A unit of zeros. */
  readonly zeros: string;
  /** A unit of ones. */
  readonly ones: string;
  /** Number `e` of the unit in register `raw`, as an f32. */
  element(raw: string, e: number): string;
  /** A unit of the given f32 values. */
  pack(values: readonly string[]): string;
}

/** The units of a storage type; halves come in pairs. */
export function unitOf(dtype: DType, width: Width): Unit {
  return dtype === "f32" ? floats(width) : halves(width);
}

/** The widest unit that all the types can be moved in and that divides `extent` (0: any). */
export function widthFor(dtypes: readonly DType[], extent: number, most: Width = 8): Width | undefined {
  const packed = dtypes.every((dtype) => dtype === "f16");
  const single = dtypes.every((dtype) => dtype === "f32");
  const widths: readonly Width[] = extent === 0 ? [single ? 1 : 2] : packed ? [8, 4, 2] : single ? [4, 2, 1] : [4, 2];
  return widths.find((width) => width <= most && extent % width === 0);
}

const letters = "xyzw";

function vector(scalar: string, n: number): string {
  return n === 1 ? scalar : `vec${n}<${scalar}>`;
}

function floats(width: Width): Unit {
  if (width === 8) throw new Error("Cannot make a unit: f32 comes at most 4 to a load, got 8");
  const type = vector("f32", width);
  return {
    dtype: "f32",
    width,
    type,
    zeros: `${type}(0.0)`,
    ones: `${type}(1.0)`,
    element: (raw, e) => width === 1 ? raw : `${raw}.${letters[e]}`,
    pack: (values) => width === 1 ? values[0]! : `${type}(${values.join(", ")})`,
  };
}

function halves(width: Width): Unit {
  if (width === 1) throw new Error("Cannot make a unit: halves come in pairs, got 1");
  const words = width / 2;
  const type = vector("u32", words);
  return {
    dtype: "f16",
    width,
    type,
    zeros: `${type}(0u)`,
    ones: `${type}(0x3c003c00u)`,
    element: (raw, e) => `unpack2x16float(${words === 1 ? raw : `${raw}.${letters[e >> 1]}`}).${letters[e & 1]}`,
    pack(values) {
      const packed = Array.from(
        { length: words },
        (_, n) => `pack2x16float(vec2f(${values[2 * n]}, ${values[2 * n + 1]}))`,
      );
      return words === 1 ? packed[0]! : `${type}(${packed.join(", ")})`;
    },
  };
}
