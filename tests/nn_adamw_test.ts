/** The gradients' norm and AdamW against f64 within derived bounds; clipping, steps that must change nothing, faults seen. */
import { after, test } from "node:test";
import { assert, assertEquals, assertGreater, assertRejects } from "@std/assert";
import { BufferUsage, type Gpu } from "../kernels/gpu.ts";
import { planAdamW } from "../kernels/nn/adamw.ts";
import { normAdditions, planGradientNorm } from "../kernels/nn/gradient_norm.ts";
import { runPlans } from "../kernels/plan.ts";
import { Tensor } from "../kernels/tensor.ts";
import { wgslAccuracy } from "../models/accuracy.ts";
import { InputError } from "../models/error.ts";
import { seeded } from "../models/random.ts";
import { gpuForTests } from "./gpu.ts";

const gpu = await gpuForTests("the optimiser against f64");
after(() => gpu?.close());

function gpuTest(name: string, body: (device: Gpu) => Promise<void>): void {
  test(name, { skip: gpu === null }, () => body(gpu!));
}

const { unit: u, sqrt, div, expm1 } = wgslAccuracy;

/** Relative error of a norm: its square's products and additions, then the root; powers of two are exact. */
const normError = (chunks: number): number => u * ((normAdditions(chunks) + 2) / 2 + sqrt.units);

const uniform = (length: number, size: number, ...words: (string | number)[]): Float32Array => {
  const random = seeded(...words);
  return Float32Array.from({ length }, () => size * (2 * random() - 1));
};

gpuTest(
  "the norm of many gradients is within its bound at any size of their numbers; what is not finite shows",
  async (device) => {
    // Nine tensors take two dispatches; one spans several chunks.
    const lengths = [1, 3, 9000, 64, 4096, 4097, 7, 1, 300];
    const tensors = lengths.map((length) => Tensor.empty(device, [length]));
    const norm = Tensor.from(device, [-1], [1]);
    const plan = await planGradientNorm(device, tensors, { norm });
    const chunks = lengths.reduce((sum, length) => sum + Math.ceil(length / 4096), 0);
    const take = async (arrays: readonly Float32Array[]): Promise<number> => {
      for (const [i, tensor] of tensors.entries()) tensor.write(arrays[i]!);
      await runPlans(device, "norm", [plan]);
      return (await norm.read())[0]!;
    };
    for (const sizes of [[1], [1e30, 1e37, 1], [1e-30, 1e-25], [2 ** 126], [1e-37]]) {
      const arrays = lengths.map((length, i) => uniform(length, sizes[i % sizes.length]!, "norm", i));
      const sum = arrays.reduce((sum, array) => array.reduce((sum, x) => sum + x * x, sum), 0);
      const expected = Math.sqrt(sum);
      const bound = normError(chunks) * 1.01 * expected;
      const got = await take(arrays);
      if (expected >= 2 ** 128) assertEquals(got, Infinity);
      else assert(Math.abs(got - expected) <= bound, `${sizes}: ${got}, expected ${expected} ± ${bound}`);
      if (expected < 2 ** 128) {
        assertGreater(Math.abs(got * (1 + 2 ** -10) - expected), bound);
        // Leaving out the long tensor's last chunk would show.
        const less = Math.sqrt(sum - arrays[2]!.subarray(8192).reduce((sum, x) => sum + x * x, 0));
        if (sizes.length === 1) assertGreater(expected - less, bound);
      }
    }
    const zeros = lengths.map((length) => new Float32Array(length));
    assertEquals(await take(zeros), 0);
    for (const bad of [NaN, Infinity, -Infinity]) {
      for (const [tensor, at] of [[0, 0], [2, 8999], [8, 299]] as const) {
        const arrays = zeros.map((array) => array.slice());
        arrays[tensor]![at] = bad;
        assertEquals(await take(arrays), Infinity, `${bad} in ${tensor}`);
      }
    }
    plan.release();
  },
);

