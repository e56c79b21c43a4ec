/** A network's kernels are few, and serve every length: a curriculum compiles next to nothing when its length changes. */
import { test } from "node:test";
import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import type { Gpu } from "../kernels/gpu.ts";
import type { MatrixMode } from "../kernels/matrix_unit.ts";
import { GpuOps } from "../kernels/nn/gpu_ops.ts";
import { Ids } from "../kernels/nn/ids.ts";
import { Program } from "../kernels/nn/program.ts";
import { Value } from "../kernels/nn/value.ts";
import { Tensor } from "../kernels/tensor.ts";
import type { TokenNetwork } from "../models/networks/ops.ts";
import { tinyPsm } from "./tiny_networks.ts";

/** A device with matrix units that computes nothing, and the texts it was given. */
function recorder(): { readonly device: Gpu; readonly texts: Set<string> } {
  const texts = new Set<string>();
  const limits = {
    maxComputeWorkgroupStorageSize: 49152,
    maxComputeInvocationsPerWorkgroup: 1024,
    maxComputeWorkgroupsPerDimension: 65535,
  };
  const buffer = (bytes: number) => ({ size: Math.ceil(bytes / 4) * 4, destroy() {} });
  const device = {
    ...{ limits, adapter: { software: false }, subgroups: { min: 32, max: 32 } },
    features: new Set(["subgroups", "shader-f16", "chromium-experimental-subgroup-matrix"]),
    createBuffer: ({ bytes }: { bytes: number }) => buffer(bytes),
    upload: ({ byteLength }: Uint32Array) => buffer(byteLength),
    compile: ({ code }: { code: string }) => Promise.resolve(texts.add(code)),
    bind: () => ({}),
    checked: (_: string, body: () => unknown) => Promise.resolve(body()),
  };
  return { device: device as unknown as Gpu, texts };
}

/** Records loss and gradients of a batch, and makes the kernels ready. */
async function record(device: Gpu, network: TokenNetwork, [B, n]: [number, number], mode?: MatrixMode): Promise<void> {
  const program = new Program(device, "step");
  const ops = new GpuOps(program, { training: true, ...(mode && { mode }) });
  const parameters = Object.fromEntries(
    Object.entries(network.parameters).map(([name, { shape }]) => [name, Value.of(Tensor.empty(device, shape), true)]),
  );
  const hidden = network.hidden(ops, parameters, new Ids(device, [B, n]));
  const weights = Value.of(Tensor.empty(device, [B, n]));
  ops.backward(ops.crossEntropy(hidden, parameters["head"]!, new Ids(device, [B, n]), weights));
  await program.ready();
}

/** Small products are plain f32 in every mode; those of the large network are on matrix units. */
const small = { d: 32, B: 4, most: 33 };
const large = { d: 512, B: 512, most: 50 };

for (const [mode, { d, B, most }] of [[undefined, small], ["f32", small], ["split", large], ["f16", large]] as const) {
  test(`a network of any length takes few kernels, products ${mode ?? "by default"}`, async () => {
    const network = tinyPsm({ d, chunk: 1 });
    const { device, texts } = recorder();
    await record(device, network, [B, 4], mode);
    const first = new Set(texts);
    assert(first.size > 10);
    const onUnits = [...texts].filter((text) => text.includes("subgroupMatrixMultiplyAccumulate"));
    assertEquals(onUnits.length > 0, d === large.d);
    for (const n of [5, 6, 7, 16, 18]) await record(device, network, [B, n], mode);
    // Long sums are cut into slabs and parts, which are added up by kernels of their own; blocks on matrix units have two sizes.
    assertLessOrEqual(texts.size, first.size + (d === large.d ? 6 : 3));
    assertLessOrEqual(texts.size, most);
    const known = texts.size;
    await record(device, network, [B, 17], mode);
    assertEquals(texts.size, known);
    // Control: heads of another width are in the text.
    await record(device, tinyPsm({ d: 48, chunk: 1 }), [4, 4], mode);
    assert(texts.size > known);
  });
}
