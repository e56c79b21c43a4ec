/**
 * A model's gradients on the scan, in one submit: the forward pass; what the read-outs give to every state; λ by a
 * shifted scan in reverse time; the gradient of every input from λ and the states. The recurrence itself takes the fused
 * backward scan (backward.ts) for the last three.
 *
 * @module
 */
import type { AnyAffineModel } from "../../models/affine.ts";
import { checkCotangents } from "../../models/backward.ts";
import type { GradientOptions, GradientResult } from "../../models/execution.ts";
import { traceGradient } from "../../models/gradient.ts";
import {
  type Dims,
  inputEntries,
  type Inputs,
  inputWidth,
  prepare,
  prepareState,
  stateLength,
} from "../../models/inputs.ts";
import { FAN, THREADS } from "../_backward_shader.ts";
import { foldShader } from "../_backward_wgsl.ts";
import type { Fault } from "../faults.ts";
import type { Dispatch, Gpu } from "../gpu.ts";
import { Tensor } from "../tensor.ts";
import { compileShader, dispatchItems } from "../wgsl.ts";
import { finite, isParameter, type ModelRun, openRun, SUM_CHUNK } from "./_model_run.ts";
import { inputShader, localShader } from "./_model_shaders.ts";
import { planScanBackward } from "./backward.ts";
import { planScan, type ScanPlan } from "./scan.ts";

/** Runs a model and its backward pass. */
export async function modelGradients(
  gpu: Gpu,
  model: AnyAffineModel,
  dims: Dims,
  inputs: Inputs,
  options: GradientOptions,
  fault: Fault | undefined,
): Promise<GradientResult> {
  const batch = prepare(model, dims, inputs);
  prepareState(model, dims, options.initialState);
  checkCotangents(model, dims, options);
  const final = Float32Array.from(options.finalState ?? new Float32Array(stateLength(model, dims)));
  if (dims.T === 0) {
    const zeros = Object.entries(batch.inputs).map(([name, values]) => [name, new Float32Array(values.length)]);
    return { inputs: Object.fromEntries(zeros), initialState: final };
  }
  const run = await openRun(gpu, model, dims, inputs, options.initialState, fault);
  try {
    const shape = [dims.B, dims.T, run.channels];
    const dhT = run.room([dims.B, run.channels]);
    dhT.write(final);
    const dh0 = run.room([dims.B, run.channels]);
    const backward = run.plain
      ? await plainBackward(gpu, run, Float32Array.from(options.outputs), shape, dhT, dh0, fault)
      : await tracedBackward(gpu, run, dims, Float32Array.from(options.outputs), shape, dhT, dh0, fault);
    try {
      await gpu.run(`${model.name} element-wise gradients`, [...run.dispatches, ...backward.dispatches]);
      const read = await Promise.all(
        Object.entries(backward.results).map(async ([name, tensor]) =>
          [name, finite(model, `the gradient of ${name}`, await tensor.read())] as const
        ),
      );
      return {
        inputs: Object.fromEntries(read),
        initialState: finite(model, "the gradient of the initial state", await dh0.read()),
      };
    } finally {
      backward.plan.release();
    }
  } finally {
    run.release();
  }
}

interface Backward {
  readonly plan: ScanPlan;
  readonly dispatches: readonly Dispatch[];
  readonly results: { readonly [name: string]: Tensor };
}

async function plainBackward(
  gpu: Gpu,
  { a, h, h0, room }: ModelRun,
  outputs: Float32Array,
  shape: readonly number[],
  dhT: Tensor,
  dh0: Tensor,
  fault: Fault | undefined,
): Promise<Backward> {
  const dh = room(shape);
  dh.write(outputs);
  const [da, db] = [room(shape), room(shape)];
  const plan = await planScanBackward(gpu, { a, h, h0, dh, dhT, da, db, dh0 }, {
    layout: "columns",
    ...(fault && { fault }),
  });
  return { plan, dispatches: plan.dispatches, results: { a: da, b: db } };
}

async function tracedBackward(
  gpu: Gpu,
  run: ModelRun,
  dims: Dims,
  outputs: Float32Array,
  shape: readonly number[],
  dhT: Tensor,
  dh0: Tensor,
  fault: Fault | undefined,
): Promise<Backward> {
  const { program, batch: { model }, room, upload } = run;
  const gradient = traceGradient(model, dims.sizes);
  const [dh, lambda] = [room(shape), room(shape)];
  const buffers = { ...run.buffers, d_outputs: upload(outputs), lambda: lambda.buffer };
  const local = dispatchItems(
    await compileShader(gpu, localShader(program, gradient)),
    { ...buffers, cotangents: dh.buffer },
    dh.length,
  );
  const results: { [name: string]: Tensor } = {};
  const ofInputs: Dispatch[] = [];
  for (const [name, spec] of inputEntries(model)) {
    const kernel = await compileShader(gpu, inputShader(program, gradient, name));
    const width = inputWidth(spec, dims.sizes);
    const parameter = isParameter(model, name);
    const rows = dims.B * (parameter ? Math.ceil(dims.T / SUM_CHUNK) : dims.T);
    const result = room([rows, dims.H * width]);
    ofInputs.push(dispatchItems(kernel, { ...buffers, gradient: result.buffer }, result.length));
    results[name] = parameter ? await summed(gpu, run, result, ofInputs) : result;
  }
  const plan = await planScan(gpu, { a: run.a, b: dh, h: lambda, h0: dhT, final: dh0 }, {
    layout: "columns",
    reverse: true,
    shifted: true,
    ...(fault && { fault }),
  });
  return { plan, dispatches: [local, ...plan.dispatches, ...ofInputs], results };
}

/** The sum of the rows of `[rows, columns]`, in a fixed order. */
async function summed(gpu: Gpu, { room, upload }: ModelRun, given: Tensor, dispatches: Dispatch[]): Promise<Tensor> {
  const pipeline = await gpu.compile(foldShader);
  let from = given;
  while (from.shape[0]! > 1) {
    const [rows, columns] = from.shape as [number, number];
    const to = room([Math.ceil(rows / FAN), columns]);
    const named: { readonly [name: string]: GPUBuffer } = {
      extent: upload(new Uint32Array([rows, columns])),
      inputs: from.buffer,
      result: to.buffer,
    };
    const buffers = foldShader.buffers.map((name) => named[name]!);
    dispatches.push({ pipeline, buffers, workgroups: Math.ceil(to.length / THREADS) });
    from = to;
  }
  return from;
}
