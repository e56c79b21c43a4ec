/**
 * dualscan: a research kit for prefix-scannable sequence models. A model is written down once, as the recurrence its
 * paper prints; the kit runs that definition exactly, sequentially, in parallel, streamed, on a GPU and backwards, and
 * proves that they agree.
 *
 * ```ts
 * import { affineModel, checkDuality, cpuExecutions, gpuExecution, openDevice } from "@dualscan/dualscan";
 * ```
 *
 * @module
 */
export * from "./scan/mod.ts";

// Models: what they are written in, the contract, and the kit's own.
export type { Analytic, Complex, Field, Index, Matrix, Ring, ScaledRing, SymbolicIndex } from "./models/arith.ts";
export type {
  ActionName,
  Affine,
  Elements,
  LaneAction,
  MatrixElement,
  Scaled,
  States,
  Tuple,
} from "./models/action.ts";
export { laneActions } from "./models/action.ts";
export * from "./models/affine.ts";
export * from "./models/domain.ts";
export * from "./models/linalg.ts";
export { InputError } from "./models/error.ts";
export {
  type Dims,
  type Inputs,
  prepare,
  prepareState,
  sampleInputs,
  sliceInputs,
  stateLength,
  stateWidth,
} from "./models/inputs.ts";
export { type InputSource, seededSource, seededSources, textSource } from "./models/source.ts";
export {
  double,
  type Execution,
  type Fault,
  type GradientOptions,
  type GradientResult,
  type Precision,
  type RunOptions,
  type RunResult,
  scanned,
  single,
} from "./models/execution.ts";
export type { ChunkRounding, GradientRounding, LogSums, Rounding, Telescoped, Tiles } from "./models/rounding.ts";
export { heinsen, logSpaceErrors } from "./models/heinsen.ts";
export { f32, f64 } from "./models/number.ts";
export { modular, wrap32 } from "./models/modular.ts";
export { type Accuracy, wgslAccuracy } from "./models/accuracy.ts";
export { backward, type Cotangents, type Gradients } from "./models/backward.ts";
export { discretiseZoh } from "./models/zoh.ts";
export { models } from "./models/mod.ts";
export * as convert from "./models/convert/mod.ts";

// Prefix-scannable models whose aggregator is any function.
export { type Aggregator, aggregator } from "./models/aggregator.ts";
export { parallel as runPsm, type Psm, type PsmState, type PsmStream, stream as streamPsm } from "./models/psm.ts";

// Networks, written once in operations on arrays: what they are made of, and the kit's own.
export {
  type Activation,
  type AttentionMask,
  type AttentionOptions,
  type CachedAttention,
  type Evaluator,
  type Initial,
  joined as joinedParameters,
  type Parameters,
  type ParameterSpec,
  type ParameterSpecs,
  type Rows,
  type TensorOps,
  type TokenNetwork,
  under as parametersUnder,
} from "./models/networks/ops.ts";
export { headOf } from "./models/networks/head.ts";
export { initialParameters } from "./models/networks/parameters.ts";
export type {
  CachedChunk,
  ChunkAggregator,
  ChunkDecoder,
  ChunkEncoder,
  PsmNetwork,
  PsmParts,
} from "./models/networks/psm_parts.ts";
export { psmNetwork } from "./models/networks/psm_network.ts";
export { transformerPsm, type TransformerPsmOptions } from "./models/networks/transformer_psm.ts";
export { attentionAggregator, type AttentionAggregatorOptions } from "./models/networks/attention_aggregator.ts";
export { gatedMlpAggregator } from "./models/networks/gated_mlp_aggregator.ts";
export { decayAggregator } from "./models/networks/decay_aggregator.ts";
export { attentionDecoder } from "./models/networks/attention_decoder.ts";
export { chunkEncoder, type ChunkEncoderOptions } from "./models/networks/chunk_encoder.ts";
export { type Associator, type AssociatorOptions, associators } from "./models/networks/associator.ts";
export { withoutChunkStarts } from "./models/networks/chunk_starts.ts";
export {
  gpt2,
  type Gpt2Options,
  slidingWindow,
  type TransformerOptions,
  type WindowOptions,
} from "./models/networks/transformer.ts";
export { matchedWindow, psmCosts } from "./models/networks/matched_compute.ts";
export type { StackOptions } from "./models/networks/attention_stack.ts";
export { languageModel, type LanguageModelOptions } from "./models/networks/language_model.ts";
export type { LayerSizes, SequenceLayer } from "./models/networks/sequence_layer.ts";
export { layerNames, sequenceLayer } from "./models/networks/layer_presets.ts";
export type { LayerInput, OwnParameters, ScanLayerOptions } from "./models/networks/layer_inputs.ts";
export { scanLayer } from "./models/networks/scan_layer.ts";
export type { CachedTokens, ResumableNetwork, Resumed } from "./models/networks/resumable.ts";
export type {
  PrefilledStream,
  SavedArray,
  TokenStream,
  TokenStreamOptions,
  TokenStreamState,
} from "./models/networks/token_stream.ts";
export { type PsmDecoder, psmDecoder } from "./models/networks/psm_decoder.ts";
export { resumableDecoder } from "./models/networks/resumable_decoder.ts";
export {
  type Forest,
  logLinearAttention,
  type LogLinearRoot,
  type LogLinearToken,
} from "./models/log_linear_attention.ts";
export { type NonAffineModel, nonAffineModels } from "./models/mod.ts";

