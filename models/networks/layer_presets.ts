/**
 * The sequence layers of the field by name, each with the details of its own that matter; and any other model by its name
 * alone. What is left out, and why: the rotation of RetNet's queries and keys (its decay carries the position here), and the
 * convolution in front of mLSTM (xLSTM-7B has none either).
 *
 * @module
 */
import type { AnyAffineModel, Axis, Sizes } from "../affine.ts";
import { deltaNet } from "../delta_net.ts";
import { deltaProductOf } from "../delta_product.ts";
import type { DomainMap } from "../domain.ts";
import { beforeDomain } from "./domain_map.ts";
import { InputError } from "../error.ts";
import { gatedDeltaNet } from "../gated_delta_net.ts";
import { gla } from "../gla.ts";
import { mamba2 } from "../mamba2.ts";
import { mlstm } from "../mlstm.ts";
import { models, nonAffineModels } from "../mod.ts";
import type { Initial } from "./ops.ts";
import { retnet } from "../retnet.ts";
import { s4d } from "../s4d.ts";
import { s4dParameters } from "./s4d_parameters.ts";
import { s6 } from "../s6.ts";
import type { ScanLayerOptions } from "./layer_inputs.ts";
import { scanLayer } from "./scan_layer.ts";
import type { LayerSizes, SequenceLayer } from "./sequence_layer.ts";

const positive: DomainMap = { kind: "positive" };

/** Biases from which softplus makes steps between 0.001 and 0.1, spread evenly in their logarithm over `count` channels. */
function stepBiases(count: number): Initial {
  const step = (i: number): number => 0.001 * 100 ** (count === 1 ? 0.5 : i / (count - 1));
  return { kind: "values", values: Array.from({ length: count }, (_, i) => beforeDomain(positive, step(i))) };
}

/** log 1, log 2, … of `rows`, each repeated `columns` times: A = −1, −2, … */
function logs(rows: number, columns: number): Initial {
  return {
    kind: "values",
    values: Array.from({ length: rows * columns }, (_, n) => Math.log(1 + Math.floor(n / columns))),
  };
}

const at = (value: number): Initial => ({ kind: "values", values: [value] });
const convolved = { convolved: true };

type Preset = (sizes: Required<LayerSizes>) => Omit<ScanLayerOptions, "d" | "layers" | "name">;

/** Keys and values of the width of a head. */
function even({ d, heads }: Required<LayerSizes>): Sizes {
  return { K: d / heads, V: d / heads };
}

