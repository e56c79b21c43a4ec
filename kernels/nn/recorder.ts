/** Where operations write themselves down: a program, a tape where gradients are wanted, and how products are computed. */
import type { Gpu } from "../gpu.ts";
import type { MatrixMode } from "../matrix_unit.ts";
import { type Each, recordEach } from "./each.ts";
import type { Placement, Prepared, Program } from "./program.ts";
import type { Slot } from "./slot.ts";
import type { Tape } from "./tape.ts";
import { Value } from "./value.ts";

export interface Recorder {
  readonly gpu: Gpu;
  readonly program: Program;
  readonly tape: Tape | undefined;
  readonly mode: MatrixMode | undefined;
}

/** A new value made of others. */
export function result(recorder: Recorder, shape: readonly number[], from: readonly (Value | undefined)[]): Value {
  return new Value(
    recorder.program.slot(shape),
    recorder.tape !== undefined && from.some((value) => value?.tracked),
  );
}

/** Records a step over values. */
export function step(
  { program }: Recorder,
  name: string,
  reads: readonly (Slot | undefined)[],
  writes: readonly Slot[],
  prepare: (at: Placement) => Prepared | Promise<Prepared>,
): void {
  program.step(name, reads.filter((slot) => slot !== undefined), writes, prepare);
}

/** A gradient by entries. */
export function contributeEach(
  { program, tape }: Recorder,
  name: string,
  value: Value,
  each: Omit<Each, "output" | "accumulate">,
): void {
  tape!.contribute(value, (output, accumulate) => recordEach(program, name, { ...each, output, accumulate }));
}