gpuTest(
  "a guard makes every norm infinite from the first that is not finite, until its word is cleared",
  async (device) => {
    const gradient = Tensor.from(device, [3, 4], [2]);
    const [norm, loss, halted] = [0, 1, 0].map((x) => Tensor.from(device, [x], [1])) as [Tensor, Tensor, Tensor];
    const plan = await planGradientNorm(device, [gradient], { norm, guard: { loss, halted } });
    const take = async (x: number, y: number): Promise<number> => {
      loss.write([x]);
      gradient.write([3, y]);
      await runPlans(device, "guarded norm", [plan]);
      return (await norm.read())[0]!;
    };
    const five = await take(1, 4);
    assert(Math.abs(five - 5) <= 5 * normError(1), `${five}`);
    for (const [x, y] of [[NaN, 4], [Infinity, 4], [-Infinity, 4], [1, NaN], [1, Infinity]] as const) {
      assertEquals([await take(x, y), await take(1, 4), await take(1, 4)], [Infinity, Infinity, Infinity], `${x} ${y}`);
      halted.write([0]);
      assertEquals(await take(1, 4), five);
    }
    plan.release();
    for (const tensor of [gradient, norm, loss, halted]) tensor.destroy();
  },
);

interface Moments {
  readonly p: Float64Array;
  readonly m: Float64Array;
  readonly v: Float64Array;
}

interface Settings {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly clip: number;
  readonly weightDecay: number;
}

/** One step in f64. */
function stepOf(
  { p, m, v }: Moments,
  g: ArrayLike<number>,
  norm: number,
  { step, rate, decay, beta1, beta2, epsilon, clip }: Settings & {
    readonly step: number;
    readonly rate: number;
    readonly decay: number;
  },
): void {
  const factor = Math.min(1, clip / norm);
  for (let i = 0; i < p.length; i++) {
    const x = g[i]! * factor;
    m[i] = beta1 * m[i]! + (1 - beta1) * x;
    v[i] = beta2 * v[i]! + (1 - beta2) * x * x;
    const first = m[i]! / (1 - beta1 ** step), second = v[i]! / (1 - beta2 ** step);
    p[i]! -= rate * (first / (Math.sqrt(second) + epsilon) + decay * p[i]!);
  }
}

