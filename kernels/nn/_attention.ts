/** Softmax attention in a network, with its gradients. */
import { InputError } from "../../models/error.ts";
import type { AttentionOptions } from "../../models/networks/ops.ts";
import { planAttention } from "./attention.ts";
import { planAttentionBackward } from "./attention_backward.ts";
import { contributeTogether, type Recorder, result, step } from "./recorder.ts";
import { expectShape, shown } from "./shapes.ts";
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
  tape?.record(y, (g) =>
    contributeTogether(recorder, { q, k, v }, ({ q: dq, k: dk, v: dv }, accumulate) => {
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
            stats: at.tensor(stats!),
            dO: at.tensor(g),
            dq: at.tensor(dq),
            dk: at.tensor(dk),
            dv: at.tensor(dv),
          }, { ...options, accumulate }),
      );
    }));
  return y;
}
