/**
 * The chunked linear attention family as an execution of the harness: every model of family.ts.
 *
 * @module
 */
import { type AnyAffineModel, outputColumns, stateColumns, stateRows } from "../../models/affine.ts";
import { InputError } from "../../models/error.ts";
import { type Execution, type RunOptions, type RunResult, withRelativeFault } from "../../models/execution.ts";
import { type Dims, inputEntries, type Inputs, prepare, prepareState, stateLength } from "../../models/inputs.ts";
import type { Fault } from "../faults.ts";
import type { FusedFamily, FusedOptions } from "../fused.ts";
import type { Gpu } from "../gpu.ts";
import { matrixUnit } from "../matrix_unit.ts";
import { runPlans } from "../plan.ts";
import { Tensor } from "../tensor.ts";
import { compileShader, dispatchItems, poisonShader } from "../wgsl.ts";
import { gradientsOfChunk } from "./backward.ts";
import { chunkModelOf, requireChunkModel } from "./family.ts";
import type { ChunkTuning } from "./forward.ts";
import { planChunkModel } from "./prepare.ts";
import { chunkRounding } from "./rounding.ts";

export interface ChunkRunOptions extends ChunkTuning {
  readonly fault?: Fault;
}

function finite(model: AnyAffineModel, what: string, values: Float32Array): Float32Array {
  const bad = values.findIndex((x) => !Number.isFinite(x));
  if (bad < 0) return values;
  throw new Error(`Cannot run ${model.name} in f32: ${what} must stay finite, got ${values[bad]} at ${bad}`);
}

/**
 * Runs a model of the family from arrays on the host. Rejects with an {@link InputError} before any GPU work if the inputs
 * leave the model's contract or exceed the device; with an Error if a result overflows f32.
 */
export async function runChunk(
  gpu: Gpu,
  model: AnyAffineModel,
  dims: Dims,
  inputs: Inputs,
  { initialState }: RunOptions = {},
  options: ChunkRunOptions = {},
): Promise<RunResult> {
  const entry = requireChunkModel(model);
  const batch = prepare(model, dims, inputs);
  const { B, T, H, sizes } = dims;
  const start = initialState === undefined ? undefined : Float32Array.from(prepareState(model, dims, initialState));
  const bad = start?.findIndex((x) => !Number.isFinite(x)) ?? -1;
  if (bad >= 0) {
    throw new InputError(
      `Cannot run ${model.name}: the initial state must fit f32, got ${initialState![bad]} at ${bad}`,
    );
  }
  if (T === 0) {
    return { outputs: new Float32Array(0), finalState: start ?? new Float32Array(stateLength(model, dims)) };
  }
  const tensors: Tensor[] = [];
  const kept = (tensor: Tensor): Tensor => {
    tensors.push(tensor);
    return tensor;
  };
  try {
    const given = Object.fromEntries(
      inputEntries(model).map(([name, spec]) => {
        const axes = spec.axes.map((axis) => sizes[axis]!);
        const shape = spec.per === "parameter" ? [H, ...axes] : [B, T, H, ...axes];
        return [name, kept(Tensor.from(gpu, batch.inputs[name]!, shape, { label: name }))];
      }),
    );
    const lane = entry.stabilised === undefined ? [] : [2];
    const stateShape = [B, H, stateRows(model, sizes), stateColumns(model, sizes), ...lane];
    const outputs = kept(Tensor.empty(gpu, [B, T, H, outputColumns(model, sizes)], { label: "outputs" }));
    const final = kept(Tensor.empty(gpu, stateShape, { label: "final state" }));
    const plan = await planChunkModel(gpu, entry, {
      inputs: given,
      outputs,
      final,
      ...(start === undefined
        ? {}
        : { initial: kept(Tensor.from(gpu, start, stateShape, { label: "initial state" })) }),
    }, options);
    try {
      const poison = await compileShader(gpu, poisonShader);
      await gpu.run(
        "poison",
        [outputs, final].map(({ buffer, length }) => dispatchItems(poison, { poisoned: buffer }, length)),
      );
      await runPlans(gpu, plan.name, [plan]);
      return {
        outputs: finite(model, "outputs", await outputs.read()),
        finalState: finite(model, "the final state", await final.read()),
      };
    } finally {
      plan.release();
    }
  } finally {
    for (const tensor of tensors) tensor.destroy();
  }
}

const supports = (model: AnyAffineModel): boolean => chunkModelOf(model) !== undefined;

/** The execution with a tuning of the caller's. */
export function chunkExecution(gpu: Gpu, options: ChunkRunOptions = {}): Execution {
  const asked = {
    ...(options.mode === undefined ? {} : { mode: options.mode }),
    ...(options.hardware === undefined ? {} : { hardware: options.hardware }),
  };
  const { mode, hardware } = matrixUnit(gpu, asked);
  const backward = { ...asked, ...(options.fault === undefined ? {} : { fault: options.fault }) };
  return {
    name: `fused chunks (${gpu.adapter.provider}, ${mode})`,
    rounding: chunkRounding({ ...(options.chunk === undefined ? {} : { chunk: options.chunk }), mode, hardware }),
    accelerated: true,
    supports,
    run: (model, dims, inputs, run) => runChunk(gpu, model, dims, inputs, run, options),
    gradients: (model, dims, inputs, given) => gradientsOfChunk(gpu, model, dims, inputs, given, backward),
    // A chunk's update is combined with the state: S = a S + Kᵀ V, which swapped is S + a Kᵀ V.
    faults: ["relative", "dropped-carry", "swapped-operands"],
    planted: (fault) =>
      fault === "relative"
        ? withRelativeFault(chunkExecution(gpu, options))
        : chunkExecution(gpu, { ...options, fault }),
  };
}

export const chunkFamily: FusedFamily = {
  name: "chunked linear attention",
  supports,
  execution: (gpu: Gpu, { fault }: FusedOptions = {}): Execution =>
    chunkExecution(gpu, fault === undefined ? {} : { fault }),
};
