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

const network = tinyPsm({ d: 32, chunk: 1 });

for (const mode of [undefined, "split", "f32"] as const) {
  test(`a network of any length takes some 30 kernels, products ${mode ?? "by default"}`, async () => {
    const { device, texts } = recorder();
    await record(device, network, [4, 4], mode);
    const first = new Set(texts);
    assert(first.size > 10);
    for (const n of [5, 6, 7, 16, 18]) await record(device, network, [4, n], mode);
    // Long sums are cut into slabs and parts, which are added up by kernels of their own.
    assertLessOrEqual(texts.size, first.size + 3);
    assertLessOrEqual(texts.size, 33);
    const known = texts.size;
    await record(device, network, [4, 17], mode);
    assertEquals(texts.size, known);
    // Control: heads of another width are in the text.
    await record(device, tinyPsm({ d: 48, chunk: 1 }), [4, 4], mode);
    assert(texts.size > known);
  });
}
