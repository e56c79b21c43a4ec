/**
 * A model's gradients on the scan, on tensors: the forward pass; what the read-outs give to every state; λ by a
 * shifted scan in reverse time; the gradient of every input from λ and the states. The recurrence itself takes the fused
 * backward scan (backward.ts) for the last three.
 *
 * @module
 */
import type { AnyAffineModel } from "../../models/affine.ts";
import { type TracedGradient, traceGradient } from "../../models/gradient.ts";
import { type Dims, inputEntries, inputWidth } from "../../models/inputs.ts";
import type { Gpu } from "../gpu.ts";
import type { LayerGradientTensors, LayerOptions } from "../mixer/layer.ts";
import type { ModelProgram } from "../model_program.ts";
import type { Plan } from "../plan.ts";
import type { Tensor } from "../tensor.ts";
import { addFolds } from "../_folds.ts";
import { compileShader, dispatchItems, type Shader } from "../wgsl.ts";
import { Work } from "../_work.ts";
import { addLift, type ScanModel, scanModel, SUM_CHUNK, tuningOf, viewed } from "./_model_plan.ts";
import { inputShader, liftShader, localShader } from "./_model_shaders.ts";
import { planScanBackward } from "./backward.ts";
import { planScan, type ScanPlan } from "./scan.ts";

/** Plans the gradients of T ≥ 1 tokens. */
export async function planModelScanBackward(
  gpu: Gpu,
  model: AnyAffineModel,
  dims: Dims,
  tensors: LayerGradientTensors,
  options: LayerOptions,
): Promise<Plan> {
  const work = new Work(gpu);
  try {
    const gradient = traceGradient(model, dims.sizes);
    const shaders = (program: ModelProgram): Shader[] => [
      liftShader(program),
      localShader(program, gradient),
      ...Object.keys(tensors.gradients).map((name) => inputShader(program, gradient, name)),
    ];
    const scanned = await scanModel(work, model, dims, tensors.inputs, shaders);
    const scan = scanned.plain
      ? await addPlain(work, dims, scanned, tensors, options)
      : await addTraced(work, dims, scanned, gradient, tensors, options);
    const { inputs, gradients, dOutputs, initial, dFinal, dInitial } = tensors;
    const given = [...Object.values(inputs), ...Object.values(gradients), dOutputs, initial, dFinal, dInitial];
    return work.finish({
      name: `${model.name} element-wise backward`,
      variant: scan.variant,
      bytes: given.reduce((sum, tensor) => sum + (tensor?.bytes ?? 0), 0),
      operations: 3 * scan.operations,
    });
  } catch (error) {
    work.release();
    throw error;
  }
}

/** States and their ends in the scan's shapes. */
interface Ends {
  readonly shape: readonly number[];
  readonly h0: { readonly h0?: Tensor };
  readonly dhT: Tensor | undefined;
  readonly dh0: Tensor | undefined;
}

function endsOf({ B, T }: Dims, { channels }: ScanModel, { initial, dFinal, dInitial }: LayerGradientTensors): Ends {
  const view = (tensor: Tensor | undefined): Tensor | undefined => tensor && viewed(tensor, [B, channels]);
  const h0 = view(initial);
  return {
    shape: [B, T, channels],
    h0: h0 === undefined ? {} : { h0 },
    dhT: view(dFinal),
    dh0: view(dInitial),
  };
}

/** The states: outputs where these are all of them, or the forward scan again, from inputs `b` that may be overwritten later. */
async function addStates(
  work: Work,
  { bare }: ScanModel,
  { shape, h0 }: Ends,
  { a, b }: { readonly a: Tensor; readonly b: Tensor | undefined },
  { outputs }: LayerGradientTensors,
  options: LayerOptions,
): Promise<Tensor> {
  if (bare && outputs !== undefined) return viewed(outputs, shape);
  const h = work.room("states", shape);
  work.plan(await planScan(work.gpu, { a, b: b!, h, ...h0 }, { layout: "columns", ...tuningOf(options) }));
  return h;
}

