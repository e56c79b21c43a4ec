/**
 * The arithmetic of a scan as WGSL: elements, their composition, and a step. An element is a pair (A, B), s ↦ A·s + B;
 * without gates A is 1 throughout and not written down.
 *
 * @module
 */
import { relativeFactor } from "../faults.ts";
import type { Job } from "./_job.ts";

/** The texts of one job's arithmetic. `A` and `B` are WGSL expressions. */
export interface Recurrence {
  readonly gated: boolean;
  /** The state after an element: `A·s + B`. */
  applied(A: string, B: string, state: string): string;
  /** Statements that put `earlier` before the element held in `A`, `B`: `(A·eA, A·eB + B)`. */
  composed(A: string, B: string, earlierA: string, earlierB: string): string;
  /**
   * Statements that put a token behind the element held in `A`, `B`. (In columns this is where swapped operands are
   * planted: nothing else there combines two elements.)
   */
  extended(A: string, B: string, a: string, b: string): string;
  /** Statements that take the variable `state` over a token and declare its output as `output`. */
  step(state: string, a: string, b: string, output: string): string;
  /** What is stored of an output: a planted relative fault is here. */
  stored(output: string): string;
}

export function recurrenceOf(job: Job): Recurrence {
  const gated = job.tensors.gates !== undefined;
  const swapped = job.fault === "swapped-operands";
  const factor = relativeFactor(job.fault);
  const applied = (A: string, B: string, state: string): string => gated ? `${A} * ${state} + ${B}` : `${state} + ${B}`;
  return {
    gated,
    applied,
    composed: (A, B, eA, eB) =>
      !gated
        ? `${B} = ${eB} + ${B};`
        : swapped
        ? `${B} = ${eA} * ${B} + ${eB}; ${A} = ${eA} * ${A};`
        : `${B} = ${A} * ${eB} + ${B}; ${A} = ${A} * ${eA};`,
    extended: (A, B, a, b) =>
      !gated
        ? `${B} = ${B} + ${b};`
        : swapped && job.layout === "columns"
        ? `${B} = ${A} * ${b} + ${B}; ${A} = ${A} * ${a};`
        : job.shifted
        ? `${B} = ${a} * (${B} + ${b}); ${A} = ${a} * ${A};`
        : `${B} = ${a} * ${B} + ${b}; ${A} = ${a} * ${A};`,
    step: (state, a, b, output) =>
      job.shifted
        ? `let ${output} = ${state} + ${b}; ${state} = ${gated ? `${a} * ${output}` : output};`
        : `${state} = ${applied(a, b, state)}; let ${output} = ${state};`,
    stored: (output) => `${output}${factor}`,
  };
}