// The judge.
export { arrayOps } from "./oracle/array_ops.ts";
export { type ArrayEvaluator, arrayEvaluator } from "./oracle/array_evaluator.ts";
export { arrayOf, type IdArray, type NdArray } from "./oracle/nd_array.ts";
export { networkPsm, parameterArrays } from "./oracle/network_psm.ts";
export { networkLoss, networkSlopes, type ParameterValues } from "./oracle/network_gradient.ts";
export {
  checkDuality,
  type CheckOptions,
  cpuExecutions,
  defaultLengths,
  dualityRows,
  expectedRows,
} from "./oracle/duality.ts";
export { type AggregatorOptions, checkAggregator } from "./oracle/aggregator.ts";
export { checkPsm } from "./oracle/psm.ts";
export type { CheckName, Report, Row } from "./oracle/report.ts";
export {
  type Dyadic,
  dyadic,
  fromNumber as dyadicOf,
  toF32 as dyadicToF32,
  toNumber as dyadicToNumber,
} from "./oracle/dyadic.ts";
export { type Interval, interval } from "./oracle/interval.ts";
export { type Dual, dual } from "./oracle/dual.ts";
export { certified } from "./oracle/activations.ts";
export { recurrent } from "./oracle/run.ts";
export { type Reference, reference } from "./oracle/reference.ts";

// The GPU.
export {
  type DeviceOptions,
  type Gpu,
  type GpuPolicy,
  gpuPolicy,
  NoAdapterError,
  openDevice,
} from "./kernels/device.ts";
export {
  gpuExecution,
  type GpuRunOptions,
  type GpuRunResult,
  type GpuStream,
  openStream,
  runModular,
  runOnGpu,
} from "./kernels/scan.ts";
export { type GpuGradients, gradientsOnGpu } from "./kernels/backward.ts";
export { scanWgsl, type WgslOperator } from "./kernels/wgsl_operator.ts";

// Arrays on the GPU, and the fused kernels on them.
export { type DType, Tensor, type TensorOptions } from "./kernels/tensor.ts";
export { type Plan, runPlans } from "./kernels/plan.ts";
export {
  planScan,
  type ScanLayout,
  type ScanOptions,
  type ScanPlan,
  type ScanTensors,
} from "./kernels/elementwise/scan.ts";
export {
  planScanBackward,
  type ScanBackwardOptions,
  type ScanBackwardTensors,
} from "./kernels/elementwise/backward.ts";
export {
  type ChunkForwardOptions,
  type ChunkTensors,
  type ChunkTuning,
  planChunkForward,
} from "./kernels/chunk/forward.ts";
export {
  type ChunkBackwardOptions,
  type ChunkBackwardTensors,
  type ChunkBackwardTuning,
  planChunkBackward,
} from "./kernels/chunk/backward.ts";
export type { Decay, DecayKind } from "./kernels/chunk/family.ts";
export { type ChunkModelTensors, planChunkModel } from "./kernels/chunk/prepare.ts";
export { planSelectiveScan, type SelectiveOptions } from "./kernels/selective/forward.ts";
export {
  planSelectiveScanBackward,
  type SelectiveGradientOptions,
  type SelectiveGradientTensors,
} from "./kernels/selective/backward.ts";
export type {
  SelectiveInputs,
  SelectiveLayout,
  SelectiveShape,
  SelectiveTensors,
} from "./kernels/selective/tensors.ts";
export { type DeltaOptions, type DeltaTensors, planDeltaForward } from "./kernels/delta/forward.ts";
export { type DeltaBackwardOptions, type DeltaBackwardTensors, planDeltaBackward } from "./kernels/delta/backward.ts";
export { type MatmulOptions, type MatmulPlan, type MatmulTensors, planMatmul } from "./kernels/matmul.ts";
export {
  type MatrixChoice,
  type MatrixMode,
  type MatrixUnit,
  matrixUnit,
  type Operand,
  type Product,
  type Sums,
} from "./kernels/matrix_unit.ts";
export {
  type MixerBackwardOptions,
  type MixerBackwardTensors,
  mixerKept,
  type MixerOptions,
  type MixerStepTensors,
  type MixerTensors,
  planMixer,
  planMixerBackward,
  planMixerStep,
} from "./kernels/mixer.ts";
export { openStepper, planStep, type Stepper, type StepTensors } from "./kernels/step.ts";
export { fusedExecutions, fusedFamilies, type FusedFamily } from "./kernels/fused.ts";

// Networks on the GPU: recorded operations, their gradients, training and streams.
export type {
  NamedArrays,
  OptimiserOptions,
  Predictions,
  StepOptions,
  StepResult,
  TokenBatch,
  TrainingSession,
} from "./models/networks/training.ts";
export { BufferPool } from "./kernels/nn/buffer_pool.ts";
export { type EvaluatorOptions, GpuEvaluator } from "./kernels/nn/evaluator.ts";
export { GpuOps, type GpuOpsOptions } from "./kernels/nn/gpu_ops.ts";
export { Ids } from "./kernels/nn/ids.ts";
export type { Knobs } from "./kernels/nn/knobs.ts";
export {
  type Copy,
  type Placement,
  type Prepared,
  Program,
  type ProgramOptions,
  type StepTime,
} from "./kernels/nn/program.ts";
export { Slot, type Storage } from "./kernels/nn/slot.ts";
export { openTraining, type TrainingOptions } from "./kernels/nn/training_session.ts";
export { Value } from "./kernels/nn/value.ts";

// What networks are trained on.
export { corpus } from "./tasks/corpus.ts";
export { a5, cyclic, type Group, s5 } from "./tasks/groups.ts";
export { groupWords } from "./tasks/group_words.ts";
export { mqar } from "./tasks/mqar.ts";
export type { BatchRequest, Split, Task } from "./tasks/task.ts";
