import { after, test } from "node:test";
import {
  assert,
  assertEquals,
  assertGreaterOrEqual,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { BufferUsage, flatWorkgroup, foldWorkgroups, openDevice } from "../kernels/device.ts";
import { InputError } from "../models/error.ts";
import { gpuForTests } from "./gpu.ts";

test("foldWorkgroups covers the count, keeps to the limit and wastes less than a row", () => {
  for (const limit of [1, 2, 3, 7, 65_535]) {
    for (
      const count of [0, 1, 2, limit - 1, limit, limit + 1, limit ** 2 - 1, limit ** 2, limit ** 2 + 1, limit ** 3]
    ) {
      if (count > limit ** 3) continue;
      const [x, y, z] = foldWorkgroups(count, limit);
      assert(Math.max(x, y, z) <= limit, `${count} of ${limit}: ${x} × ${y} × ${z}`);
      assertGreaterOrEqual(x * y * z, count);
      assert(x * y * z - count < Math.max(1, y * z), `${count} of ${limit}: ${x} × ${y} × ${z}`);
    }
  }
  assertThrows(() => foldWorkgroups(9, 2), InputError, "got 9");
});

const gpu = await gpuForTests("device checks");
after(() => gpu?.close());

function gpuTest(name: string, body: (device: NonNullable<typeof gpu>) => Promise<void>): void {
  test(name, { skip: gpu === null }, () => body(gpu!));
}

const double = /* wgsl */ `
override factor: f32 = 2.0;
@group(0) @binding(0) var<storage, read_write> x: array<f32>;
${flatWorkgroup}
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) i: u32) {
  let at = flat_workgroup(group, grid) * 64u + i;
  if (at < arrayLength(&x)) { x[at] = x[at] * factor; }
}
`;

gpuTest("a kernel computes, its constants apply, and live bytes return to what they were", async (gpu) => {
  const before = gpu.bytes.live;
  const input = Float32Array.from({ length: 1001 }, (_, i) => i);
  const x = gpu.upload(input, { label: "x" });
  assertEquals(gpu.bytes.live - before, 4004);
  const pipeline = await gpu.compile({ label: "double", code: double, constants: { factor: 3 } });
  assert(pipeline === await gpu.compile({ label: "double", code: double, constants: { factor: 3 } }));
  await gpu.run("double", [{ pipeline, buffers: [x], workgroups: 16 }, { pipeline, buffers: [x], workgroups: [4, 4] }]);
  assertEquals(await gpu.read(x, Float32Array), input.map((v) => v * 9));
  assertEquals(await gpu.read(x, Float32Array, { offset: 7, length: 2 }), new Float32Array([63, 72]));
  x.destroy();
  x.destroy();
  assertEquals(gpu.bytes.live, before);
  assertGreaterOrEqual(gpu.bytes.peak, before + 8008);
});

gpuTest("reads and writes need not be multiples of 4 bytes", async (gpu) => {
  const bytes = Uint8Array.from({ length: 7 }, (_, i) => i + 1);
  const buffer = gpu.upload(bytes);
  assertEquals(buffer.size, 8);
  assertEquals(await gpu.read(buffer, Uint8Array, { length: 7 }), bytes);
  assertEquals(await gpu.read(buffer, Uint8Array, { offset: 3, length: 3 }), bytes.slice(3, 6));
  buffer.destroy();
});

gpuTest("more workgroups than one dimension holds are folded", async (gpu) => {
  const limit = gpu.limits.maxComputeWorkgroupsPerDimension;
  const code = /* wgsl */ `
@group(0) @binding(0) var<storage, read_write> seen: array<atomic<u32>, 2>;
${flatWorkgroup}
@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) grid: vec3u) {
  if (flat_workgroup(group, grid) < ${limit + 10}u) { atomicAdd(&seen[0], 1u); } else { atomicAdd(&seen[1], 1u); }
}`;
  const seen = gpu.createBuffer({ bytes: 8 });
  const pipeline = await gpu.compile({ label: "count", code });
  await gpu.run("count", [{ pipeline, buffers: [seen], workgroups: limit + 10 }]);
  const [x, y, z] = foldWorkgroups(limit + 10, limit);
  assertEquals(await gpu.read(seen, Uint32Array), new Uint32Array([limit + 10, x * y * z - limit - 10]));
  await assertRejects(
    () => gpu.run("count", [{ pipeline, buffers: [seen], workgroups: [limit + 1] }]),
    InputError,
    `got ${limit + 1} × 1 × 1`,
  );
  seen.destroy();
});

gpuTest("a WGSL error rejects with its line", async (gpu) => {
  const code = "@compute @workgroup_size(1)\nfn main() {\n  let x: u32 = 1.5f;\n}\n";
  const error = await assertRejects(
    () => gpu.compile({ label: "broken", code }),
    Error,
    "Cannot compile broken: line 3:",
  );
  assertStringIncludes(error.message, "let x: u32 = 1.5f;");
});

gpuTest("an entry point that does not exist rejects", async (gpu) => {
  await assertRejects(
    () => gpu.compile({ label: "absent", code: double, entryPoint: "other" }),
    Error,
    "compile absent",
  );
});

gpuTest("one buffer bound for reading and writing at once rejects, and the device works on", async (gpu) => {
  const code = /* wgsl */ `
@group(0) @binding(0) var<storage, read> a: array<u32>;
@group(0) @binding(1) var<storage, read_write> b: array<u32>;
@compute @workgroup_size(1) fn main() { b[0] = a[0] + 1u; }`;
  const pipeline = await gpu.compile({ label: "successor", code });
  const a = gpu.upload(new Uint32Array([41]));
  const b = gpu.createBuffer({ bytes: 4 });
  await assertRejects(
    () => gpu.run("successor", [{ pipeline, buffers: [a, a], workgroups: 1 }]),
    Error,
    "run successor",
  );
  await assertRejects(() => gpu.run("successor", [{ pipeline, buffers: [a], workgroups: 1 }]), Error, "run successor");
  await gpu.run("successor", [{ pipeline, buffers: [a, b], workgroups: 1 }]);
  assertEquals(await gpu.read(b, Uint32Array), new Uint32Array([42]));
  a.destroy();
  b.destroy();
});

gpuTest("a buffer the device cannot hold or bind throws with the limit and the size", async (gpu) => {
  const { maxBufferSize, maxStorageBufferBindingSize, maxUniformBufferBindingSize } = gpu.limits;
  const tooMuch = Math.min(maxBufferSize, maxStorageBufferBindingSize) + 1;
  const error = assertThrows(() => gpu.createBuffer({ label: "states", bytes: tooMuch }), InputError, "create states");
  assertStringIncludes(error.message, `got ${tooMuch}`);
  assertThrows(
    () => gpu.createBuffer({ bytes: maxUniformBufferBindingSize + 4, usage: BufferUsage.UNIFORM }),
    InputError,
    "maxUniformBufferBindingSize",
  );
  assertThrows(() => gpu.createBuffer({ bytes: 0 }), InputError, "got 0");
  assertThrows(() => gpu.createBuffer({ bytes: 1.5 }), InputError, "got 1.5");
  const small = gpu.createBuffer({ bytes: 4 });
  assertThrows(() => gpu.write(small, new Uint32Array(2)), InputError, "got offset 0, 8 bytes");
  await assertRejects(() => gpu.read(small, Float32Array, { length: 2 }), InputError, "length 2");
  small.destroy();
});

gpuTest("a refused buffer rejects the next call and is not counted", async (gpu) => {
  const before = gpu.bytes.live;
  const buffer = gpu.createBuffer({ label: "odd", bytes: 4, usage: 0 });
  await assertRejects(() => gpu.checked("go on", () => {}), Error, "Cannot create odd");
  assertEquals(gpu.bytes.live, before);
  buffer.destroy();
  assertEquals(gpu.bytes.live, before);
  await gpu.checked("go on", () => {});
});

gpuTest("uncaught device errors reject the next call", async (gpu) => {
  gpu.device.createBuffer({ size: 4, usage: 0 });
  await assertRejects(async () => {
    for (let i = 0; i < 10; i++) {
      await gpu.checked("go on", () => {});
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }, Error);
});

gpuTest("closing rejects what is pending and what comes later", async () => {
  const other = (await gpuForTests("closing"))!;
  const buffer = other.createBuffer({ bytes: 1 << 20 });
  const pending = other.read(buffer, Float32Array);
  pending.catch(() => {});
  await other.close();
  await other.close();
  await assertRejects(() => pending, Error, "the device was closed");
  await assertRejects(() => other.read(buffer, Float32Array), Error, "the device was closed");
  assertThrows(() => other.createBuffer({ bytes: 4 }), Error, "the device was closed");
  assertEquals(other.bytes.live, 0);
});

gpuTest("the loss of the device rejects what comes later with the reason", async () => {
  const other = (await gpuForTests("device loss"))!;
  other.device.destroy();
  await other.device.lost;
  await assertRejects(() => other.done(), Error, "the device was lost (destroyed)");
  await other.close();
});

test("a provider that does not run here is refused by name", async () => {
  const provider = (globalThis as { Bun?: unknown }).Bun === undefined ? "bun" : "dawn";
  await assertRejects(() => openDevice({ provider }), InputError, `Cannot open a GPU: tried ${provider} (runs under`);
});

test("a feature no adapter has is refused by name", { skip: gpu === null }, async () => {
  // Of this provider: Deno would go on to Dawn, which does not always survive the end of a long process there.
  const { provider } = gpu!.adapter;
  await assertRejects(() => openDevice({ provider, require: ["time-travel"] }), InputError, "lacks time-travel");
});
