/** Walks, forward and in reverse, against f64 with a derived bound; faults seen. */
import { after, test } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Gpu } from "../kernels/device.ts";
import type { Fault } from "../kernels/faults.ts";
import { runPlans } from "../kernels/plan.ts";
import { Tensor } from "../kernels/tensor.ts";
import { planWalk, WAITING_ROUNDINGS, type WalkDecay, type WalkOptions } from "../kernels/walk/walk.ts";
import { InputError } from "../models/error.ts";
import { seeded } from "../models/random.ts";
import { POISON32 } from "../oracle/ulp.ts";
import { gpuForTests } from "./gpu.ts";

const gpu = await gpuForTests("walks on the GPU");
after(() => gpu?.close());

function gpuTest(name: string, body: (device: Gpu) => Promise<void>): void {
  test(name, { skip: gpu === null }, () => body(gpu!));
}

const UNIT = 2 ** -24;
const decays: readonly WalkDecay[] = ["none", "scalar", "head", "rows", "columns"];
const waitingDecays = ["scalar", "head"] as const;

interface Case {
  readonly B: number;
  readonly T: number;
  readonly H: number;
  readonly R: number;
  readonly C: number;
  readonly decay: WalkDecay;
  readonly form?: "log" | "factor";
  readonly reverse: boolean;
  /** Whether a token is read before it is added, with a bonus. */
  readonly bonus?: boolean;
}

interface Data {
  readonly x: Float32Array;
  readonly y: Float32Array;
  readonly z: Float32Array;
  readonly g: Float32Array | undefined;
  readonly u?: Float32Array;
  readonly initial: Float32Array;
}

const adversarial = [-104, 0, -0.5, -1e-30, -50, 0, 0, -(2 ** -149)];

/**
 * Decays near 1; the same but for one in 97, behind which hardly anything is left, or one head's; of some tenths, whose products leave the range in
 * which they may wait; and at the ends of what is allowed.
 */
type Kind = "gentle" | "rare" | "fast" | "adversarial";

function dataOf({ B, T, H, R, C, decay, form, reverse, bonus }: Case, kind: Kind = "gentle"): Data {
  const random = seeded(11, "walk", decay, reverse ? 1 : 0);
  const numbers = (n: number): Float32Array => Float32Array.from({ length: n }, () => 2 * random() - 1);
  const gates = { none: 0, scalar: B * T * H, head: H, rows: B * T * H * R, columns: B * T * H * C }[decay];
  return {
    x: numbers(B * T * H * R),
    y: numbers(B * T * H * C),
    z: numbers(B * T * H * R),
    g: gates === 0 ? undefined : Float32Array.from(
      { length: gates },
      (_, n) => {
        const gate = kind === "adversarial"
          ? adversarial[Math.floor(8 * random())]!
          : kind === "rare" && n % 97 === (decay === "head" ? 1 : 40)
          ? -20
          : (kind === "fast" ? -4 : -0.05) * random();
        return form === "factor" ? Math.exp(gate) : gate;
      },
    ),
    initial: numbers(B * H * R * C),
    ...(bonus === true ? { u: numbers(H * R) } : {}),
  };
}

interface Truth {
  readonly outputs: Float64Array;
  readonly final: Float64Array;
  /** Largest error allowed, of each number. */
  readonly outputsAllowed: Float64Array;
  readonly finalAllowed: Float64Array;
}

/**
 * The recurrence in f64; `waiting`: whether decays wait where they can. The bound is carried with it: per entry and token one multiply-add after the product with the gate,
 * itself off by 4 units (3 of the exponential, models/accuracy.ts, and 2^-10 of |g| ≤ 104 more), and R + 2 roundings
 * of what is summed in an output. Before the token is added these are the scale, a product, R − 1 additions and that of
 * the bonus, which meets two products more (kernels/walk/_bonus.ts).
 */
