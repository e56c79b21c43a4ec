/** The table of decays that wait: what its entries say together, and where they multiply the state. */
import { after, test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import type { Gpu } from "../kernels/device.ts";
import { serialParameters } from "../kernels/delta/forward.ts";
import { waitingBlocks, waitingBytes, waitingShader } from "../kernels/walk/_waiting.ts";
import { compileShader, dispatchItems } from "../kernels/wgsl.ts";
import { seeded } from "../models/random.ts";
import { gpuForTests } from "./gpu.ts";

const gpu = await gpuForTests("the table of decays that wait");
after(() => gpu?.close());

const [T, BLOCK, BODY] = [75, 32, 4];
const SCALE = 0.25;

interface Entry {
  readonly c: number;
  readonly inverse: number;
  readonly f: number;
  /** 0: the state is multiplied nowhere in the block up to here, 1: where bodies begin, 2: anywhere. */
  readonly kind: number;
  readonly last: number;
}

/** The table of factors `gates` of one sequence. */
async function tableOf(device: Gpu, gates: Float32Array): Promise<readonly Entry[]> {
  const extent = { B: 1, T, H: 1 };
  const table = { decay: "scalar", form: "factor", dtype: "f32", scale: SCALE, factor: false, own: false } as const;
  const held = {
    p: serialParameters(device, { ...extent, K: 1, V: 1 }, 1),
    in_g: device.upload(gates),
    waits: device.createBuffer({ bytes: waitingBytes(extent, "scalar", BLOCK, 1), label: "table" }),
  };
  const kernel = await compileShader(device, waitingShader(table, BLOCK, BODY));
  await device.run("table", [dispatchItems(kernel, held, waitingBlocks(extent, "scalar", BLOCK))]);
  const numbers = await device.read(held.waits, Float32Array);
  Object.values(held).forEach((buffer) => buffer.destroy());
  return Array.from(gates, (_, t) => {
    const [scaled, inverse, f, mark] = numbers.subarray(4 * t, 4 * t + 4) as unknown as [
      number,
      number,
      number,
      number,
    ];
    const kind = mark > 0 ? 0 : mark > -4 ? 1 : 2;
    return { c: scaled / SCALE, inverse, f, kind, last: Math.abs(mark) / (kind === 2 ? 2 ** 32 : 1) };
  });
}

/** What is wrong with a table: R = S / c is multiplied by f where it is, so that of a state c · Π f is left, which is Π a. */
function wrong(gates: Float32Array, table: readonly Entry[]): string | undefined {
  let [product, factors, kind, before] = [1, 1, 0, 1];
  for (const [t, { c, inverse, f, kind: marked, last }] of table.entries()) {
    if (t % BLOCK === 0) [product, factors, kind, before] = [1, 1, 0, 1];
    product *= gates[t]!;
    factors *= f;
    if (f !== 1) kind = Math.max(kind, t % BODY === 0 ? 1 : 2);
    if (t % BODY === 0 && before < 2 ** -8 && f === 1) {
      return `token ${t}: a body begins with c = ${before}, and f is 1`;
    }
    before = c;
    if (!(c >= 2 ** -24 && c <= 2)) return `token ${t}: c is ${c}`;
    if (last !== c) return `token ${t}: its mark's c is ${last}, not ${c}`;
    // A quotient is right to 2.5 units in the last place.
    if (Math.abs(inverse * c - 1) > 5 * 2 ** -24) return `token ${t}: 1/c is ${inverse}, c ${c}`;
    if (marked !== kind) return `token ${t}: of kind ${marked}, not ${kind}`;
    // A product a token, and the ones of this loop, which are in f64.
    const allowed = 2 ** -24 * (1 + t % BLOCK) * Math.abs(product);
    if (!(Math.abs(c * factors - product) <= allowed)) return `token ${t}: ${c * factors} is left, not ${product}`;
  }
  return undefined;
}

const random = seeded("table");
const gatesOf = (log: (t: number) => number): Float32Array =>
  Float32Array.from({ length: T }, (_, t) => Math.exp(log(t)));
const cases: { readonly [name: string]: { readonly gates: Float32Array; readonly kinds: readonly number[] } } = {
  "near 1": { gates: gatesOf(() => -0.05 * random()), kinds: [0, 0, 0] },
  "of some tenths": { gates: gatesOf(() => -1 - random()), kinds: [1, 1, 1] },
  "far below": { gates: gatesOf(() => -8 * random()), kinds: [2, 2, 2] },
  // One that is shut, within a body; then a block that is renewed behind it, and one where a body begins.
  "rare": { gates: gatesOf((t) => t === 5 || t === 64 ? -20 : t > 5 && t < 32 ? -1 : 0), kinds: [2, 0, 1] },
  // c · a would be flushed.
  "tiny": { gates: gatesOf((t) => t % 8 === 6 ? -75 : t % 8 < 6 ? -1 : 0), kinds: [2, 2, 2] },
  // The same where a body begins, and all else may wait.
  "tiny at bodies": {
    gates: gatesOf((t) => t % 32 === 8 ? -80 : t % 32 < 4 ? -1.35 : t % 32 < 8 ? -2.5 : 0),
    kinds: [1, 1, 1],
  },
  "of any sign, above 1": {
    gates: Float32Array.from({ length: T }, () => (random() < 0.3 ? -1 : 1) * 1.5 * random()),
    kinds: [2, 2, 2],
  },
};

for (const [name, { gates, kinds }] of Object.entries(cases)) {
  test(
    `decays ${name}: entries are those of their products, blocks of the kind they are`,
    { skip: gpu === null },
    async () => {
      const table = await tableOf(gpu!, gates);
      assertEquals(wrong(gates, table), undefined);
      assertEquals([31, 63, T - 1].map((t) => table[t]!.kind), kinds);
      // A factor next to what it is, a place that multiplies and is not marked.
      const planted = (t: number, change: Partial<Entry>): readonly Entry[] =>
        table.map((entry, n) => n === t ? { ...entry, ...change } : entry);
      assert(wrong(gates, planted(40, { f: table[40]!.f * (1 + 2 ** -17) })) !== undefined, "a factor");
      assert(wrong(gates, planted(40, { kind: 3 - table[40]!.kind })) !== undefined, "a mark");
    },
  );
}
