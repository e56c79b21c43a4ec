/** A prefix-scannable network on the GPU: its gradient against dual numbers, and its stream against the whole, bit for bit. */
import { after, test } from "node:test";
import { assertEquals, assertGreater, assertLessOrEqual } from "@std/assert";
import type { Gpu } from "../kernels/gpu.ts";
import { GpuEvaluator } from "../kernels/nn/evaluator.ts";
import { GpuOps } from "../kernels/nn/gpu_ops.ts";
import { Ids } from "../kernels/nn/ids.ts";
import { Program } from "../kernels/nn/program.ts";
import { Value } from "../kernels/nn/value.ts";
import { normal } from "../models/domain.ts";
import { initialParameters } from "../models/networks/parameters.ts";
import { psmDecoder } from "../models/networks/psm_decoder.ts";
import { seeded } from "../models/random.ts";
import { transformerPsm } from "../models/networks/transformer_psm.ts";
import { networkSlopes, slopeOf } from "../oracle/network_gradient.ts";
import { gpuForTests } from "./gpu.ts";

const gpu = await gpuForTests("a prefix-scannable network on the GPU");
after(() => gpu?.close());

const vocabulary = 5;
const n = 3;
const network = transformerPsm({ vocabulary, d: 4, heads: 2, chunk: 1, aggLayers: 1, infLayers: 1 });
const parameters = Object.fromEntries(
  Object.entries(initialParameters(network.parameters, 1)).map(([name, data]) => {
    // Larger than training begins with, so that every path counts.
    const random = seeded(2, name);
    return [name, data.map((x) => Math.fround(x + 0.3 * normal(random)))];
  }),
);
const tokens = [3, 1, 4];
const targets = [1, 4, 0];
const weights = Float32Array.of(1, 0.5, 2);

function gpuTest(name: string, body: (device: Gpu) => Promise<void>): void {
  test(name, { skip: gpu === null }, () => body(gpu!));
}

interface Recorded {
  readonly program: Program;
  readonly ops: GpuOps;
  readonly values: { readonly [name: string]: Value };
  readonly hidden: Value;
  ids(data: readonly number[]): Ids;
}

function record(device: Gpu, training: boolean): Recorded {
  const program = new Program(device, "network");
  const ops = new GpuOps(program, { training });
  const values = Object.fromEntries(
    Object.entries(parameters).map((
      [name, data],
    ) => [name, Value.from(device, data, network.parameters[name]!.shape, true)]),
  );
  const ids = (data: readonly number[]): Ids => Ids.from(device, data, [1, n]);
  return { program, ops, values, ids, hidden: network.hidden<Value, Ids>(ops, values, ids(tokens)) };
}

gpuTest("the recorded gradient of a whole network is that of dual numbers", async (device) => {
  const { program, ops, values, hidden, ids } = record(device, true);
  const loss = ops.crossEntropy(hidden, values["head"]!, ids(targets), Value.from(device, weights, [1, n]));
  ops.backward(loss);
  const slots = Object.entries(values).map(([name, value]) => [name, ops.gradient(value)!] as const);
  for (const slot of [loss.slot, ...slots.map(([, slot]) => slot)]) program.keep(slot);
  await program.run();
  const gradient: { [name: string]: Float32Array } = {};
  for (const [name, slot] of slots) gradient[name] = await program.tensor(slot).read();

  // One direction for each parameter, along the gradient itself: no slope cancels, and each is checked.
  // A bias of the keys moves all scores of a query alike: its gradient is 0.
  const names = Object.keys(gradient).filter((name) => !name.endsWith("keyBias"));
  const directions = names.map((name) => ({ [name]: gradient[name]! }));
  const batch = { B: 1, n, tokens: Int32Array.from(tokens), targets: Int32Array.from(targets), weights };
  const truth = networkSlopes(network, parameters, directions, batch);
  // Two blocks deep, sums of at most 16 terms: some 2^9 roundings of 2^−24 on a path; a gradient's paths are twice as long.
  const tolerance = 2 ** -15;
  assertGreater(names.length, 30);
  const [got] = await program.tensor(loss.slot).read();
  assertLessOrEqual(Math.abs(got! - truth.loss), tolerance * truth.loss);
  const off = (claimed: number, i: number): number => Math.abs(claimed - truth.slopes[i]!) / truth.slopes[i]!;
  names.forEach((name, i) => {
    const claimed = slopeOf(gradient, directions[i]!);
    assertLessOrEqual(off(claimed, i), 2 * tolerance, name);
    assertGreater(off(claimed * (1 + 2 ** -10), i), 2 * tolerance, `${name}: a fault of 2^-10 would pass`);
  });
  program.close();
});

gpuTest("a token streamed alone has the bits it has in the whole", async (device) => {
  const { program, ops, values, hidden } = record(device, false);
  const logits = ops.linear(hidden, values["head"]!);
  program.keep(logits.slot);
  await program.run();
  const whole = await program.tensor(logits.slot).read();
  const evaluator = new GpuEvaluator(device);
  const stream = psmDecoder(network, evaluator, values);
  for (let t = 0; t < n; t++) {
    const streamed = await stream.push([tokens[t]!]);
    assertEquals([...streamed], [...whole.subarray(t * vocabulary, (t + 1) * vocabulary)], `token ${t}`);
  }
  stream.close();
  assertEquals(evaluator.liveBytes, 0);
  evaluator.close();
  program.close();
});
