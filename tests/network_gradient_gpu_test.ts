/**
 * Gradients of whole networks as a training session computes them, against f64: the loss, and its slope along every
 * parameter and along all of them together.
 *
 * A step at rate 0 with β₁ = 1/2 and no clipping leaves half the gradient, exactly, as the first moment.
 */
import { after, test } from "node:test";
import { assertEquals, assertGreater, assertStringIncludes } from "@std/assert";
import type { Gpu } from "../kernels/gpu.ts";
import { openTraining } from "../kernels/nn/training_session.ts";
import { lengthOf } from "../kernels/tensor.ts";
import { decayAggregator } from "../models/networks/decay_aggregator.ts";
import { gatedMlpAggregator } from "../models/networks/gated_mlp_aggregator.ts";
import { languageModel } from "../models/networks/language_model.ts";
import type { TokenNetwork } from "../models/networks/ops.ts";
import { psmNetwork } from "../models/networks/psm_network.ts";
import { seeded } from "../models/random.ts";
import type { NamedArrays, TokenBatch } from "../models/networks/training.ts";
import { gpt2, slidingWindow } from "../models/networks/transformer.ts";
import { networkSlopes, type ParameterValues, slopeOf } from "../oracle/network_gradient.ts";
import { gpuForTests } from "./gpu.ts";
import { drawnParameters, tinyPsm, tinyTokens, VOCABULARY } from "./tiny_networks.ts";

const gpu = await gpuForTests("gradients of whole networks");
after(() => gpu?.close());

const d = 8;
const [B, n] = [2, 9];
const stack = { vocabulary: VOCABULARY, d, heads: 2, layers: 1, hidden: 16 };

const networks: readonly (readonly [name: string, network: TokenNetwork])[] = [
  ["t-psm, bidirectional, chunks of 2", tinyPsm()],
  ["t-psm, causal, chunks of 1", tinyPsm({ chunk: 1, agg: "causal" })],
  ["t-psm with gated-mlp", tinyPsm({ agg: gatedMlpAggregator({ d, hidden: 16 }) })],
  ["t-psm with decay", tinyPsm({ chunk: 1, agg: decayAggregator({ d }) })],
  ["t-psm, tied", tinyPsm({ tied: true })],
  ["gpt2", gpt2({ ...stack, context: 16 })],
  ["gpt2, tied", gpt2({ ...stack, context: 16, tied: true })],
  ["sliding-window", slidingWindow({ ...stack, window: 4 })],
  ...["mamba", "gla", "delta-net", "mlstm", "log-linear-attention"].map((layer) =>
    [layer, languageModel({ ...stack, layer, stateSize: 4, longest: 16 })] as const
  ),
];

function batchOf(network: TokenNetwork): TokenBatch {
  const rows = (first: number): Uint32Array =>
    Uint32Array.from([...tinyTokens(network, n, first), ...tinyTokens(network, n, first + 1)]);
  const weights = Float32Array.from({ length: B * n }, (_, i) => i % 3);
  return { B, n, tokens: rows(0), targets: rows(2), weights };
}

interface Claimed {
  readonly loss: number;
  readonly gradient: { readonly [name: string]: Float32Array };
}

async function claimed(device: Gpu, network: TokenNetwork, parameters: ParameterValues): Promise<Claimed> {
  const session = openTraining(device, network, { optimiser: { beta1: 0.5, clip: 1e30, weightDecay: 0 } });
  const entries = Object.entries(network.parameters);
  const named = (part: string, data: (name: string, length: number) => Float32Array): NamedArrays =>
    Object.fromEntries(
      entries.map(([name, { shape }]) => [`${part}.${name}`, { shape, data: data(name, lengthOf(shape)) }]),
    );
  session.load({
    steps: 0,
    arrays: {
      ...named("parameter", (name) => Float32Array.from(parameters[name]!)),
      ...named("first", (_, length) => new Float32Array(length)),
      ...named("second", (_, length) => new Float32Array(length)),
    },
  });
  const { loss } = await session.step(batchOf(network), 0);
  const { arrays } = await session.state();
  session.close();
  return {
    loss,
    gradient: Object.fromEntries(entries.map(([name]) => [name, arrays[`first.${name}`]!.data.map((x) => 2 * x)])),
  };
}

/**
 * Longest way of a number through a network and back: tree of depth 6 and Inf, 7 blocks, each of some 110 roundings (sums of 8
 * terms in two norms and six products, exponentials), so less than 2^11 of 2^−24 each.
 */
const BOUND = 2 ** -13;

/** Keys' biases move all scores of a query alike: what is left of their slopes is rounding, of the size of the keys'. */
const scaleName = (name: string): string => name.endsWith("keyBias") ? name.slice(0, -"Bias".length) : name;