const presets: { readonly [name: string]: Preset } = {
  /** Mamba: x through a convolution; Δ (by a low rank), B and C from it; gated inside the model; twice the width. */
  mamba: ({ d, stateSize }) => ({
    model: s6,
    heads: 1,
    sizes: { D: 2 * d, N: stateSize },
    inputs: {
      u: convolved,
      delta: { rank: Math.ceil(d / 16) },
      deltaBias: { initial: stepBiases(2 * d) },
      A: { initial: logs(stateSize, 2 * d) },
      D: { initial: at(1) },
    },
    via: { source: "u", inputs: ["delta", "B", "C"] },
    norm: false,
    gate: "none",
  }),
  /** Mamba-2: x, B and C through convolutions, B and C shared by the heads, Δ with a bias, a gated norm; twice the width. */
  mamba2: ({ d, heads, stateSize }) => ({
    model: mamba2,
    heads,
    sizes: { K: stateSize, V: 2 * d / heads },
    inputs: {
      x: convolved,
      B: { convolved: true, shared: true },
      C: { convolved: true, shared: true },
      delta: { initial: stepBiases(heads) },
      A: { initial: logs(heads, 1) },
      D: { initial: at(1) },
    },
  }),
  /** GLA: keys of half the width, log gates by rank 16, divided by 16. */
  gla: ({ d, heads }) => ({
    model: gla,
    heads,
    sizes: { K: Math.ceil(d / heads / 2), V: d / heads },
    inputs: { g: { rank: 16, map: { kind: "log-sigmoid", divisor: 16 }, initial: at(0) } },
  }),
  /** RetNet: values of twice the width; γ trained, from the paper's values. */
  retnet: ({ d, heads }) => ({ model: retnet, heads, sizes: { K: d / heads, V: 2 * d / heads } }),
  /** mLSTM of xLSTM-7B: gates capped at 15, the input gate begins shut, the forget gate open. */
  mlstm: (sizes) => ({
    model: mlstm,
    heads: sizes.heads,
    sizes: even(sizes),
    inputs: {
      i: { map: { kind: "capped", size: 15 }, initial: at(-10) },
      f: { map: { kind: "capped", size: 15 }, initial: at(4) },
    },
    gate: "sigmoid",
  }),
  /** DeltaNet: convolutions before q, k and v, unit q and k, β in [0, 1], no gate. */
  "delta-net": (sizes) => ({
    model: deltaNet,
    heads: sizes.heads,
    sizes: even(sizes),
    inputs: {
      q: { convolved: true, map: { kind: "unit" } },
      k: convolved,
      v: convolved,
      beta: { map: { kind: "interval", low: 0, high: 1 } },
    },
    gate: "none",
  }),
  /** Gated DeltaNet with β to 2, so that it can reflect. */
  "gated-delta-net": (sizes) => ({
    model: gatedDeltaNet,
    heads: sizes.heads,
    sizes: even(sizes),
    inputs: { q: { convolved: true, map: { kind: "unit" } }, k: convolved, v: convolved, g: { initial: at(4) } },
  }),
  /** Gated DeltaProduct, β to 2. */
  "delta-product": (sizes) => ({
    model: deltaProductOf(sizes.steps),
    heads: sizes.heads,
    sizes: even(sizes),
    inputs: { q: { convolved: true, map: { kind: "unit" } }, k: convolved, v: convolved, g: { initial: at(4) } },
  }),
  /** S4D: ā inside the unit disc by its modulus and its direction. */
  s4d: ({ d, stateSize }) => ({
    model: s4d,
    heads: 1,
    sizes: { D: d, N: stateSize },
    own: s4dParameters({ D: d, N: stateSize }),
  }),
};

/** Any model: its inputs by their domains' maps. */
function plain(model: AnyAffineModel, { d, heads, stateSize }: Required<LayerSizes>): ReturnType<Preset> {
  const H = model.heads ? heads : 1;
  const all: { readonly [A in Axis]: number } = { K: d / H, V: d / H, D: d, N: stateSize };
  return { model, heads: H, sizes: all };
}

/** Names that {@link sequenceLayer} knows. */
export const layerNames: readonly string[] = [
  ...new Set([
    ...Object.keys(presets),
    ...models.map(({ name }) => name),
    ...nonAffineModels.flatMap(({ name, layer }) => layer === undefined ? [] : [name]),
  ]),
];

/**
 * A layer by the name of a preset or of a model of the registry, affine or not, or around a model of one's own.
 *
 * @throws {InputError} if there is no such name, or the heads do not divide d.
 */
export function sequenceLayer(which: string | AnyAffineModel, sizes: LayerSizes): SequenceLayer {
  const full = { stateSize: 16, steps: 2, layers: 1, longest: 4096, ...sizes };
  const name = typeof which === "string" ? which : which.name;
  for (const [what, value] of Object.entries(full)) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new InputError(`Cannot define layer ${name}: ${what} must be a whole number ≥ 1, got ${value}`);
    }
  }
  if (full.d % full.heads !== 0) {
    throw new InputError(`Cannot define layer ${name}: heads must divide d = ${full.d}, got ${full.heads}`);
  }
  const other = typeof which === "string" ? nonAffineModels.find((one) => one.name === which) : undefined;
  if (other?.layer !== undefined) return other.layer(full);
  const model = typeof which === "string" ? models.find((one) => one.name === which) : which;
  const preset = typeof which === "string" ? presets[which] : undefined;
  const options = preset?.(full) ?? (model && plain(model, full));
  if (options === undefined) {
    throw new InputError(`Cannot define layer ${name}: the layers are ${layerNames.join(", ")}, got ${name}`);
  }
  return scanLayer({ ...options, name, d: full.d, layers: full.layers });
}
