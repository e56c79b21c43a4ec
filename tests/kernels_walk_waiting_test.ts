/** Walks whose decays wait in the rows of their block, against f64 with a derived bound; their table by either way; faults seen. */
import { after, test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import type { Gpu } from "../kernels/device.ts";
import type { Fault } from "../kernels/faults.ts";
import { Tensor } from "../kernels/tensor.ts";
import { planWalk, type WalkOptions } from "../kernels/walk/walk.ts";
import { gpuForTests, withTraits } from "./gpu.ts";
import { type Case, type Data, dataOf, type Ran, ran, type Truth, truthOf, wrong } from "./walk_cases.ts";

const gpu = await gpuForTests("walks whose decays wait on the GPU");
after(() => gpu?.close());

function gpuTest(name: string, body: (device: Gpu) => Promise<void>): void {
  test(name, { skip: gpu === null }, () => body(gpu!));
}

// With shuffles several tokens are taken together, without them one by one; blocks that are not all there. The
// first by a text of its own for whole blocks, as on hardware. Workgroups that share a sequence's columns, as in the last two, have
// the table from a dispatch before them, the last for several tokens together whose factors no subgroup is wide enough to hold. A
// workgroup has 32 invocations.
const ways: readonly WalkOptions[] = [
  { rows: 4, columns: 1, block: 8, unroll: 2, unchecked: true },
  { rows: 4, columns: 2, block: 4, subgroups: false },
  { rows: 4, columns: 1, threads: 8, block: 8, subgroups: false },
  { rows: 4, columns: 1, threads: 8, block: 32, unroll: 2 },
];
const waysOf = (device: Gpu): readonly WalkOptions[] =>
  device.subgroups === undefined ? ways.filter(({ subgroups }) => subgroups === false) : ways;
/** The second in two segments, which take a pass for their ends and one for their starts. */
const segmentsOf = (way: WalkOptions): number => way.block === 4 ? 2 : 1;
const dispatchesOf = (way: WalkOptions, waiting: boolean): number =>
  1 + 2 * (segmentsOf(way) - 1) + (waiting && way.threads !== undefined ? 1 : 0);

for (const decay of ["scalar", "head"] as const) {
  for (const form of ["log", "factor"] as const) {
    gpuTest(
      `decays that wait, ${decay}, ${form}: other bits, within the derived bound, faults seen`,
      async (device) => {
        const others = new Set<WalkOptions>();
        for (const kind of ["gentle", "rare", "fast", "adversarial"] as const) {
          for (const way of waysOf(device)) {
            // More blocks of a segment than a workgroup has invocations.
            const size: Case = { B: 2, T: 301, H: 2, R: 7, C: 6, decay, form, reverse: false };
            const data = dataOf(size, kind);
            const options = { scale: 0.3, segments: segmentsOf(way), ...way };
            const bound = (waiting: boolean): Truth => truthOf(size, data, Math.fround(0.3), waiting);
            const outside = ({ outputs, final }: Ran, truth: Truth): string | undefined =>
              wrong(outputs, truth.outputs, truth.outputsAllowed) ?? wrong(final, truth.final, truth.finalAllowed);
            const waited = await ran(device, size, data, options);
            assertEquals(outside(waited, bound(true)), undefined, kind);
            assertEquals(waited.dispatches, dispatchesOf(way, true));
            const plain = await ran(device, size, data, { ...options, waiting: false });
            assertEquals(outside(plain, bound(false)), undefined, `${kind}, multiplied`);
            assertEquals(plain.dispatches, dispatchesOf(way, false));
            if (waited.outputs.some((x, n) => x !== plain.outputs[n])) others.add(way);
            // Shut gates forget what is swapped or carried. Texts take long to compile: once for both forms.
            const faults: readonly Fault[] = form === "factor"
              ? []
              : kind === "gentle"
              ? ["dropped-carry", "swapped-operands"]
              : [{ relative: 2 ** -10 }];
            for (const fault of faults) {
              const faulty = await ran(device, size, data, { ...options, fault });
              assert(outside(faulty, bound(true)) !== undefined, `${kind} ${JSON.stringify(fault)}`);
            }
          }
        }
        assertEquals(others.size, waysOf(device).length, "decays waited");
      },
    );
  }
  gpuTest(`decays that wait, ${decay}: the bits of a prefix are those of the whole`, async (device) => {
    for (const kind of ["gentle", "fast", "adversarial"] as const) {
      for (const way of waysOf(device)) {
        const size: Case = { B: 1, T: 100, H: 2, R: 7, C: 6, decay, reverse: false };
        const data = dataOf(size, kind);
        const whole = await ran(device, size, data, way);
        const T = 37;
        const part = Object.fromEntries(
          Object.entries(data).map(([name, values]: [string, Float32Array]) => [
            name,
            name === "initial" || values.length === size.H ? values : values.subarray(0, T * values.length / size.T),
          ]),
        ) as unknown as Data;
        const { outputs } = await ran(device, { ...size, T }, part, way);
        assertEquals(outputs, whole.outputs.slice(0, outputs.length), kind);
      }
    }
  });
}

gpuTest(
  "decays that wait: a gate that is NaN is seen in all that comes after it, and in nothing else",
  async (device) => {
    const size: Case = { B: 1, T: 45, H: 2, R: 7, C: 6, decay: "scalar", form: "factor", reverse: false };
    const data = dataOf(size);
    const at = 15;
    data.g![at * size.H] = NaN;
    for (const way of waysOf(device)) {
      const { outputs, final } = await ran(device, size, data, way);
      const touched = (n: number): boolean => Math.floor(n / size.C) % size.H === 0 && n >= at * size.H * size.C;
      outputs.forEach((x, n) => assertEquals(Number.isNaN(x), touched(n), `output ${n}`));
      final.forEach((x, n) => assertEquals(Number.isNaN(x), n < size.R * size.C, `state ${n}`));
    }
  },
);

gpuTest(
  "decays that wait: a device that binds too few buffers fills their table by a dispatch, with the same bits",
  async (device) => {
    const size: Case = { B: 1, T: 45, H: 2, R: 7, C: 6, decay: "scalar", reverse: false };
    for (const kind of ["rare", "adversarial"] as const) {
      const data = dataOf(size, kind);
      const way = ways[1]!;
      const own = await ran(device, size, data, way);
      // Three rows, the gates, the table, a state before and one after, outputs: one more than this.
      await withTraits(device, { limits: { maxStorageBuffersPerShaderStage: 7 } }, async () => {
        const apart = await ran(device, size, data, way);
        assertEquals([own.dispatches, apart.dispatches], [1, 2]);
        assertEquals(apart.outputs, own.outputs);
        assertEquals(apart.final, own.final);
      });
    }
  },
);

const wide = "a workgroup that is one subgroup has a kernel too, as few sequences have on a GPU";
test(wide, { skip: gpu?.subgroups === undefined }, async () => {
  const device = gpu!;
  await withTraits(device, { adapter: { software: false }, subgroups: { min: 32, max: 32 } }, async () => {
    const [B, T, H, K] = [1, 64, 8, 64];
    const empty = (...shape: number[]): Tensor => Tensor.empty(device, shape);
    const rows = [B, T, H, K] as const;
    const tensors = { x: empty(...rows), y: empty(...rows), z: empty(...rows), g: empty(B, T, H), out: empty(...rows) };
    const plan = await planWalk(device, tensors, { decay: "scalar", segments: 1 });
    assert(plan.variant.includes(" 32 threads"), plan.variant);
    plan.release();
    Object.values(tensors).forEach((tensor) => tensor.destroy());
  });
});

gpuTest("a walk of no tokens leaves the state as it is, also where decays wait", async (device) => {
  for (const decay of ["none", "scalar", "head"] as const) {
    for (const way of waysOf(device)) {
      const size: Case = { B: 1, T: 0, H: 2, R: 7, C: 6, decay, reverse: false };
      const data = { ...dataOf(size), ...(decay === "scalar" ? { g: new Float32Array(0) } : {}) };
      const { outputs, final } = await ran(device, size, data, way);
      assertEquals(outputs.length, 0);
      assertEquals(final, data.initial);
    }
  }
});