function truthOf(
  { B, T, H, R, C, decay, form, reverse }: Case,
  { x, y, z, g, u, initial }: Data,
  scale: number,
  waiting: boolean = true,
): Truth {
  const own = waiting && !reverse && (decay === "scalar" || decay === "head") ? WAITING_ROUNDINGS : 0;
  const outputs = new Float64Array(B * T * H * C), outputsAllowed = new Float64Array(outputs.length);
  const final = new Float64Array(B * H * R * C), finalAllowed = new Float64Array(final.length);
  const gate = (row: number, h: number, i: number, j: number): number => {
    if (g === undefined) return 1;
    const at = { none: 0, scalar: row, head: h, rows: row * R + i, columns: row * C + j }[decay];
    return form === "factor" ? g[at]! : Math.exp(g[at]!);
  };
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < H; h++) {
      for (let i = 0; i < R; i++) {
        for (let j = 0; j < C; j++) {
          const at = ((b * H + h) * R + i) * C + j;
          let s: number = initial[at]!;
          let size = Math.abs(s);
          let error = 0;
          const decayed = (row: number): void => {
            const a = gate(row, h, i, j);
            error = a * (error + 6 * UNIT * size) + 2 ** -120;
            [s, size] = [a * s, a * size];
          };
          for (let n = 0; n < T; n++) {
            const row = (b * T + (reverse ? T - 1 - n : n)) * H + h;
            const term = x[row * R + i]! * y[row * C + j]!;
            const weight = scale * z[row * R + i]!;
            if (u !== undefined) {
              const added = u[h * R + i]! * term;
              outputs[row * C + j] = outputs[row * C + j]! + weight * (s + added);
              const allowed = error + (R + 3) * UNIT * size + (R + 5) * UNIT * Math.abs(added);
              outputsAllowed[row * C + j]! += Math.abs(weight) * allowed;
            }
            if (!reverse) decayed(row);
            [s, size] = [s + term, size + Math.abs(term)];
            error += 2 * UNIT * size + own * UNIT * Math.abs(term);
            if (u === undefined) {
              outputs[row * C + j] = outputs[row * C + j]! + weight * s;
              outputsAllowed[row * C + j]! += Math.abs(weight) * (error + (R + 3) * UNIT * size);
            }
            if (reverse) decayed(row);
          }
          [final[at], finalAllowed[at]] = [s, error];
        }
      }
    }
  }
  return { outputs, final, outputsAllowed, finalAllowed };
}

interface Ran {
  readonly outputs: Float32Array;
  readonly final: Float32Array;
  readonly dispatches: number;
}

async function ran(device: Gpu, size: Case, data: Data, options: WalkOptions): Promise<Ran> {
  const { B, T, H, R, C, decay, form = "log", reverse } = size;
  const made: Tensor[] = [];
  const tensor = (values: ArrayLike<number>, shape: readonly number[]): Tensor => {
    const t = Tensor.from(device, values, shape);
    made.push(t);
    return t;
  };
  const shapes = { none: [], scalar: [B, T, H], head: [H], rows: [B, T, H, R], columns: [B, T, H, C] };
  const out = tensor(new Float32Array(B * T * H * C).fill(POISON32), [B, T, H, C]);
  const final = tensor(new Float32Array(B * H * R * C).fill(POISON32), [B, H, R, C]);
  const plan = await planWalk(device, {
    x: tensor(data.x, [B, T, H, R]),
    y: tensor(data.y, [B, T, H, C]),
    z: tensor(data.z, [B, T, H, R]),
    ...(data.g === undefined ? {} : { g: tensor(data.g, shapes[decay]) }),
    ...(data.u === undefined ? {} : { u: tensor(data.u, [H, R]) }),
    out,
    initial: tensor(data.initial, [B, H, R, C]),
    final,
  }, { decay, form, reverse, ...options });
  await runPlans(device, "walk", [plan]);
  const result = { outputs: await out.read(), final: await final.read(), dispatches: plan.dispatches.length };
  plan.release();
  made.forEach((t) => t.destroy());
  return result;
}