gpuTest(
  "AdamW follows f64 for 20 steps, clipped and not, decaying and not; a step that is not finite changes nothing",
  async (device) => {
    const settings: Settings = { beta1: 0.9, beta2: 0.99, epsilon: 1e-6, clip: 3, weightDecay: 0.1 };
    const lengths = [130, 7];
    const decays = [true, false];
    const tensors = (name: string): Tensor[] =>
      lengths.map((length, i) =>
        Tensor.from(device, name === "" ? new Float32Array(length) : uniform(length, 1, name, i), [length])
      );
    const parameters = tensors("p"), gradients = tensors("g"), first = tensors(""), second = tensors("");
    const norm = Tensor.empty(device, [1]), loss = Tensor.from(device, [1], [1]);
    const knobs = device.createBuffer({ bytes: 16, usage: BufferUsage.UNIFORM | BufferUsage.COPY_DST });
    const plans = [
      await planGradientNorm(device, gradients, { norm }),
      await planAdamW(device, { parameters, gradients, first, second, norm, loss, knobs }, { ...settings, decays }),
    ];
    const run = async (steps: number, rate: number): Promise<void> => {
      const words = new Uint32Array([steps, 0, 0, 0]);
      new Float32Array(words.buffer)[2] = rate;
      device.write(knobs, words);
      await runPlans(device, "adamw", plans);
    };
    const truth: Moments[] = lengths.map((length, i) => ({
      p: Float64Array.from(uniform(length, 1, "p", i)),
      m: new Float64Array(length),
      v: new Float64Array(length),
    }));
    const magnitudes = lengths.map((length) => new Float64Array(length));
    const bounds = lengths.map((length) => new Float64Array(length));
    // The same with the clipping left out, and with every parameter decaying: faults.
    const faulty = [{ clip: Infinity, decays }, { clip: 3, decays: [true, true] }].map((fault) => ({
      ...fault,
      truth: truth.map(({ p, m, v }) => ({ p: p.slice(), m: m.slice(), v: v.slice() })),
    }));
    let clipped = 0;
    for (let step = 1; step <= 20; step++) {
      const rate = Math.fround(0.01 * step);
      const g = lengths.map((length, i) => uniform(length, step % 3 === 0 ? 2 : 0.3, "g", i, step));
      for (const [i, tensor] of gradients.entries()) tensor.write(g[i]!);
      await run(step - 1, rate);
      const length = Math.sqrt(g.reduce((sum, array) => array.reduce((sum, x) => sum + x * x, sum), 0));
      if (length > settings.clip) clipped++;
      for (const fault of faulty) {
        for (const [i, of] of fault.truth.entries()) {
          stepOf(of, g[i]!, length, { ...settings, clip: fault.clip, step, rate, decay: fault.decays[i] ? 0.1 : 0 });
        }
      }
      // A clipped gradient: the norm's error, a quotient, a product. Moments: in each step β and its complement, each rounded,
      // two products and an addition; a square has twice the gradient's error.
      const ofGradient = normError(3) + (div.units + 1) * u;
      const ofFirst = ofGradient + 5 * u * step;
      const ofSecond = 2 * ofGradient + u + 5 * u * step;
      for (const [i, of] of truth.entries()) {
        const decay = decays[i] ? 0.1 : 0;
        stepOf(of, g[i]!, length, { ...settings, step, rate, decay });
        for (let at = 0; at < of.p.length; at++) {
          magnitudes[i]![at] = 0.9 * magnitudes[i]![at]! +
            0.1 * Math.abs(g[i]![at]!) * Math.min(1, settings.clip / length);
          const correction = 1 - 0.9 ** step;
          const root = Math.sqrt(of.v[at]! / (1 - 0.99 ** step)) + settings.epsilon;
          const update = Math.abs(of.m[at]!) / correction / root;
          // Corrections: the logarithm of β and its product are rounded, relative errors that 1 − e^x passes on; the
          // exponential's own. Then the quotient and the root, ε and its sum, two quotients.
          const argument = (beta: number): number => step * -Math.log(beta);
          const ofCorrection = (beta: number): number => u * (2 + expm1.units + expm1.perArgument * argument(beta));
          const ofRoot = (ofSecond + ofCorrection(0.99) + div.units * u) / 2 + (sqrt.units + 2) * u;
          const error = magnitudes[i]![at]! * ofFirst / correction / root +
            update * (ofCorrection(0.9) + 2 * div.units * u + ofRoot);
          // Decay rounded and its product, their sum, the rate's product, the difference.
          bounds[i]![at]! += 1.01 * (rate * (error + 3 * u * (update + decay * Math.abs(of.p[at]!))) +
                u * Math.abs(of.p[at]!)) + u * rate * update;
        }
      }
    }
    assertGreater(clipped, 3);
    const excess = (got: ArrayLike<number>, i: number): number =>
      truth[i]!.p.reduce((worst, p, at) => Math.max(worst, Math.abs(got[at]! - p) / bounds[i]![at]!), 0);
    const got = await Promise.all(parameters.map((tensor) => tensor.read()));
    for (const [i, array] of got.entries()) {
      const worst = excess(array, i);
      assert(worst <= 1, `parameter ${i} is off by ${worst} bounds`);
      assertGreater(excess(array.map((x) => x * (1 + 2 ** -10)), i), 1);
    }
    assertGreater(excess(faulty[0]!.truth[0]!.p, 0), 1);
    assertGreater(excess(faulty[1]!.truth[1]!.p, 1), 1);
    const all = (): Promise<Float32Array[]> =>
      Promise.all([...parameters, ...first, ...second].map((tensor) => tensor.read()));
    const before = await all();
    for (const bad of [NaN, Infinity, -Infinity]) {
      loss.write([bad]);
      await run(20, 0.1);
      assertEquals(await all(), before, `loss ${bad}`);
      loss.write([1]);
      const g = uniform(7, 1, "bad");
      g[3] = bad;
      gradients[1]!.write(g);
      await run(20, 0.1);
      assertEquals(await all(), before, `gradient ${bad}`);
      gradients[1]!.write(uniform(7, 1, "good"));
    }
    await run(20, 0.1);
    assert((await parameters[1]!.read()).some((x, i) => x !== before[1]![i]));
    for (const plan of plans) plan.release();
  },
);

gpuTest("AdamW refuses what does not fit", async (device) => {
  const one = [Tensor.empty(device, [2])], other = [Tensor.empty(device, [3])], norm = Tensor.empty(device, [1]);
  const knobs = device.createBuffer({ bytes: 16, usage: BufferUsage.UNIFORM | BufferUsage.COPY_DST });
  const tensors = { parameters: one, gradients: one, first: one, second: one, norm, knobs };
  await assertRejects(() => planAdamW(device, { ...tensors, gradients: other }), InputError, "gradient 0 must be [2]");
  await assertRejects(() => planAdamW(device, { ...tensors, first: [] }), InputError, "first must be 1, got 0");
  await assertRejects(() => planAdamW(device, tensors, { beta1: 1 }), InputError, "beta1");
  await assertRejects(() => planAdamW(device, tensors, { decays: [] }), InputError, "decays must be 1");
  await assertRejects(() => planGradientNorm(device, one, { norm: one[0]! }), InputError, "norm must be [1]");
});
