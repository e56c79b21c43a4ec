/**
 * Mamba's selective scan as it is timed, in mamba_ssm's layout: `u, delta, z, y [B, D, T]`, `B, C [B, N, T]`.
 *
 * @module
 */
import type { Gpu } from "../../kernels/device.ts";
import { planSelectiveScanBackward } from "../../kernels/selective/backward.ts";
import { CHUNK, planSelectiveScan, statesShape } from "../../kernels/selective/forward.ts";
import { type Plan, runPlans } from "../../kernels/plan.ts";
import type { SelectiveInputs } from "../../kernels/selective/tensors.ts";
import { Tensor } from "../../kernels/tensor.ts";
import { lineError, worstError } from "./errors.ts";
import type { FusedLine, LineError, LineShape, Prepared, Variant } from "./line.ts";
import { randomTensor } from "./random.ts";
import { type Bounded, channelGradients, channelOutputs, type ChannelRow, readChannel } from "./selective_truth.ts";

/** mamba_ssm's own figures are for these. */
const shapes: readonly LineShape[] = [
  { B: 8, D: 2048, T: 4096, N: 16 },
  { B: 8, D: 2048, T: 16384, N: 16 },
  { B: 1, D: 2048, T: 65536, N: 16 },
];
const small: LineShape = { B: 2, D: 24, T: 200, N: 16 };

type Options = Variant["options"];

const variant = (name: string, options: Options = {}): Variant => ({ name, options });

/** Channels whose outputs are compared with f64: (batch row, channel). */
function sampled({ B, D }: { readonly B: number; readonly D: number }): readonly (readonly [number, number])[] {
  return [[0, 0], [B - 1, D - 1], [Math.floor(B / 2), Math.floor(D / 3)]];
}

/** The inputs of a line, in the ranges of inputs.json; `full`: with D, z, the bias, and Δ through softplus. */
async function inputsOf(gpu: Gpu, { B, D, T, N }: Extents, full: boolean): Promise<SelectiveInputs> {
  const tensor = (seed: number, shape: readonly number[], low: number, high: number): Promise<Tensor> =>
    randomTensor(gpu, shape, { seed, low, high });
  const inputs = {
    u: await tensor(1, [B, D, T], -1, 1),
    delta: full ? await tensor(2, [B, D, T], -4, 0) : await tensor(2, [B, D, T], 0, 0.1),
    A: await tensor(3, [N, D], -1.5, -0.5),
    B: await tensor(4, [B, N, T], -1, 1),
    C: await tensor(5, [B, N, T], -1, 1),
  };
  if (!full) return inputs;
  return {
    ...inputs,
    D: await tensor(6, [D], -1, 1),
    deltaBias: await tensor(7, [D], -1, 0),
    z: await tensor(8, [B, D, T], -1, 1),
  };
}

interface Extents {
  readonly B: number;
  readonly D: number;
  readonly T: number;
  readonly N: number;
}

function extentsOf(shape: LineShape): Extents {
  return { B: shape["B"]!, D: shape["D"]!, T: shape["T"]!, N: shape["N"]! };
}

const tensorsOf = (inputs: SelectiveInputs): Tensor[] =>
  Object.values(inputs).filter((tensor): tensor is Tensor => tensor !== undefined);

/** The error of one array against its truth, and the largest that its radii allow, over the root mean square. */
function boundedError(got: Float32Array, { truth, radius }: Bounded): LineError {
  const rms = Math.sqrt(truth.reduce((sum, x) => sum + x * x, 0) / truth.length);
  return lineError(got, truth, radius.reduce((most, r) => Math.max(most, r), 0) / (rms > 0 ? rms : 1));
}

async function prepareForward(gpu: Gpu, shape: LineShape, { options }: Variant, full: boolean): Promise<Prepared> {
  const extents = extentsOf(shape);
  const { B, D, T, N } = extents;
  const inputs = await inputsOf(gpu, extents, full);
  const y = Tensor.empty(gpu, [B, D, T]);
  const finalState = Tensor.empty(gpu, [B, N, D]);
  const plan = await planSelectiveScan(gpu, { ...inputs, y, finalState }, {
    ...options,
    layout: "channels-first",
    softplus: full,
  });
  return {
    plans: [plan],
    tokens: B * T,
    async check() {
      const errors = [];
      for (const [b, d] of sampled(extents)) {
        const row = await readChannel(gpu, { ...extents, L: T }, inputs, b, d, full);
        const got = await gpu.read(y.buffer, Float32Array, { offset: (b * D + d) * T, length: T });
        errors.push(boundedError(got, channelOutputs(row)));
      }
      return worstError(errors);
    },
    release() {
      plan.release();
      for (const tensor of [...tensorsOf(inputs), y, finalState]) tensor.destroy();
    },
  };
}