/**
 * What does not hold of a claim, against slopes in f64. The direction of a parameter goes with the signs of its claimed
 * gradient, so that no terms cancel, and an error relative to the slope is one relative to the gradient.
 */
function faultsOf(network: TokenNetwork, parameters: ParameterValues, { loss, gradient }: Claimed): string[] {
  const names = Object.keys(parameters);
  const along = names.map((name) => {
    const random = seeded(8, "direction", name);
    return { [name]: gradient[name]!.map((x) => (1 + random()) * (x < 0 ? -1 : 1)) };
  });
  const all = Object.fromEntries(names.map((name) => {
    const random = seeded(9, "direction", name);
    return [name, gradient[name]!.map(() => 2 * random() - 1)];
  }));
  const truth = networkSlopes(network, parameters, [...along, all], batchOf(network));
  const faults: string[] = [];
  const hold = (what: string, got: number, want: number, size: number): void => {
    if (!(Math.abs(got - want) <= BOUND * size)) faults.push(`${what}: ${got}, not ${want}`);
  };
  hold("loss", loss, truth.loss, truth.loss);
  names.forEach((name, i) => {
    const size = Math.abs(truth.slopes[names.indexOf(scaleName(name))]!);
    assertGreater(size, 2 ** -14, `${name} hardly matters`);
    hold(name, slopeOf(gradient, along[i]!), truth.slopes[i]!, size);
  });
  const size = names.reduce((sum, name) => sum + slopeOf({ [name]: gradient[name]!.map(Math.abs) }, absolute(all)), 0);
  hold("all", slopeOf(gradient, all), truth.slopes.at(-1)!, size);
  return faults;
}

function absolute(direction: { readonly [name: string]: Float32Array }): { readonly [name: string]: Float32Array } {
  return Object.fromEntries(Object.entries(direction).map(([name, step]) => [name, step.map(Math.abs)]));
}

for (const [name, network] of networks) {
  test(`loss and gradient of ${name} are those of f64`, { skip: gpu === null }, async () => {
    const parameters = drawnParameters(network);
    assertEquals(faultsOf(network, parameters, await claimed(gpu!, network, parameters)), []);
  });
}

test("planted faults are seen: a gradient scaled, a row left out, a level of the tree skipped", {
  skip: gpu === null,
}, async () => {
  const network = tinyPsm();
  const parameters = drawnParameters(network);
  const sound = await claimed(gpu!, network, parameters);
  const seen = (gradient: Claimed["gradient"]): string[] =>
    faultsOf(network, parameters, { ...sound, gradient: { ...sound.gradient, ...gradient } });
  for (const name of ["enc.places", "agg.0.attention.query", "agg.norm.bias", "inf.0.mlp.upBias", "head"]) {
    const [fault, ...others] = seen({ [name]: sound.gradient[name]!.map((x) => x * (1 + 2 ** -10)) });
    assertStringIncludes(fault ?? "nothing", name);
    assertEquals(others, []);
  }
  const token = batchOf(network).tokens[0]!;
  const without = sound.gradient["enc.tokens"]!.map((x, i) => Math.floor(i / d) === token ? 0 : x);
  assertStringIncludes(seen({ "enc.tokens": without })[0] ?? "nothing", "enc.tokens");

  let levels = 0;
  const skipping = psmNetwork({
    ...network,
    agg: { ...network.agg, combine: (o, p, a, b) => levels++ === 1 ? b : network.agg.combine(o, p, a, b) },
  });
  const faults = faultsOf(network, parameters, await claimed(gpu!, skipping, parameters));
  assertGreater(levels, 2);
  // Nothing passes but what the fault does not reach.
  assertGreater(faults.length, Object.keys(parameters).length / 2);
  assertStringIncludes(faults[0]!, "loss");
});

test("a tied table's gradient is its shares' sum: without that of the head, or of the embedding, it is seen", {
  skip: gpu === null,
}, async () => {
  const network = tinyPsm({ tied: true });
  const parameters = drawnParameters(network);
  const { loss, gradient } = await claimed(gpu!, network, parameters);
  // The same network with a head of its own that holds the table, transposed: VOCABULARY = d.
  assertEquals(VOCABULARY, d);
  const exchanged = (x: ArrayLike<number>): Float32Array =>
    Float32Array.from({ length: d * d }, (_, i) => x[i % d * d + Math.floor(i / d)]!);
  const apart = await claimed(gpu!, tinyPsm(), { ...parameters, head: exchanged(parameters["enc.tokens"]!) });
  assertEquals(loss, apart.loss);
  for (const share of [apart.gradient["enc.tokens"]!, exchanged(apart.gradient["head"]!)]) {
    const faults = faultsOf(network, parameters, { loss, gradient: { ...gradient, "enc.tokens": share } });
    assertStringIncludes(faults[0] ?? "nothing", "enc.tokens");
  }
});
