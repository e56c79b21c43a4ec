/** Opens wgpu and Dawn in one Deno process and prints whether they agree; `device_test.ts` runs it. */

import { gpuForTests } from "../gpu.ts";

const fold = /* wgsl */ `
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= arrayLength(&x)) { return; }
  var hash = 2166136261u;
  for (var i = 0u; i <= id.x; i++) { hash = (hash ^ x[i]) * 16777619u; }
  y[id.x] = hash;
}`;

const open = [
  await gpuForTests("wgpu beside Dawn", { provider: "deno" }),
  await gpuForTests("Dawn beside wgpu", { provider: "dawn" }),
];
const results: Uint32Array[] = [];
for (const gpu of open) {
  if (gpu === null) continue;
  const x = gpu.upload(Uint32Array.from({ length: 500 }, (_, i) => i * 2654435761));
  const y = gpu.createBuffer({ bytes: 2000 });
  const pipeline = await gpu.compile({ label: "fold", code: fold });
  await gpu.run("fold", [{ pipeline, buffers: [x, y], workgroups: 8 }]);
  results.push(await gpu.read(y, Uint32Array));
}
for (const gpu of open) await gpu?.close();
if (results.length < 2) console.log("not run: needs both");
else if (results[0]!.at(-1) === 0 || results[0]!.some((x, i) => x !== results[1]![i])) {
  throw new Error("wgpu and Dawn disagree");
} else console.log("agree");