/** States before chunks of 16 tokens. */
async function chunkStatesOf(
  device: Gpu,
  { B, T, H, R, C, decay, reverse }: Case,
  { x, y, z, g }: Data,
  options: WalkOptions,
): Promise<Float32Array> {
  const states = Tensor.from(device, new Float32Array(B * Math.ceil(T / 16) * H * R * C).fill(POISON32), [
    B,
    Math.ceil(T / 16),
    H,
    R,
    C,
  ]);
  const made = [
    Tensor.from(device, x, [B, T, H, R]),
    Tensor.from(device, y, [B, T, H, C]),
    Tensor.from(device, z, [B, T, H, R]),
    Tensor.from(device, g!, [B, T, H]),
    Tensor.empty(device, [B, T, H, C]),
  ] as const;
  const tensors = { x: made[0], y: made[1], z: made[2], g: made[3], out: made[4], chunkStates: states };
  const plan = await planWalk(device, tensors, { decay, reverse, chunk: 16, ...options });
  await runPlans(device, "walk", [plan]);
  const read = await states.read();
  plan.release();
  [...made, states].forEach((tensor) => tensor.destroy());
  return read;
}

/** The largest number of a true final state. */
const left = ({ final: values }: Truth): number => values.reduce((most, x) => Math.max(most, Math.abs(x)), 0);

/** The first number outside its bound. */
function wrong(got: Float32Array, want: Float64Array, allowed: Float64Array): string | undefined {
  const bad = got.findIndex((x, i) => !(Math.abs(x - want[i]!) <= allowed[i]!));
  return bad < 0 ? undefined : `at ${bad}: got ${got[bad]}, truth ${want[bad]}, allowed ${allowed[bad]}`;
}

// The last in blocks that are all whole, which have no text for others.
const tilings: readonly WalkOptions[] = [
  { unchecked: true },
  { rows: 4, columns: 1, block: 8 },
  { rows: 8, columns: 4, subgroups: false },
  { rows: 4, columns: 4, block: 4, unchecked: true },
];

for (const decay of decays) {
  for (const reverse of [false, true]) {
    gpuTest(`walk ${reverse ? "in reverse" : "forward"}, decay ${decay}: within the derived bound`, async (device) => {
      for (const [n, [T, R, C]] of ([[37, 16, 32], [1, 3, 5], [65, 20, 7], [12, 16, 16]] as const).entries()) {
        const size: Case = { B: 2, T, H: 2, R, C, decay, reverse };
        for (const kind of ["gentle", "fast", "adversarial"] as const) {
          const data = dataOf(size, kind);
          const truth = truthOf(size, data, 0.25);
          const { outputs, final } = await ran(device, size, data, { scale: 0.25, ...tilings[n] });
          assertEquals(wrong(outputs, truth.outputs, truth.outputsAllowed), undefined, `T ${T} ${kind} outputs`);
          assertEquals(wrong(final, truth.final, truth.finalAllowed), undefined, `T ${T} ${kind} final`);
        }
      }
    });
  }
}

for (const decay of decays) {
  gpuTest(`a walk that reads before it adds, decay ${decay}: within the derived bound`, async (device) => {
    type Way = readonly [T: number, R: number, C: number, options: WalkOptions];
    const small: Way = [45, 7, 6, { segments: 3, rows: 4, columns: 2, block: 4 }];
    // Several tokens together, with a text for whole blocks, and one by one; fours of u that change with what an invocation stages.
    const ways: readonly Way[] = decay === "rows"
      ? [small, [37, 16, 32, { unchecked: true }], [16, 8, 8, { rows: 4, block: 4, unchecked: true }], [5, 132, 4, {
        rows: 12,
        columns: 2,
        threads: 32,
        block: 2,
        subgroups: false,
      }]]
      : [small];
    for (const [T, R, C, options] of ways) {
      const size: Case = { B: 2, T, H: 2, R, C, decay, reverse: false, bonus: true };
      for (const kind of ["gentle", "fast", "adversarial"] as const) {
        const data = dataOf(size, kind);
        const truth = truthOf(size, data, 0.25, false);
        const { outputs, final } = await ran(device, size, data, { scale: 0.25, ...options });
        assertEquals(wrong(outputs, truth.outputs, truth.outputsAllowed), undefined, `T ${T} ${kind} outputs`);
        assertEquals(wrong(final, truth.final, truth.finalAllowed), undefined, `T ${T} ${kind} final`);
      }
    }
  });
}

