/** The cross-entropy of a network's predictions, with its gradients. */
import { lengthOf } from "../tensor.ts";
import { type CrossEntropyInputs, planCrossEntropy } from "./cross_entropy.ts";
import { planCrossEntropyBackward } from "./cross_entropy_backward.ts";
import type { Ids } from "./ids.ts";
import type { Placement } from "./program.ts";
import { contributeTogether, type Recorder, result, step } from "./recorder.ts";
import { expectShape, rowsOf } from "./shapes.ts";
import type { Slot } from "./slot.ts";
import type { Value } from "./value.ts";

export interface Scored {
  readonly x: Value;
  /** `[d, vocabulary]`. */
  readonly head: Value;
  readonly targets: Ids;
  readonly weights: Value;
}

/** The arrays as the kernels take them. */
interface Flat {
  readonly x: Slot;
  readonly weights: Slot;
  /** Of each row, from the forward pass for the backward pass. */
  readonly stats: Slot;
  readonly rows: number;
  readonly width: number;
  readonly read: readonly Slot[];
  inputs(at: Placement): CrossEntropyInputs;
}

function flatten({ program }: Recorder, { x, head, targets, weights }: Scored): Flat {
  const what = "take the cross-entropy";
  const { rows, width } = rowsOf(what, x.shape);
  const leading = x.shape.slice(0, -1);
  expectShape(what, "head", head.shape, [width, head.shape.at(-1) ?? 0]);
  expectShape(what, "targets", targets.shape, leading);
  expectShape(what, "weights", weights.shape, leading);
  const flat = {
    x: x.slot.view([rows, width]),
    weights: weights.slot.view([lengthOf(leading)]),
    stats: program.slot([rows]),
    rows,
    width,
  };
  return {
    ...flat,
    read: [flat.x, head.slot, flat.weights],
    inputs: (at) => ({
      x: at.tensor(flat.x),
      head: at.tensor(head.slot),
      targets: targets.buffer,
      weights: at.tensor(flat.weights),
      stats: at.tensor(flat.stats),
    }),
  };
}

export function crossEntropy(recorder: Recorder, scored: Scored): Value {
  const { gpu, tape, mode } = recorder;
  const { x, head } = scored;
  const { rows, width, stats, read, inputs } = flatten(recorder, scored);
  const loss = result(recorder, [], [x, head]);
  step(
    recorder,
    "cross-entropy",
    read,
    [loss.slot, stats],
    (at) => planCrossEntropy(gpu, { ...inputs(at), loss: at.tensor(loss.slot.view([1])) }, { mode }),
  );
  tape?.record(loss, (g) =>
    contributeTogether(recorder, { x, head }, (targets, accumulate) => {
      const dx = targets.x.view([rows, width]);
      step(recorder, "cross-entropy backward", [...read, stats, g], [dx, targets.head], (at) =>
        planCrossEntropyBackward(gpu, {
          ...inputs(at),
          dx: at.tensor(dx),
          dHead: at.tensor(targets.head),
          cotangent: at.tensor(g),
        }, { accumulate, mode }));
    }));
  return loss;
}

/** What is predicted of every row. */
export interface Scores {
  readonly losses: Slot;
  /** Ids, 32 bits each. */
  readonly best: Slot;
  readonly margins: Slot;
}

/** Each row's loss, its likeliest id, and by how much it wins. */
export function scores(recorder: Recorder, scored: Scored): Scores {
  const { gpu, program, mode } = recorder;
  const { rows, stats, read, inputs } = flatten(recorder, scored);
  const made = { losses: program.slot([rows]), best: program.slot([rows]), margins: program.slot([rows]) };
  const loss = program.slot([1]);
  step(recorder, "scores", read, [...Object.values(made), stats, loss], (at) =>
    planCrossEntropy(gpu, {
      ...inputs(at),
      loss: at.tensor(loss),
      losses: at.tensor(made.losses),
      best: at.tensor(made.best).buffer,
      margins: at.tensor(made.margins),
    }, { mode }));
  return made;
}
