/** A process that opens a GPU and ends in the way its argument names; `device_test.ts` watches how it ends. */

import process from "node:process";
import { openDevice } from "../../kernels/device.ts";

const code = /* wgsl */ `
@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < arrayLength(&x)) { x[id.x] = x[id.x] * 2.0; }
}`;

async function open(): Promise<{ close(): Promise<void>; pending: Promise<Float32Array> }> {
  const gpu = await openDevice();
  const pipeline = await gpu.compile({ label: "double", code });
  const x = gpu.upload(Float32Array.from({ length: 10_000 }, (_, i) => i));
  for (let i = 0; i < 10; i++) await gpu.run("double", [{ pipeline, buffers: [x], workgroups: 157 }]);
  const values = await gpu.read(x, Float32Array);
  if (values[3] !== 3072) throw new Error(`expected 3072, got ${values[3]}`);
  return { close: () => gpu.close(), pending: gpu.read(x, Float32Array) };
}

const endings: Record<string, () => Promise<void>> = {
  async close() {
    const { close, pending } = await open();
    await pending;
    await close();
  },
  async "close with work pending"() {
    const { close, pending } = await open();
    pending.catch(() => {});
    await close();
  },
  async "open and close again and again"() {
    for (let i = 0; i < 10; i++) {
      const { close, pending } = await open();
      await pending;
      await close();
      // Garbage enough for a collection, which is when a loosely held implementation goes away too early.
      for (let j = 0; j < 100; j++) new Float64Array(100_000).fill(j);
    }
  },
  async "never close"() {
    const { pending } = await open();
    await pending;
  },
  async throw() {
    const { pending } = await open();
    pending.catch(() => {});
    throw new Error("thrown on purpose");
  },
  async exit() {
    const { pending } = await open();
    pending.catch(() => {});
    process.exit(3);
  },
};

await endings[process.argv[2] ?? ""]!();
console.log("reached the end");
