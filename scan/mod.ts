/**
 * Schedules over an abstract operator: the fold, the static tree, the online counter and chunks, and what they cost.
 *
 * @module
 */
export { type AssociativityViolation, checkAssociativity, type Operator } from "./monoid.ts";
export type { Parenthesisation, Schedule } from "./schedule.ts";
export type { Stream } from "./stream.ts";
export { fold, foldExclusive, foldInclusive, foldStream, sequential } from "./sequential.ts";
export { blelloch, blellochExclusive, blellochInclusive, blellochPrefill, type Prefill } from "./blelloch.ts";
export {
  Counter,
  counter,
  type CounterMode,
  type CounterOptions,
  type CounterState,
  refoldingCounter,
  type Root,
} from "./counter.ts";
export { type AsyncOperator, PlannedCounter } from "./planned_counter.ts";
export { chunked, type ChunkedOptions } from "./chunked.ts";
export {
  type Meter,
  meter,
  type Metered,
  type ScheduleCost,
  scheduleCost,
  type StreamCost,
  streamCost,
} from "./meter.ts";
export { rightCombines } from "./path.ts";
