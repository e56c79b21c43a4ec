/** A network's parameters on the GPU with their moments: what training changes and what it saves. */
import { InputError } from "../../models/error.ts";
import type { Parameters, ParameterSpec, ParameterSpecs } from "../../models/networks/ops.ts";
import { initialPieces } from "../../models/networks/parameters.ts";
import type { NamedArrays } from "../../models/networks/training.ts";
import type { Gpu } from "../gpu.ts";
import { lengthOf, Tensor } from "../tensor.ts";
import { sameShape, shown } from "./shapes.ts";
import { Value } from "./value.ts";

export interface StoredParameter {
  readonly name: string;
  readonly decay: boolean;
  readonly value: Tensor;
  /** Exponential means of the gradient and of its square. */
  readonly first: Tensor;
  readonly second: Tensor;
}

/** A parameter as it begins. */
function begun(gpu: Gpu, name: string, spec: ParameterSpec, seed: number): Tensor {
  const tensor = Tensor.empty(gpu, spec.shape, { label: name });
  let from = 0;
  for (const piece of initialPieces(name, spec, seed)) {
    gpu.write(tensor.buffer, piece, 4 * from);
    from += piece.length;
  }
  return tensor;
}

const parts = { parameter: "value", first: "first", second: "second" } as const;

export class StoredParameters {
  readonly all: readonly StoredParameter[];

  constructor(gpu: Gpu, specs: ParameterSpecs, seed: number) {
    this.all = Object.entries(specs).map(([name, spec]) => ({
      name,
      decay: spec.decay,
      value: begun(gpu, name, spec, seed),
      first: Tensor.empty(gpu, spec.shape, { label: `first of ${name}` }),
      second: Tensor.empty(gpu, spec.shape, { label: `second of ${name}` }),
    }));
  }

  /** Numbers in all parameters. */
  get size(): number {
    return this.all.reduce((sum, { value }) => sum + value.length, 0);
  }

  get bytes(): number {
    return this.all.reduce((sum, each) => sum + each.value.bytes + each.first.bytes + each.second.bytes, 0);
  }

  /** For a network's text. */
  values(tracked: boolean): Parameters<Value> {
    return Object.fromEntries(this.all.map(({ name, value }) => [name, Value.of(value, tracked)]));
  }

  async read(): Promise<NamedArrays> {
    const arrays: { [name: string]: { readonly shape: readonly number[]; readonly data: Float32Array } } = {};
    for (const [name, tensor] of this.#tensors()) arrays[name] = { shape: tensor.shape, data: await tensor.read() };
    return arrays;
  }

  /** Throws an {@link InputError}, with nothing changed, unless these are the names and shapes that {@linkcode read} gives. */
  write(arrays: NamedArrays): void {
    const tensors = this.#tensors();
    const known = new Set(tensors.map(([name]) => name));
    const strange = Object.keys(arrays).find((name) => !known.has(name));
    if (strange !== undefined) throw new InputError(`Cannot load: arrays must be this network's, got ${strange}`);
    for (const [name, { shape }] of tensors) {
      const given = arrays[name];
      if (given === undefined) {
        throw new InputError(`Cannot load: all of this network's arrays are needed, got no ${name}`);
      }
      if (!sameShape(given.shape, shape) || given.data.length !== lengthOf(shape)) {
        throw new InputError(
          `Cannot load ${name}: it must be ${shown(shape)}, got ${shown(given.shape)} of ${given.data.length} numbers`,
        );
      }
    }
    for (const [name, tensor] of tensors) tensor.write(arrays[name]!.data);
  }

  destroy(): void {
    for (const [, tensor] of this.#tensors()) tensor.destroy();
  }

  #tensors(): (readonly [string, Tensor])[] {
    return Object.entries(parts).flatMap(([prefix, part]) =>
      this.all.map((each) => [`${prefix}.${each.name}`, each[part]] as const)
    );
  }
}