async function prepareBackward(gpu: Gpu, shape: LineShape, { options }: Variant): Promise<Prepared> {
  const extents = extentsOf(shape);
  const { B, D, T, N } = extents;
  const { keep = true, ...tuning } = options as { readonly keep?: boolean; readonly chunk?: number };
  const chunk = tuning.chunk ?? CHUNK;
  const inputs = await inputsOf(gpu, extents, true);
  const channel = (): Tensor => Tensor.empty(gpu, [B, D, T]);
  const states = keep ? Tensor.empty(gpu, statesShape({ B, T, D, N }, chunk)) : undefined;
  const gradients = {
    du: channel(),
    ddelta: channel(),
    dz: channel(),
    dA: Tensor.empty(gpu, [N, D]),
    dB: Tensor.empty(gpu, [B, N, T]),
    dC: Tensor.empty(gpu, [B, N, T]),
    dD: Tensor.empty(gpu, [D]),
    ddeltaBias: Tensor.empty(gpu, [D]),
  };
  const dy = await randomTensor(gpu, [B, D, T], { seed: 9, low: -1, high: 1 });
  const layout = "channels-first";
  if (states !== undefined) {
    // As in training: the forward pass, which is not part of the figure, keeps its states.
    const y = gradients.du;
    const forward = await planSelectiveScan(gpu, { ...inputs, y, states }, { layout, chunk });
    await runPlans(gpu, "selective scan forward", [forward]);
    await gpu.done();
    forward.release();
  }
  const kept = states === undefined ? {} : { states };
  const plan: Plan = await planSelectiveScanBackward(gpu, { ...inputs, ...gradients, ...kept, dy }, {
    ...tuning,
    layout,
  });
  return {
    plans: [plan],
    tokens: B * T,
    async check() {
      const errors = [];
      for (const [b, d] of sampled(extents)) {
        const row: ChannelRow = await readChannel(gpu, { ...extents, L: T }, inputs, b, d, true);
        const part = { offset: (b * D + d) * T, length: T };
        const truth = channelGradients(row, await gpu.read(dy.buffer, Float32Array, part));
        for (const name of ["du", "ddelta", "dz"] as const) {
          const got = await gpu.read(gradients[name].buffer, Float32Array, part);
          errors.push(boundedError(got, truth[name]));
        }
      }
      return worstError(errors);
    },
    release() {
      plan.release();
      for (const tensor of [...tensorsOf(inputs), ...Object.values(gradients), dy]) tensor.destroy();
      states?.destroy();
    },
  };
}

const forwardVariants: readonly Variant[] = [
  variant("default"),
  variant("2 modes", { modes: 2 }),
  variant("8 modes", { modes: 8, tile: 32, threads: 64, segments: 1 }),
  variant("16 modes", { modes: 16, tile: 32, threads: 64, segments: 1 }),
  variant("1 mode", { modes: 1 }),
  variant("memory", { reduce: "memory" }),
  variant("memory far", { reduce: "memory", order: "far" }),
  variant("2 modes memory", { modes: 2, reduce: "memory" }),
  variant("near", { order: "near" }),
  variant("no prefetch", { prefetch: false }),
  variant("2 modes, no prefetch", { modes: 2, prefetch: false }),
  variant("64 threads", { threads: 64 }),
  variant("256 threads", { threads: 256 }),
  variant("32 threads", { threads: 32 }),
  variant("tile 16", { tile: 16 }),
  variant("tile 64", { tile: 64 }),
  variant("tile 64, 64 threads", { tile: 64, threads: 64 }),
  variant("2 modes, 256 threads", { modes: 2, threads: 256 }),
  variant("2 modes, tile 64", { modes: 2, tile: 64 }),
  variant("1 segment", { segments: 1 }),
  variant("2 segments", { segments: 2 }),
  variant("4 segments", { segments: 4 }),
  variant("8 segments", { segments: 8 }),
  variant("2 modes, 2 segments", { modes: 2, segments: 2 }),
  variant("2 modes, 4 segments", { modes: 2, segments: 4 }),
  variant("8 modes, 2 segments", { modes: 8, tile: 32, threads: 64, segments: 2 }),
  variant("8 modes, 8 segments", { modes: 8, tile: 32, threads: 64, segments: 8 }),
  variant("16 modes, 4 segments", { modes: 16, tile: 32, threads: 64, segments: 4 }),
  variant("accurate exp", { exp: "accurate" }),
];

const backwardVariants: readonly Variant[] = [
  variant("default"),
  variant("2 modes", { modes: 2 }),
  variant("8 modes", { modes: 8 }),
  variant("1 mode", { modes: 1 }),
  variant("memory", { reduce: "memory" }),
  variant("near", { order: "near" }),
  variant("no prefetch", { prefetch: false }),
  variant("64 threads", { threads: 64 }),
  variant("2 modes, 64 threads", { modes: 2, threads: 64 }),
  variant("2 modes, 256 threads", { modes: 2, threads: 256 }),
  variant("chunk 32, 64 threads", { chunk: 32, threads: 64 }),
  variant("2 modes, chunk 32", { modes: 2, chunk: 32 }),
  variant("chunk 8", { chunk: 8 }),
  variant("no prefetch, 64 threads", { prefetch: false, threads: 64 }),
  variant("2 modes, no prefetch", { modes: 2, prefetch: false }),
  variant("64 threads, 2 segments", { threads: 64, segments: 2 }),
  variant("2 modes, 4 segments", { modes: 2, segments: 4 }),
  variant("1 segment", { segments: 1 }),
  variant("2 segments", { segments: 2 }),
  variant("4 segments", { segments: 4 }),
  variant("8 segments", { segments: 8 }),
  variant("states made again", { keep: false }),
  variant("accurate exp", { exp: "accurate" }),
];

export const selectiveLines: readonly FusedLine[] = [
  {
    name: "selective scan forward",
    dtype: "f32",
    shapes,
    small,
    variants: forwardVariants,
    prepare: (gpu, shape, variant) => prepareForward(gpu, shape, variant, false),
  },
  {
    name: "selective scan forward full",
    dtype: "f32",
    shapes,
    small,
    variants: forwardVariants,
    prepare: (gpu, shape, variant) => prepareForward(gpu, shape, variant, true),
  },
  {
    name: "selective scan backward full",
    dtype: "f32",
    shapes,
    small,
    variants: backwardVariants,
    prepare: prepareBackward,
  },
];