async function addPlain(
  work: Work,
  dims: Dims,
  scanned: ScanModel,
  tensors: LayerGradientTensors,
  options: LayerOptions,
): Promise<ScanPlan> {
  const ends = endsOf(dims, scanned, tensors);
  const { shape, h0, dhT, dh0 } = ends;
  const { gradients, accumulate, dOutputs, inputs } = tensors;
  const lifted = await addLift(work, scanned, dims, inputs);
  const h = await addStates(work, scanned, ends, lifted, tensors, options);
  const added = ["a", "b"].filter((name) => gradients[name] !== undefined && accumulate?.has(name) === true);
  const result = (name: string): Tensor =>
    viewed(
      added.includes(name) ? work.room(`gradient of ${name}`, shape) : gradients[name] ?? work.room(name, shape),
      shape,
    );
  const [da, db] = [result("a"), result("b")];
  const plan = await planScanBackward(work.gpu, {
    a: lifted.a,
    h,
    ...h0,
    dh: viewed(dOutputs, shape),
    ...(dhT === undefined ? {} : { dhT }),
    da,
    db,
    ...(dh0 === undefined ? {} : { dh0 }),
  }, { layout: "columns", ...tuningOf(options) });
  work.plan(plan);
  for (const name of added) await work.copy(name === "a" ? da : db, viewed(gradients[name]!, shape), { how: "add" });
  return plan;
}

async function addTraced(
  work: Work,
  dims: Dims,
  scanned: ScanModel,
  gradient: TracedGradient,
  tensors: LayerGradientTensors,
  options: LayerOptions,
): Promise<ScanPlan> {
  const { program, bare, channels } = scanned;
  const { inputs, outputs, dOutputs, gradients, accumulate, initial } = tensors;
  const { gpu } = work;
  const { B, T, H, sizes } = dims;
  const ends = endsOf(dims, scanned, tensors);
  const { shape, dhT, dh0 } = ends;
  const lifted = await addLift(work, scanned, dims, inputs, bare && outputs !== undefined ? "gates" : undefined);
  const h = await addStates(work, scanned, ends, lifted, tensors, options);
  // The scan's inputs are not needed once there are states.
  const lambda = lifted.b ?? work.room("cotangents of the states", shape);
  const buffers = {
    ...scanned.buffers,
    states: h.buffer,
    initial: initial?.buffer ?? work.room("zero state", [B, channels]).buffer,
    d_outputs: dOutputs.buffer,
    lambda: lambda.buffer,
  };
  let dh = viewed(dOutputs, shape);
  if (!bare) {
    dh = work.room("what read-outs give", shape);
    const kernel = await compileShader(gpu, localShader(program, gradient));
    work.add(dispatchItems(kernel, { ...buffers, cotangents: dh.buffer }, dh.length));
  }
  const plan = await planScan(gpu, {
    a: lifted.a,
    b: dh,
    h: lambda,
    ...(dhT === undefined ? {} : { h0: dhT }),
    ...(dh0 === undefined ? {} : { final: dh0 }),
  }, { layout: "columns", reverse: true, shifted: true, ...tuningOf(options) });
  work.plan(plan);
  for (const [name, spec] of inputEntries(program.model)) {
    const into = gradients[name];
    if (into === undefined) continue;
    const adding = accumulate?.has(name) === true;
    const rows = B * Math.ceil(T / SUM_CHUNK);
    const summed = spec.per === "parameter" && rows > 1;
    const result = summed ? work.room(`gradient of ${name} by chunk`, [rows, H * inputWidth(spec, sizes)]) : into;
    const kernel = await compileShader(gpu, inputShader(program, gradient, name, { add: adding && !summed }));
    work.add(dispatchItems(kernel, { ...buffers, gradient: result.buffer }, result.length));
    if (summed) await addFolds(work, result.buffer, rows, into, adding);
  }
  return plan;
}