gpuTest("a walk that reads before it adds: faults seen, whole and in segments", async (device) => {
  const size: Case = { B: 1, T: 40, H: 2, R: 8, C: 8, decay: "rows", reverse: false, bonus: true };
  const data = dataOf(size, "fast");
  const truth = truthOf(size, data, 1);
  const faulty = async (options: WalkOptions, given = data): Promise<string | undefined> => {
    const { outputs } = await ran(device, size, given, { block: 8, ...options });
    return wrong(outputs, truth.outputs, truth.outputsAllowed);
  };
  const faults: readonly Fault[] = [{ relative: 2 ** -10 }, "dropped-carry", "swapped-operands"];
  for (const fault of faults) {
    for (const segments of [1, 2]) {
      assert(await faulty({ fault, segments }) !== undefined, `${JSON.stringify(fault)}, ${segments} segments`);
    }
  }
  const { u } = data;
  assertEquals(await faulty({}), undefined);
  assert(await faulty({}, { ...data, u: u!.map((x) => x * (1 + 2 ** -10)) }) !== undefined, "another bonus");
  assert(await faulty({}, { ...data, u: u!.map((_, n) => u![(n + 8) % 16]!) }) !== undefined, "another head's bonus");
});

// With shuffles several tokens are taken together, without them one by one; blocks that are not all there. The
// first by a text of its own for whole blocks, as on hardware. Workgroups that share a sequence's columns, as in the last, have
// the table from a dispatch before them. A workgroup has 32 invocations.
const ways: readonly WalkOptions[] = [
  { rows: 4, columns: 1, block: 8, unroll: 2, unchecked: true },
  { rows: 4, columns: 2, block: 4, subgroups: false },
  { rows: 4, columns: 1, threads: 8, block: 8, subgroups: false },
];
/** The second in two segments, which take a pass for their ends and one for their starts. */
const segmentsOf = (way: WalkOptions): number => way.block === 4 ? 2 : 1;
const dispatchesOf = (way: WalkOptions, waiting: boolean): number =>
  1 + 2 * (segmentsOf(way) - 1) + (waiting && way.threads !== undefined ? 1 : 0);

