/**
 * Any affine model as a sequence layer:
 *
 *     raw input = map(x·W + b), into its domain       a convolution of 4 taps and silu before the map where asked for
 *     y = out(norm(scan(raw inputs)) ⊙ gate(x·W_g))   norm over each head
 *
 * A model's own parameters `[H, …]` are learned through the same maps, from where the model says they begin.
 *
 * @module
 */
import { outputColumns } from "../affine.ts";
import { intoDomain } from "./domain_map.ts";
import { InputError } from "../error.ts";
import { inputEntries, inputWidth } from "../inputs.ts";
import {
  type LayerInput,
  mapOf,
  ownParameter,
  projection,
  type ScanLayerOptions,
  shapeOf,
  steps,
} from "./layer_inputs.ts";
import { joined, type Parameters, type TensorOps, under } from "./ops.ts";
import { ones, parameter, residualStd, weights } from "./parameters.ts";
import type { SequenceLayer } from "./sequence_layer.ts";
import { shortConvolution } from "./short_convolution.ts";

/** The layer. Throws an {@link InputError} where an option names an input that the model has not. */
export function scanLayer(options: ScanLayerOptions): SequenceLayer {
  const { model, name = model.name, d, heads, sizes, inputs = {}, via, own, norm = true, gate = "silu", layers = 1 } =
    options;
  const entries = inputEntries(model);
  const specs = new Map(entries);
  for (const input of [...Object.keys(inputs), ...(via === undefined ? [] : [via.source, ...via.inputs])]) {
    if (specs.has(input)) continue;
    throw new InputError(`Cannot define layer ${name}: its inputs are ${[...specs.keys()].join(", ")}, got ${input}`);
  }
  const tokenInputs = entries.filter(([, spec]) => spec.per !== "parameter");
  const learned = own === undefined ? entries.filter(([, spec]) => spec.per === "parameter") : [];
  const given = (input: string): LayerInput => inputs[input] ?? {};
  const from = (input: string): number =>
    via?.inputs.includes(input) === true ? heads * inputWidth(specs.get(via.source)!, sizes) : d;
  const columns = outputColumns(model, sizes);

  /** The raw inputs of tokens x `[B, n, d]`, and what their convolutions keep. */
  const project = <T, I>(
    ops: TensorOps<T, I>,
    p: Parameters<T>,
    x: T,
    tails: readonly T[],
  ): { readonly raw: { readonly [input: string]: T }; readonly tails: readonly T[] } => {
    const [B, n] = ops.shape(x) as [number, number, number];
    const raw: { [input: string]: T } = {};
    const kept: T[] = [];
    let convolutions = 0;
    let source: T | undefined;
    // What others are projected from comes first.
    const ordered = [...tokenInputs].sort(([a], [b]) => Number(b === via?.source) - Number(a === via?.source));
    for (const [input, spec] of ordered) {
      const how = given(input);
      const projected = under(p, `inputs.${input}`);
      const start = via?.inputs.includes(input) === true ? source! : x;
      const low = how.rank === undefined ? start : ops.linear(start, parameter(projected, "down"));
      let y = ops.linear(low, parameter(projected, "weights"), projected["bias"]);
      if (how.convolved === true) {
        const convolved = shortConvolution(ops, under(projected, "convolution"), y, tails[convolutions++]);
        y = ops.map("silu", convolved.y);
        kept.push(convolved.last);
      }
      if (how.activation !== undefined) y = ops.map(how.activation, y);
      if (input === via?.source) source = y;
      const perHead = ops.reshape(y, [
        B,
        n * steps(model, spec),
        how.shared === true ? 1 : heads,
        ...shapeOf(spec, sizes),
      ]);
      const mapped = intoDomain(ops, mapOf(spec, how), perHead);
      raw[input] = how.shared === true && heads > 1
        ? ops.concat(Array.from({ length: heads }, () => mapped), 2)
        : mapped;
    }
    for (const [input, spec] of learned) {
      raw[input] = intoDomain(ops, mapOf(spec, given(input)), parameter(p, `parameters.${input}`));
    }
    return { raw: { ...raw, ...own?.make(ops, under(p, "parameters")) }, tails: kept };
  };

  /** Outputs `[B, n, H, columns]` of the scan → `[B, n, d]`. */
  const finish = <T, I>(ops: TensorOps<T, I>, p: Parameters<T>, x: T, outputs: T): T => {
    const [B, n] = ops.shape(x) as [number, number, number];
    const normed = norm ? ops.rmsNorm(outputs, parameter(p, "norm")) : outputs;
    const y = ops.reshape(normed, [B, n, heads * columns]);
    const gated = gate === "none" ? y : ops.mul(y, ops.map(gate, ops.linear(x, parameter(p, "gate"))));
    return ops.linear(gated, parameter(p, "out"));
  };

  return {
    name,
    parameters: {
      ...joined({
        inputs: joined(Object.fromEntries(
          tokenInputs.map(([input, spec]) => [input, projection(options, spec, given(input), from(input))]),
        )),
        parameters: own?.parameters ??
          Object.fromEntries(learned.map(([input, spec]) => [input, ownParameter(options, spec, given(input))])),
      }),
      ...(norm ? { norm: ones(columns) } : {}),
      ...(gate === "none" ? {} : { gate: weights(d, heads * columns) }),
      out: weights(heads * columns, d, residualStd(layers)),
    },
    whole: (ops, p, x) => finish(ops, p, x, ops.scan(model, project(ops, p, x, []).raw)),
    resume(ops, p, x, state) {
      if (ops.scanFrom === undefined) {
        throw new InputError(`Cannot stream ${name}: these operations must have scanFrom, got none`);
      }
      const [recurrent, ...before] = state;
      const { raw, tails } = project(ops, p, x, before);
      const scanned = ops.scanFrom(model, raw, recurrent);
      return { y: finish(ops, p, x, scanned.outputs), state: [scanned.state, ...tails] };
    },
  };
}
