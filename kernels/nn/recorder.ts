/** Where operations write themselves down: a program, a tape where gradients are wanted, and how products are computed. */
import type { Gpu } from "../gpu.ts";
import type { MatrixMode } from "../matrix_unit.ts";
import type { Operands } from "./_operands.ts";
import { type Each, recordEach } from "./each.ts";
import type { Placement, Prepared, Program } from "./program.ts";
import type { Slot } from "./slot.ts";
import type { Tape } from "./tape.ts";
import { type Origin, Value } from "./value.ts";

export interface Recorder {
  readonly gpu: Gpu;
  readonly program: Program;
  readonly tape: Tape | undefined;
  readonly mode: MatrixMode | undefined;
  /** What products of the program share. */
  readonly operands: Operands;
}

/** A new value made of others. */
export function result(
  recorder: Recorder,
  shape: readonly number[],
  from: readonly (Value | undefined)[],
  origin?: Origin,
): Value {
  return new Value(
    recorder.program.slot(shape),
    recorder.tape !== undefined && from.some((value) => value?.tracked),
    origin,
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

/**
 * Gradients that a kernel either writes, all of them, or adds, all of them. Where some are to be added and others written, or
 * are not wanted, they go elsewhere first.
 */
export function contributeTogether<Name extends string>(
  { program, tape }: Recorder,
  values: { readonly [name in Name]: Value },
  write: (targets: { readonly [name in Name]: Slot }, accumulate: boolean) => void,
): void {
  const names = Object.keys(values) as Name[];
  tape!.contributeAll(values, (targets) => {
    const accumulate = names.every((name) => targets[name]?.accumulate);
    const written = Object.fromEntries(names.map((name) => {
      const target = targets[name];
      const direct = target !== undefined && target.accumulate === accumulate;
      return [name, direct ? target.slot : program.slot(values[name].shape)];
    })) as { [name in Name]: Slot };
    write(written, accumulate);
    for (const name of names) {
      const target = targets[name];
      if (target === undefined || target.slot === written[name]) continue;
      recordEach(program, "add to gradient", {
        inputs: [written[name]],
        output: target.slot,
        value: "a",
        accumulate: true,
      });
    }
  });
}