for (const decay of waitingDecays) {
  for (const form of ["log", "factor"] as const) {
    gpuTest(
      `decays that wait, ${decay}, ${form}: other bits, within the derived bound, faults seen`,
      async (device) => {
        const others = new Set<WalkOptions>();
        for (const kind of ["gentle", "rare", "fast", "adversarial"] as const) {
          for (const way of device.subgroups === undefined ? ways.slice(1) : ways) {
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
        assertEquals(others.size, device.subgroups === undefined ? ways.length - 1 : ways.length, "decays waited");
      },
    );
  }
  gpuTest(`decays that wait, ${decay}: the bits of a prefix are those of the whole`, async (device) => {
    for (const kind of ["gentle", "fast", "adversarial"] as const) {
      for (const way of device.subgroups === undefined ? ways.slice(1) : ways) {
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

// Every kind of decay in both directions, once each, in small kernels; a last segment that is not full.
for (const decay of decays) {
  gpuTest(`a walk in segments, decay ${decay}: within the bound of the whole`, async (device) => {
    for (const [reverse, kind] of [[false, "gentle"], [true, "adversarial"]] as const) {
      const size: Case = { B: 2, T: 45, H: 2, R: 7, C: 6, decay, reverse };
      const columns = decay === "rows" || decay === "scalar" ? 2 : 1;
      const data = dataOf(size, kind);
      const truth = truthOf(size, data, 1);
      const { outputs, final } = await ran(device, size, data, { segments: 3, rows: 4, columns, block: 4 });
      assertEquals(wrong(outputs, truth.outputs, truth.outputsAllowed), undefined, `reverse ${reverse} outputs`);
      assertEquals(wrong(final, truth.final, truth.finalAllowed), undefined, `reverse ${reverse} final`);
    }
    // In blocks that are all whole, of segments too.
    const size: Case = { B: 1, T: 24, H: 2, R: 8, C: 8, decay, reverse: decay === "columns" };
    const data = dataOf(size, "fast");
    const truth = truthOf(size, data, 1);
    const { outputs, final } = await ran(device, size, data, { segments: 3, rows: 4, block: 4, unchecked: true });
    assertEquals(wrong(outputs, truth.outputs, truth.outputsAllowed), undefined, "whole blocks, outputs");
    assertEquals(wrong(final, truth.final, truth.finalAllowed), undefined, "whole blocks, final");
  });
}

// Tokens that are taken together and are not all there: a factor of 0 would end what follows, which the final state is.
for (const decay of ["scalar", "rows", "columns"] as const) {
  gpuTest(`a walk by factors, decay ${decay}: whole and in segments: within the bound`, async (device) => {
    for (const [reverse, segments, kind] of [[false, 1, "adversarial"], [true, 3, "gentle"]] as const) {
      const size: Case = { B: 2, T: 45, H: 2, R: 7, C: 6, decay, form: "factor", reverse };
      const data = dataOf(size, kind);
      const truth = truthOf(size, data, 1);
      const { outputs, final } = await ran(device, size, data, {
        segments,
        rows: 4,
        columns: 2,
        block: 4,
      });
      assertEquals(wrong(outputs, truth.outputs, truth.outputsAllowed), undefined, `reverse ${reverse} outputs`);
      assertEquals(wrong(final, truth.final, truth.finalAllowed), undefined, `reverse ${reverse} final`);
      assert(left(truth) > 0, "what is left at the end");
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
    for (const way of device.subgroups === undefined ? ways.slice(1) : ways) {
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
    const { limits } = device;
    const size: Case = { B: 1, T: 45, H: 2, R: 7, C: 6, decay: "scalar", reverse: false };
    for (const kind of ["rare", "adversarial"] as const) {
      const data = dataOf(size, kind);
      const way = ways[1]!;
      const own = await ran(device, size, data, way);
      // Three rows, the gates, the table, a state before and one after, outputs: one more than this.
      const seven = new Proxy(limits, {
        get: (_, name) => name === "maxStorageBuffersPerShaderStage" ? 7 : limits[name as keyof GPUSupportedLimits],
      });
      Object.defineProperty(device, "limits", { value: seven, configurable: true });
      try {
        const apart = await ran(device, size, data, way);
        assertEquals([own.dispatches, apart.dispatches], [1, 2]);
        assertEquals(apart.outputs, own.outputs);
        assertEquals(apart.final, own.final);
      } finally {
        Object.defineProperty(device, "limits", { value: limits, configurable: true });
      }
    }
  },
);

gpuTest("a walk of no tokens leaves the state as it is, also where decays wait", async (device) => {
  for (const decay of ["none", "scalar", "head"] as const) {
    for (const way of device.subgroups === undefined ? ways.slice(1) : ways) {
      const size: Case = { B: 1, T: 0, H: 2, R: 7, C: 6, decay, reverse: false };
      const data = { ...dataOf(size), ...(decay === "scalar" ? { g: new Float32Array(0) } : {}) };
      const { outputs, final } = await ran(device, size, data, way);
      assertEquals(outputs.length, 0);
      assertEquals(final, data.initial);
    }
  }
});

gpuTest("a walk in segments keeps the states of chunks, and loses a carry where told to", async (device) => {
  const size: Case = { B: 1, T: 70, H: 2, R: 16, C: 4, decay: "scalar", reverse: false };
  const data = dataOf(size);
  const truth = truthOf(size, data, 1);
  const states = await chunkStatesOf(device, size, data, { waiting: false });
  const cut = await chunkStatesOf(device, size, data, { segments: 2, rows: 4 });
  // Both are off by no more than the final state may be, whose bound grows with time.
  const allowed = 2 * Math.max(...truth.finalAllowed) + 2 * UNIT * size.T;
  states.forEach((x, i) => assert(Math.abs(x - cut[i]!) <= allowed, `${i}: ${x}, in segments ${cut[i]}`));
  assert(states.some((x) => x !== 0), "states are there");
  const { outputs } = await ran(device, size, data, { segments: 2, chunk: 16, fault: "dropped-carry" });
  assert(wrong(outputs, truth.outputs, truth.outputsAllowed) !== undefined, "a dropped carry shows");
});

gpuTest("a walk with a fault is seen, in both directions", async (device) => {
  const faults: readonly Fault[] = [{ relative: 2 ** -10 }, "dropped-carry"];
  for (const fault of faults) {
    for (const reverse of [false, true]) {
      const size: Case = { B: 1, T: 40, H: 1, R: 8, C: 8, decay: "rows", reverse };
      const data = dataOf(size);
      const truth = truthOf(size, data, 1);
      const { outputs } = await ran(device, size, data, { fault, block: 8 });
      assert(wrong(outputs, truth.outputs, truth.outputsAllowed) !== undefined, JSON.stringify(fault));
    }
  }
});

gpuTest(
  "a walk resumed at a split is the whole walk, bit for bit: where decays wait, between blocks",
  async (device) => {
    const plain: Case = { B: 1, T: 23, H: 2, R: 8, C: 8, decay: "scalar", reverse: false };
    const cut = (values: Float32Array, from: number, to: number): Float32Array =>
      values.subarray(from * values.length / plain.T, to * values.length / plain.T);
    for (
      const [size, waiting, splits] of [
        [plain, false, [1, 7, 16, 22]],
        [plain, true, [8, 16]],
        [{ ...plain, decay: "rows", bonus: true }, false, [1, 7, 16, 22]],
      ] as const
    ) {
      const data = dataOf(size, "fast");
      const options = { rows: 4, block: 8, waiting };
      const whole = await ran(device, size, data, options);
      for (const split of splits) {
        const part = (from: number, to: number, initial: Float32Array): Data => ({
          x: cut(data.x, from, to),
          y: cut(data.y, from, to),
          z: cut(data.z, from, to),
          g: cut(data.g!, from, to),
          initial,
          ...(data.u === undefined ? {} : { u: data.u }),
        });
        const first = await ran(device, { ...size, T: split }, part(0, split, data.initial), options);
        const rest = await ran(device, { ...size, T: size.T - split }, part(split, size.T, first.final), options);
        assertEquals([...first.outputs, ...rest.outputs], [...whole.outputs], `split ${split}`);
        assertEquals(rest.final, whole.final);
      }
    }
  },
);

gpuTest("unusable tensors and options of a walk are refused in one line", async (device) => {
  const t = (shape: readonly number[], dtype: "f32" | "f16" = "f32"): Tensor => Tensor.empty(device, shape, { dtype });
  const [x, y, z, out] = [t([1, 4, 1, 8]), t([1, 4, 1, 3]), t([1, 4, 1, 8]), t([1, 4, 1, 3])];
  for (
    const attempt of [
      () => planWalk(device, { x, y, z, out }, { decay: "scalar" }),
      () => planWalk(device, { x, y, z, out, g: t([1, 4, 1]) }),
      () => planWalk(device, { x, y, z: y, out }),
      () => planWalk(device, { x, y, z, out: t([1, 4, 1, 3], "f16") }),
      () => planWalk(device, { x, y, z, out, g: t([1], "f16") }, { decay: "head" }),
      () => planWalk(device, { x, y, z, out }, { chunk: 48 }),
      () => planWalk(device, { x, y, z, out }, { rows: 3 }),
      () => planWalk(device, { x, y, z, out }, { segments: 0 }),
      () => planWalk(device, { x, y, z, u: t([1, 8]), out }, { reverse: true }),
      () => planWalk(device, { x, y, z, u: t([8]), out }),
      () => planWalk(device, { x, y, z, u: t([1, 8], "f16"), out }),
    ]
  ) await assertRejects(attempt, InputError, "Cannot");
});
