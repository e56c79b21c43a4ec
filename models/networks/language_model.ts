/**
 * Language models around a sequence layer:
 *
 *     x ← x + layer(norm(x))        x ← x + down(gelu(up(norm(x))))        and a norm after the last block
 *
 * Without positions: the layers are causal by themselves.
 *
 * @module
 */
import type { AnyAffineModel } from "../affine.ts";
import { InputError } from "../error.ts";
import { headFrom, headParameters } from "./head.ts";
import { sequenceLayer } from "./layer_presets.ts";
import { mlp, mlpParameters } from "./mlp.ts";
import { joined, type Parameters, type TensorOps, under } from "./ops.ts";
import { ones, parameter, weights } from "./parameters.ts";
import type { ResumableNetwork, Resumed } from "./resumable.ts";
import type { LayerSizes, SequenceLayer } from "./sequence_layer.ts";

/** A stack of blocks. */
export interface LanguageModelOptions extends Required<Pick<LayerSizes, "d" | "heads" | "layers">> {
  readonly vocabulary: number;
  /** A preset, a model of the registry, a model or a layer of one's own. */
  readonly layer: string | AnyAffineModel | SequenceLayer;
  readonly stateSize?: number;
  readonly steps?: number;
  readonly longest?: number;
  /** Width inside the MLPs, 0 for blocks without; default 4d, and 0 for `mamba` and `mamba2`, as the field has them. */
  readonly hidden?: number;
  /** Rate of dropout on what a block adds; default 0. */
  readonly dropout?: number;
  /** Whether the head is the table of tokens, transposed; default false: a matrix of its own. */
  readonly tied?: boolean;
}

function layerOf({ layer, d, heads, layers, stateSize, steps, longest }: LanguageModelOptions): SequenceLayer {
  if (typeof layer === "object" && "whole" in layer) return layer;
  return sequenceLayer(layer, {
    d,
    heads,
    layers,
    ...(stateSize === undefined ? {} : { stateSize }),
    ...(steps === undefined ? {} : { steps }),
    ...(longest === undefined ? {} : { longest }),
  });
}

/** The network; its name is the layer's. Its stream needs operations with `scanFrom`, and a layer that can resume. */
export function languageModel(options: LanguageModelOptions): ResumableNetwork {
  const { vocabulary, d, layers, dropout = 0, tied = false } = options;
  const head = headFrom(tied, "tokens");
  const layer = layerOf(options);
  const { name } = layer;
  const { hidden = name === "mamba" || name === "mamba2" ? 0 : 4 * d } = options;
  if (!Number.isSafeInteger(hidden) || hidden < 0) {
    throw new InputError(`Cannot define ${name}: hidden must be a whole number ≥ 0, got ${hidden}`);
  }
  const block = {
    norm: ones(d),
    ...joined({ layer: layer.parameters, ...(hidden === 0 ? {} : { mlp: mlpParameters(d, hidden, layers) }) }),
  };
  /** All blocks, each with its layer run by `run`. */
  const blocks = <T, I>(
    ops: TensorOps<T, I>,
    parameters: Parameters<T>,
    tokens: I,
    run: (p: Parameters<T>, normed: T, i: number) => T,
  ): T => {
    let x = ops.dropout(ops.embedding(parameter(parameters, "tokens"), tokens), dropout);
    for (let i = 0; i < layers; i++) {
      const p = under(parameters, `blocks.${i}`);
      const y = run(under(p, "layer"), ops.rmsNorm(x, parameter(p, "norm")), i);
      x = ops.add(x, ops.dropout(y, dropout));
      if (hidden > 0) x = mlp(ops, under(p, "mlp"), x, dropout);
    }
    return ops.rmsNorm(x, parameter(parameters, "norm"));
  };
  return {
    name,
    vocabulary,
    parameters: {
      tokens: weights(vocabulary, d),
      ...joined({ blocks: joined(Object.fromEntries(Array.from({ length: layers }, (_, i) => [`${i}`, block]))) }),
      norm: ones(d),
      ...headParameters(head, d, vocabulary),
    },
    ...head,
    ...(layer.longest === undefined ? {} : { longest: layer.longest }),
    hidden: (ops, parameters, tokens) => blocks(ops, parameters, tokens, (p, x) => layer.whole(ops, p, x)),
    resume<T, I>(
      ops: TensorOps<T, I>,
      parameters: Parameters<T>,
      tokens: I,
      _places: I,
      state: readonly T[],
    ): Resumed<T> {
      if (layer.resume === undefined) {
        throw new InputError(`Cannot stream ${name}: its layer must have resume, got none`);
      }
      const each = state.length / layers;
      const next: T[] = [];
      const hidden = blocks(ops, parameters, tokens, (p, x, i) => {
        const resumed = layer.resume!(ops, p, x, state.slice(i * each, (i + 1) * each));
        next.push(...resumed.state);
        return resumed.y;
      });
      return { hidden, state: next };
    },
    placeOf: () => 0,
  };
}
