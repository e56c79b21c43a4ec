/**
 * How the raw inputs of a model in a sequence layer come about: the options, and the parameters that they ask for.
 *
 * @module
 */
import type { AnyAffineModel, Axis, InputSpec, Sizes } from "../affine.ts";
import type { DomainMap } from "../domain.ts";
import { beforeDomain } from "./domain_map.ts";
import { inputWidth, microSteps } from "../inputs.ts";
import {
  type Activation,
  type Initial,
  joined,
  type Parameters,
  type ParameterSpec,
  type ParameterSpecs,
  type TensorOps,
} from "./ops.ts";
import { weights } from "./parameters.ts";
import { convolutionParameters } from "./short_convolution.ts";

/** How one raw input comes about. */
export interface LayerInput {
  /** Into the domain; default the domain's own map. */
  readonly map?: DomainMap;
  /** Whether a short convolution and silu come before the map. */
  readonly convolved?: boolean;
  /** An activation before the map. */
  readonly activation?: Activation;
  /** A projection through this many channels. */
  readonly rank?: number;
  /** Where a bias of its projection begins; none unless given. Of a parameter: where it begins, before the map. */
  readonly initial?: Initial;
  /** One value for all heads. */
  readonly shared?: boolean;
}

/** A model's parameters `[H, …]` made from a layer's. */
export interface OwnParameters {
  readonly parameters: ParameterSpecs;
  make<T, I>(ops: TensorOps<T, I>, parameters: Parameters<T>): { readonly [input: string]: T };
}

/** A layer around a model. */
export interface ScanLayerOptions {
  readonly model: AnyAffineModel;
  /** Default the model's. */
  readonly name?: string;
  readonly d: number;
  /** 1 for models without heads. */
  readonly heads: number;
  readonly sizes: Sizes;
  readonly inputs?: { readonly [name: string]: LayerInput };
  /** An input from which, after its convolution, others are projected. */
  readonly via?: { readonly source: string; readonly inputs: readonly string[] };
  /** Parameters of the model whose values depend on one another (a modulus ≤ 1 in two parts), in place of their maps. */
  readonly own?: OwnParameters;
  /** Whether outputs are normalised over each head; default true. */
  readonly norm?: boolean;
  /** What gates the outputs; default `silu`. */
  readonly gate?: "silu" | "sigmoid" | "none";
  /** Blocks of the network, for where the last projection begins; default 1. */
  readonly layers?: number;
}

/** Into the domain of an input. */
export function mapOf({ domain }: InputSpec, { map }: LayerInput): DomainMap {
  return map ?? domain.map ?? { kind: "linear" };
}

/** Micro-steps at which an input is given, per token. */
export function steps(model: AnyAffineModel, spec: InputSpec): number {
  return spec.micro === undefined || spec.micro === "every" ? microSteps(model) : 1;
}

/** An input's shape per token and head. */
export function shapeOf(spec: InputSpec, sizes: Sizes): number[] {
  return spec.axes.map((axis: Axis) => sizes[axis]!);
}

/** A model's parameter, before its map. */
export function ownParameter({ heads, sizes }: ScanLayerOptions, spec: InputSpec, given: LayerInput): ParameterSpec {
  const width = inputWidth(spec, sizes);
  const second = spec.axes.length === 2 ? sizes[spec.axes[1] as Axis]! : 1;
  const values = (value: (head: number, i: number, j: number) => number): number[] =>
    Array.from(
      { length: heads * width },
      (_, n) =>
        beforeDomain(mapOf(spec, given), value(Math.floor(n / width), Math.floor((n % width) / second), n % second)),
    );
  return {
    shape: [heads, ...shapeOf(spec, sizes)],
    initial: given.initial ??
      (spec.initial === undefined ? { kind: "zeros" } : { kind: "values", values: values(spec.initial) }),
    decay: false,
  };
}

/** Parameters of the projection of a token input from `from` channels. */
export function projection(
  options: ScanLayerOptions,
  spec: InputSpec,
  given: LayerInput,
  from: number,
): ParameterSpecs {
  const { model, heads, sizes } = options;
  const width = steps(model, spec) * (given.shared === true ? 1 : heads) * inputWidth(spec, sizes);
  return {
    ...(given.rank === undefined
      ? { weights: weights(from, width) }
      : { down: weights(from, given.rank), weights: weights(given.rank, width) }),
    ...(given.initial === undefined ? {} : { bias: { shape: [width], initial: given.initial, decay: false } }),
    ...(given.convolved === true ? joined({ convolution: convolutionParameters(width) }) : {}),
  };
}
