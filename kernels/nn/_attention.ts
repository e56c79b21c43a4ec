/** Softmax attention in a network, with its gradients. */
import { InputError } from "../../models/error.ts";
import type { AttentionOptions } from "../../models/ops.ts";
import { planAttention } from "./attention.ts";
import { planAttentionBackward } from "./attention_backward.ts";
import { recordEach } from "./each.ts";
import { type Recorder, result, step } from "./recorder.ts";
import { expectShape, shown } from "./shapes.ts";
import type { Slot } from "./slot.ts";
import type { Targets } from "./tape.ts";
import type { Value } from "./value.ts";

export function attention(recorder: Recorder, q: Value, k: Value, v: Value, options: AttentionOptions): Value {
  const { gpu, program, tape } = recorder;
  if (q.shape.length !== 3) throw new InputError(`Cannot attend: q must be [N, n, d], got ${shown(q.shape)}`);
  const [N, n, d] = q.shape as [number, number, number];
  const m = k.shape[1] ?? 0;
  expectShape("attend", "k", k.shape, [N, m, d]);
  expectShape("attend", "v", v.shape, [N, m, d]);
  const y = result(recorder, q.shape, [q, k, v]);
  const stats = y.tracked ? program.slot([N, n, options.heads]) : undefined;
  step(recorder, "attention", [q.slot, k.slot, v.slot], stats ? [y.slot, stats] : [y.slot], (at) =>
    planAttention(gpu, {
      q: at.tensor(q.slot),
      k: at.tensor(k.slot),
      v: at.tensor(v.slot),
      o: at.tensor(y.slot),
      ...(stats && { stats: at.tensor(stats) }),
    }, options));
  tape?.record(
    y,
    (g) =>
      tape.contributeAll(
        { q, k, v },
        (targets) => attend(recorder, { q, k, v, y, stats: stats!, g }, options, targets),
      ),
  );
  return y;
}

interface Attended {
  readonly q: Value;
  readonly k: Value;
  readonly v: Value;
  readonly y: Value;
  readonly stats: Slot;
  readonly g: Slot;
}

/** The kernel writes all three gradients, or adds to all three: where neither is what is wanted, some go elsewhere first. */
function attend(recorder: Recorder, at: Attended, options: AttentionOptions, targets: Targets): void {
  const { gpu, program } = recorder;
  const { q, k, v, y, stats, g } = at;
  const all = Object.values(targets);
  const accumulate = all.length === 3 && all.every((target) => target.accumulate);
  const place = (name: string, value: Value): Slot => {
    const target = targets[name];
    return target && (accumulate || !target.accumulate) ? target.slot : program.slot(value.shape);
  };
  const [dq, dk, dv] = [place("q", q), place("k", k), place("v", v)];
  step(
    recorder,
    "attention backward",
    [q.slot, k.slot, v.slot, y.slot, stats, g],
    [dq, dk, dv],
    (at) =>
      planAttentionBackward(gpu, {
        q: at.tensor(q.slot),
        k: at.tensor(k.slot),
        v: at.tensor(v.slot),
        o: at.tensor(y.slot),
        stats: at.tensor(stats),
        dO: at.tensor(g),
        dq: at.tensor(dq),
        dk: at.tensor(dk),
        dv: at.tensor(dv),
      }, { ...options, accumulate }),
  );
  for (const [name, written] of [["q", dq], ["k", dk], ["v", dv]] as const) {
    const target = targets[name];
    if (target === undefined || target.slot === written) continue;
    recordEach(program, "copy", { inputs: [written], output: target.slot, value: "a", accumulate: true });
  }
}
