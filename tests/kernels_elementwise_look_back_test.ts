/** The single pass that looks back, forced on any adapter at small sizes: its windows, its fallback, its faults. */
import { after, test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { planScan, type ScanOptions } from "../kernels/elementwise/scan.ts";
import { Tensor } from "../kernels/tensor.ts";
import { assertRight, runScans, scanCase, verdictOf, wordsOf } from "./elementwise_scan.ts";
import { gpuForTests } from "./gpu.ts";

const gpu = await gpuForTests("the scan that looks back");
after(() => gpu?.close());

function gpuTest(name: string, body: (device: NonNullable<typeof gpu>) => Promise<void>): void {
  test(name, { skip: gpu === null }, () => body(gpu!));
}

// Tiles of 128 tokens (32 where loads are single).
const options: ScanOptions = { layout: "rows", path: "look-back", threads: 32, vectors: 1, window: 2 };

gpuTest("every length is within its bound of the recurrence", async (device) => {
  const cases = [1, 31, 32, 33, 128, 132, 1024, 8200].map((T) => ({ given: scanCase(2, 1, T), options }));
  const runs = await runScans(device, cases);
  assertRight(runs);
  assert(runs.every(({ plan }) => plan.path === "look-back"));
});

gpuTest("every kind of tile is within its bound", async (device) => {
  const given = scanCase(2, 1, 2052);
  const sum = scanCase(1, 2, 2052, { gated: false });
  assertRight(
    await runScans(device, [
      { given: sum, options },
      { given: sum, options: { ...options, ticket: false } },
      { given, options: { ...options, reverse: true, shifted: true } },
      { given, options: { ...options, vectors: 2, window: 1 } },
      { given, options: { ...options, subgroups: false } },
    ]),
  );
});

gpuTest("tiles that publish nothing are reduced by those who wait for them", async (device) => {
  const given = scanCase(2, 1, 2052);
  const sum = scanCase(2, 1, 2052, { gated: false });
  assertRight(
    await runScans(device, [
      { given, options: { ...options, mute: 2, patience: 3 } },
      { given, options: { ...options, mute: 1, patience: 1 } },
      { given, options: { ...options, mute: 3, patience: 1, subgroups: false } },
      { given, options: { ...options, mute: 3, patience: 1, reverse: true } },
      { given: sum, options: { ...options, mute: 2, patience: 2 } },
    ]),
  );
});

gpuTest("totals taken ahead: few tiles and many, gates, a muted tile; a fault is seen", async (device) => {
  const given = scanCase(2, 1, 2052);
  const sum = scanCase(1, 2, 2052, { gated: false });
  const ahead = { ...options, lead: 3 };
  // Two rows of 17 tiles; a lead beyond all of them; one tile.
  assertRight(
    await runScans(device, [
      { given: sum, options: ahead },
      { given: sum, options: { ...options, lead: 100 } },
      { given, options: ahead },
      { given: scanCase(2, 1, 32), options: ahead },
      { given, options: { ...ahead, mute: 2, patience: 3 } },
      { given: sum, options: { ...ahead, subgroups: false, ticket: false } },
    ]),
  );
  const [run] = await runScans(device, [{ given, options: { ...ahead, fault: "dropped-carry" } }]);
  assert(!verdictOf(run!).ok, wordsOf(run!));
});

gpuTest("a plan runs again and gives the same", async (device) => {
  const { T, b } = scanCase(1, 1, 4096, { gated: false });
  const [input, h] = [Tensor.from(device, b, [1, 1, T]), Tensor.empty(device, [1, 1, T])];
  const plan = await planScan(device, { b: input, h }, options);
  await device.run("first", plan.dispatches);
  const first = await h.read();
  h.write(new Float32Array(T));
  await device.run("again", plan.dispatches);
  // Sums are rounded as the tiles happened to meet: equal to within the roundings of a tile and those before it.
  const again = await h.read();
  first.forEach((x, t) => assert(Math.abs(x - again[t]!) <= 2 ** -24 * 64 * 64, `${t}: ${x}, then ${again[t]}`));
  plan.release();
  input.destroy();
  h.destroy();
});

gpuTest("a tensor beyond one binding is run in slices", async (device) => {
  const [run] = await runScans(device, [{ given: scanCase(2, 5, 256), options: { ...options, bindingBytes: 4096 } }]);
  assertRight([run!]);
  // A clearing and a pass for every four rows.
  assertEquals(run!.plan.dispatches.length, 6);
});

for (const fault of ["dropped-carry", "swapped-operands", { relative: 2 ** -10 }] as const) {
  const name = typeof fault === "string" ? fault : `a relative fault of ${fault.relative}`;
  gpuTest(`the bound sees ${name}`, async (device) => {
    const [run] = await runScans(device, [{ given: scanCase(2, 1, 2052), options: { ...options, fault } }]);
    assert(!verdictOf(run!).ok, wordsOf(run!));
  });
}

gpuTest("a long row is cut in chunks unless look-back is asked for", async (device) => {
  const [run] = await runScans(device, [{ given: scanCase(1, 1, 8200), options: { layout: "rows" } }]);
  assertEquals(run!.plan.path, "reduce-scan-apply");
});
