/**
 * The tensors of a layer, checked against its model and brought into one form: every input there, heads an axis of its own.
 *
 * @module
 */
import { type AnyAffineModel, type Axis, outputColumns } from "../../models/affine.ts";
import { InputError } from "../../models/error.ts";
import { checkDims, type Dims, inputEntries, inputShape, stateShape, stateWidth } from "../../models/inputs.ts";
import type { Gpu } from "../gpu.ts";
import { Tensor } from "../tensor.ts";
import type { Named, Work } from "../_work.ts";

/** A tensor in the form `[…, H, …]` of a shape, given so or, of a model without heads, without that axis. */
export function asShape(
  model: AnyAffineModel,
  what: string,
  tensor: Tensor,
  shape: readonly number[],
  heads: number,
): Tensor {
  if (tensor.dtype !== "f32") {
    throw new InputError(`Cannot plan ${model.name}: ${what} must be f32, got ${tensor.dtype}`);
  }
  const same = (other: readonly number[]): boolean =>
    other.length === tensor.shape.length && other.every((extent, axis) => extent === tensor.shape[axis]);
  const headless = shape.filter((_, axis) => axis !== heads);
  if (same(shape) || (!model.heads && same(headless))) {
    return new Tensor(tensor.gpu, tensor.buffer, shape);
  }
  throw new InputError(
    `Cannot plan ${model.name}: ${what} must be [${shape.join(", ")}]${
      model.heads ? "" : ` or [${headless.join(", ")}]`
    }, got [${tensor.shape.join(", ")}]`,
  );
}

/** A state `[B, H, rows, columns]`, or with an axis of numbers an entry at the end. */
export function asState(model: AnyAffineModel, what: string, tensor: Tensor, dims: Dims): Tensor {
  const shape = stateShape(model, dims);
  const narrow = tensor.shape.at(-1) === 1 && stateWidth(model) === 1 &&
    tensor.shape.length === shape.length + (model.heads ? 1 : 0);
  const given = narrow ? new Tensor(tensor.gpu, tensor.buffer, tensor.shape.slice(0, -1), tensor.dtype) : tensor;
  return asShape(model, what, given, shape, 1);
}

/** The axis of heads in an input. */
const headsOf = (model: AnyAffineModel, name: string): number => (model.inputs[name]!.per === "parameter" ? 0 : 2);

/** An input, or its gradient, in the form of {@linkcode inputShape}. */
export function asInput(model: AnyAffineModel, what: string, name: string, tensor: Tensor, dims: Dims): Tensor {
  return asShape(model, what, tensor, inputShape(model, model.inputs[name]!, dims), headsOf(model, name));
}

/** The extents of tensors, from outputs (or their cotangents) and inputs. */
export function dimsOf(model: AnyAffineModel, what: string, outputs: Tensor, inputs: Named): Dims {
  const given = outputs.shape;
  const heads = given.length === 4;
  if (!heads && (model.heads || given.length !== 3)) {
    throw new InputError(
      `Cannot plan ${model.name}: ${what} must be [B, T, H, columns]${model.heads ? "" : " or [B, T, columns]"}, got [${
        given.join(", ")
      }]`,
    );
  }
  const [B, T] = given as [number, number];
  const sizes: { [axis in Axis]?: number } = {};
  for (const [name, spec] of inputEntries(model)) {
    const shape = inputs[name]?.shape ?? [];
    spec.axes.forEach((axis: Axis, n: number) => {
      const extent = shape[shape.length - spec.axes.length + n];
      if (extent !== undefined) sizes[axis] ??= extent;
    });
  }
  const dims: Dims = { B, T, H: heads ? given[2]! : 1, sizes };
  checkDims(model, dims);
  return dims;
}

/** Refuses names that are no inputs. */
export function checkNames(model: AnyAffineModel, what: string, tensors: Named): void {
  const names = inputEntries(model).map(([name]) => name);
  for (const name of Object.keys(tensors)) {
    if (names.includes(name)) continue;
    throw new InputError(`Cannot plan ${model.name}: ${what} must be among ${names.join(", ")}, got ${name}`);
  }
}

/** All inputs; parameters that are not given hold what the model says, for as long as the plan lives. */
export function allInputs(work: Work, model: AnyAffineModel, dims: Dims, given: Named): Named {
  checkNames(model, "inputs", given);
  return Object.fromEntries(
    inputEntries(model).map(([name, spec]) => {
      const tensor = given[name];
      if (tensor !== undefined) return [name, asInput(model, `input ${name}`, name, tensor, dims)];
      if (spec.initial === undefined) {
        throw new InputError(
          `Cannot plan ${model.name}: it needs the inputs ${
            inputEntries(model).map(([known]) => known).join(", ")
          }, got no ${name}`,
        );
      }
      const shape = inputShape(model, spec, dims);
      const [H, rows = 1, columns = 1] = shape as [number, number?, number?];
      const value = (n: number): number =>
        spec.initial!(
          Math.floor(n / (rows * columns)),
          Math.floor(n % (rows * columns) / columns),
          n % columns,
        );
      return [name, work.filled(name, Float32Array.from({ length: H * rows * columns }, (_, n) => value(n)), shape)];
    }),
  );
}

/** The shape of outputs. */
export function outputShape(model: AnyAffineModel, { B, T, H, sizes }: Dims): number[] {
  return [B, T, H, outputColumns(model, sizes)];
}

/** Refuses tensors of another device, and results that are also read, or written twice. */
export function checkApart(
  gpu: Gpu,
  model: AnyAffineModel,
  read: readonly (Tensor | undefined)[],
  written: readonly (Tensor | undefined)[],
): void {
  const results = written.flatMap((tensor) => tensor === undefined ? [] : [tensor.buffer]);
  const sources = read.flatMap((tensor) => tensor === undefined ? [] : [tensor.buffer]);
  if (new Set(results).size !== results.length || sources.some((buffer) => results.includes(buffer))) {
    throw new InputError(
      `Cannot plan ${model.name}: every result needs a buffer of its own, got one that is also read or written elsewhere`,
    );
  }
  const strange = [...read, ...written].find((tensor) => tensor !== undefined && tensor.gpu !== gpu);
  if (strange !== undefined) {
    throw new InputError(`Cannot plan ${model.name}: tensors must be on the plan's device, got one of another`);
  }
}
