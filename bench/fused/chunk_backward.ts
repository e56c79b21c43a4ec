/**
 * Gradients of the chunked linear attention family, alone and with the forward pass.
 *
 * @module
 */
import {
  type ChunkBackwardTensors,
  type ChunkBackwardTuning,
  planChunkBackward,
} from "../../kernels/chunk/backward.ts";
import { type Decay, gateShape } from "../../kernels/chunk/family.ts";
import { planChunkForward } from "../../kernels/chunk/forward.ts";
import type { Gpu } from "../../kernels/device.ts";
import { type Plan, runPlans } from "../../kernels/plan.ts";
import { Tensor } from "../../kernels/tensor.ts";
import { checkChunks } from "./chunk_backward_check.ts";
import type { FusedLine, LineError, LineShape, Prepared, Variant } from "./line.ts";
import { randomTensor } from "./random.ts";

/** `forward+backward`: the forward kernel keeps the states that the backward ones start from. */
type Passes = "backward" | "forward+backward";

const GATES = { low: -0.1, high: 0 } as const;

/** Log gates of RetNet's heads. */
function retentionGates(H: number): Float32Array {
  return Float32Array.from({ length: H }, (_, h) => Math.log(1 - 2 ** (-5 - h)));
}

function tuningOf(options: Variant["options"]): ChunkBackwardTuning {
  const { states: _, ...tuning } = options;
  return tuning as ChunkBackwardTuning;
}

async function prepare(
  gpu: Gpu,
  decay: Decay,
  passes: Passes,
  { B = 1, T = 1, H = 1, K = 1, V = 1 }: LineShape,
  options: Variant["options"],
): Promise<Prepared> {
  const tuning = tuningOf(options);
  const tensors: Tensor[] = [];
  const plans: Plan[] = [];
  const keep = <R extends Tensor>(tensor: R): R => {
    tensors.push(tensor);
    return tensor;
  };
  const random = async (shape: readonly number[], seed: number, low: number, high: number): Promise<Tensor> =>
    keep(await randomTensor(gpu, shape, { seed, low, high }));
  const empty = (shape: readonly number[]): Tensor => keep(Tensor.empty(gpu, shape));
  try {
    const gates = gateShape(decay, { B, T, H, K });
    const inputs = {
      q: await random([B, T, H, K], 1, -1, 1),
      k: await random([B, T, H, K], 2, -1, 1),
      v: await random([B, T, H, V], 3, -1, 1),
      ...(gates === undefined ? {} : {
        g: decay.per === "head"
          ? keep(Tensor.from(gpu, retentionGates(H), [H]))
          : await random(gates, 4, GATES.low, GATES.high),
      }),
    };
    const scale = Math.fround(K ** -0.5);
    const gradients = {
      dq: empty([B, T, H, K]),
      dk: empty([B, T, H, K]),
      dv: empty([B, T, H, V]),
      ...(gates === undefined ? {} : { dg: empty(gates) }),
      dInitial: empty([B, H, K, V]),
    };
    const backward: ChunkBackwardTensors = { ...inputs, dO: await random([B, T, H, V], 5, -1, 1), ...gradients };
    // What the device's own choice of chunks is, its plan says.
    const trial = await planChunkBackward(gpu, backward, { ...tuning, decay, scale });
    const chunk = Number(/chunk (\d+),/.exec(trial.variant)![1]);
    trial.release();
    const chunks = Math.ceil(T / chunk);
    const states = empty([B, chunks, H, K, V]);
    const forward = passes === "forward+backward" || options["states"] === "given"
      ? await planChunkForward(gpu, { ...inputs, o: empty([B, T, H, V]), chunkStates: states }, { decay, scale, chunk })
      : undefined;
    if (forward !== undefined) {
      plans.push(forward);
      if (passes === "backward") await runPlans(gpu, "states", [forward]);
    }
    const given = forward === undefined ? {} : { chunkStates: states };
    const plan = await planChunkBackward(gpu, { ...backward, ...given }, { ...tuning, decay, scale });
    plans.push(plan);

    const check = async (): Promise<LineError> => {
      const cotangents = Tensor.empty(gpu, [B, chunks, H, K, V]);
      const kept = { keptCotangents: cotangents, ...(forward === undefined ? { keptStates: states } : given) };
      const again = await planChunkBackward(gpu, { ...backward, ...kept }, { ...tuning, decay, scale });
      try {
        await runPlans(gpu, "kept states", [again]);
        return await checkChunks(gpu, { ...backward, ...gradients, states, cotangents }, {
          decay,
          scale,
          chunk,
          tuning,
        });
      } finally {
        again.release();
        cotangents.destroy();
      }
    };
    return {
      plans: passes === "backward" ? [plan] : plans,
      tokens: B * T * H,
      check,
      release() {
        for (const made of plans) made.release();
        for (const tensor of tensors) tensor.destroy();
      },
    };
  } catch (error) {
    for (const made of plans) made.release();
    for (const tensor of tensors) tensor.destroy();
    throw error;
  }
}

const shapes: readonly LineShape[] = [{ B: 8, T: 4096, H: 16, K: 64, V: 64 }, { B: 4, T: 4096, H: 8, K: 128, V: 128 }];
const small: LineShape = { B: 1, T: 80, H: 2, K: 16, V: 16 };

const tunings: readonly Variant[] = [
  { name: "default", options: {} },
  { name: "split", options: { mode: "split" } },
  { name: "two kernels", options: { fused: false } },
  { name: "split, two kernels", options: { mode: "split", fused: false } },
  { name: "rolled", options: { unrolled: false } },
  { name: "chunk 16", options: { chunk: 16 } },
  { name: "chunk 16, split", options: { chunk: 16, mode: "split" } },
  { name: "slice 32", options: { slice: 32 } },
  { name: "columns 16", options: { columns: 16 } },
  { name: "columns 64", options: { columns: 64, slice: 64 } },
  { name: "4 segments", options: { segments: 4 } },
];

function line(model: string, decay: Decay, passes: Passes): FusedLine {
  const variants = passes === "forward+backward"
    ? tunings
    : [...tunings, { name: "states given", options: { states: "given" } }];
  return {
    name: `${model} chunk ${passes}`,
    dtype: "f32",
    shapes,
    small,
    variants,
    prepare: (gpu, shape, { options }) => prepare(gpu, decay, passes, shape, options),
  };
}

const models: readonly (readonly [string, Decay])[] = [
  ["gla", { kind: "diagonal" }],
  ["linear-attention", { kind: "none" }],
  ["retnet", { kind: "scalar", per: "head" }],
  ["mamba2", { kind: "scalar" }],
];

export const chunkBackwardLines: readonly FusedLine[] = models.flatMap(([model, decay]) => [
  line(model, decay, "forward+backward"),
  line(model, decay, "backward"),
]);
