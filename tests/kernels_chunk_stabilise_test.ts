/** Gates brought to a shared exponent: the same gates, none of whose products leaves its range. */
import { after, test } from "node:test";
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { stabilise } from "../kernels/chunk/stabilise.ts";
import { runPlans } from "../kernels/plan.ts";
import { Tensor } from "../kernels/tensor.ts";
import { Work } from "../kernels/_work.ts";
import type { InputClass } from "../models/domain.ts";
import { sampleInputs } from "../models/inputs.ts";
import { mlstm } from "../models/mlstm.ts";
import { f64 } from "../models/number.ts";
import { gpuForTests } from "./gpu.ts";

const gpu = await gpuForTests("stabilised gates");
after(() => gpu?.close());

const [B, T, H] = [1, 150, 2];
const FIRST = 5;

/** Gates and exponents of seeded preactivations, `[T][H]`, from exponents of {@link FIRST}. */
async function stabilised(kind: InputClass, tokens = T, ahead = 1): Promise<{ [name: string]: Float32Array }> {
  const whole = sampleInputs(mlstm, { B, T, H, sizes: { K: 1, V: 1 } }, kind, 2);
  const [f, i] = [whole.f, whole.i].map((values) => values!.slice(0, tokens * H));
  const forget = Tensor.from(gpu!, f!, [B, tokens, H]);
  const input = Tensor.from(gpu!, i!, [B, tokens, H]);
  const initial = Tensor.from(gpu!, [1, FIRST, 1, FIRST, 1, FIRST, 1, FIRST], [B, H, 1, 2, 2]);
  const work = new Work(gpu!);
  const made = await stabilise(work, { forget, input, initial, ahead });
  const plan = work.finish({ name: "exponents of gates", variant: "", bytes: 0, operations: 0 });
  await runPlans(gpu!, plan.name, [plan]);
  const read: { [name: string]: Float32Array } = { f: f!, i: i! };
  for (const [name, tensor] of Object.entries(made)) read[name] = await tensor.read();
  plan.release();
  for (const tensor of [forget, input, initial]) tensor.destroy();
  return read;
}

/** The largest product of gates over any run of tokens, by head. */
function largestProduct(gates: Float32Array): number {
  let most = 0;
  for (let h = 0; h < H; h++) {
    for (let from = 0; from < T; from++) {
      let product = 1;
      for (let t = from; t < T; t++) most = Math.max(most, product *= gates[t * H + h]!);
    }
  }
  return most;
}

// Functions of f32 (models/accuracy.ts): 14 units of log f, 3 and 2^−10 for each of |x| of its exponential.
const off = (x: number): number => (3 + (14 + 2 ** -10) * Math.abs(x)) * 2 ** -24;

for (const kind of ["random", "long-memory", "adversarial"] as const) {
  test(`stabilise, ${kind}: exact rescaling, products below 2`, { skip: gpu === null }, async () => {
    const { f, i, forget, input, exponents, first, last, least } = await stabilised(kind);
    assertEquals(least, exponents!.map((m) => 2 ** -m));
    assertEquals(first, new Float32Array(B * H).fill(FIRST));
    assertEquals(last, exponents!.slice(-H));
    assert(exponents!.every((m) => Number.isInteger(m) && m >= 0));
    for (let n = 0; n < T * H; n++) {
      const before = n < H ? FIRST : exponents![n - H]!;
      const m = exponents![n]!;
      const logF = -f64.softplus(-f![n]!);
      const wantF = Math.exp(logF + (before - m) * Math.LN2);
      const wantI = Math.exp(i![n]! - m * Math.LN2);
      assert(Math.abs(forget![n]! - wantF) <= 1.01 * off(logF) * wantF + 2 ** -126, `f′ of ${n}`);
      assert(Math.abs(input![n]! - wantI) <= 1.01 * off(i![n]!) * wantI + 2 ** -126, `i′ of ${n}`);
      assert(input![n]! <= Math.SQRT2 * (1 + 2 ** -20));
    }
    assert(largestProduct(forget!) < 2 * (1 + 2 ** -16));
    // Control: gates that were not rescaled at one token show.
    const skipped = forget!.map((x, n) => n === 20 * H ? 4 * x + 2 : x);
    assert(!(largestProduct(skipped) < 2 * (1 + 2 ** -16)));
    // Nothing depends on what comes after, nor on where a chunk of the scan ends.
    const part = await stabilised(kind, 70);
    assertEquals(part.forget, forget!.slice(0, 70 * H));
    assertEquals(part.exponents, exponents!.slice(0, 70 * H));
  });
}

test("stabilise: tokens loaded ahead, and more chunks than are scanned together", { skip: gpu === null }, async () => {
  // Three rounds of 256 chunks of 16 tokens, the last of them cut.
  const tokens = 9001;
  const inputs = sampleInputs(mlstm, { B: 1, T: tokens, H: 1, sizes: { K: 1, V: 1 } }, "random", 4);
  const tensors = [inputs.f!, inputs.i!].map((values) => Tensor.from(gpu!, values, [1, tokens, 1]));
  const work = new Work(gpu!);
  const [one, two] = [
    await stabilise(work, { forget: tensors[0]!, input: tensors[1]!, ahead: 1 }),
    await stabilise(work, { forget: tensors[0]!, input: tensors[1]!, ahead: 2 }),
  ];
  const plan = work.finish({ name: "exponents of gates", variant: "", bytes: 0, operations: 0 });
  await runPlans(gpu!, plan.name, [plan]);
  const exponents = await one.exponents.read();
  for (const name of ["forget", "input", "exponents", "least", "last"] as const) {
    assertEquals(await two[name].read(), await one[name].read(), name);
  }
  plan.release();
  tensors.forEach((tensor) => tensor.destroy());
  // L in f64: fixed point is off by at most 2^−20 and a rounding a token, so exponents by no more than one.
  let level = 0;
  let off = 0;
  for (let t = 0; t < tokens; t++) {
    const [fall, peak] = [-f64.softplus(-inputs.f![t]!) / Math.LN2, Math.round(inputs.i![t]! / Math.LN2)];
    level = Math.max(level + fall, peak, 0);
    if (exponents[t] !== Math.floor(level)) off++;
    assert(Math.abs(exponents[t]! - Math.floor(level)) <= 1, `m of ${t}`);
  }
  assert(off < tokens / 100, `${off} exponents differ`);
});

test("stabilise without a token keeps the exponents", { skip: gpu === null }, async () => {
  const { first, last, exponents } = await stabilised("random", 0);
  assertEquals([...last!], [...first!]);
  assertEquals(exponents!.length, 0);
  assertNotEquals(first![0], 0);
});
