/** Attention of the next tokens of a stream: their keys and values go into caches, one recording for any number before them. */
import { InputError } from "../../models/error.ts";
import type { AttentionOptions, CachedAttention } from "../../models/networks/ops.ts";
import type { Gpu } from "../gpu.ts";
import { assemble, compileShader, dispatchItems, entryPerItem, type Shader, storage } from "../wgsl.ts";
import { planAttention } from "./attention.ts";
import type { Ids } from "./ids.ts";
import type { Placement, Prepared } from "./program.ts";
import { type Recorder, step } from "./recorder.ts";
import { expectShape, shown } from "./shapes.ts";
import { Value } from "./value.ts";

/** Sizes: numbers of the new rows, width, new rows of a sequence, room. */
const putShader: Shader = assemble("put keys and values", {
  bindings: [
    { name: "sizes", access: "uniform", type: "vec4u" },
    storage("count", "u32"),
    storage("k", "f32"),
    storage("v", "f32"),
    storage("keys", "f32", "read_write"),
    storage("values", "f32", "read_write"),
  ],
  source: entryPerItem(
    "sizes.x",
    `  let row = id / sizes.y;
  let place = (count[0] - sizes.z + row % sizes.z) % sizes.w;
  let to = (row / sizes.z * sizes.w + place) * sizes.y + id % sizes.y;
  keys[to] = k[id];
  values[to] = v[id];`,
  ),
});

/** What {@linkcode attentionNext} takes. */
export interface NextTokens {
  readonly q: Value;
  readonly k: Value;
  readonly v: Value;
  readonly keys: Value;
  readonly values: Value;
  readonly count: Ids;
}

/** Brings `keys` and `values` up to date where they lie. */
export function attentionNext(
  recorder: Recorder,
  { q, k, v, keys, values, count }: NextTokens,
  options: AttentionOptions,
): CachedAttention<Value> {
  const { gpu, program, tape } = recorder;
  if (tape && [q, k, v, keys, values].some(({ tracked }) => tracked)) {
    throw new InputError("Cannot attend to a cache: operations must not be recorded for training");
  }
  if (q.shape.length !== 3) throw new InputError(`Cannot attend: q must be [N, n, d], got ${shown(q.shape)}`);
  const [N, n, d] = q.shape as [number, number, number];
  const room = keys.shape[1] ?? 0;
  for (const [name, { shape }] of Object.entries({ k, v })) expectShape("attend", name, shape, q.shape);
  for (const [name, { shape }] of Object.entries({ keys, values })) expectShape("attend", name, shape, [N, room, d]);
  if (options.mask === "bidirectional" || room < n) {
    throw new InputError(
      `Cannot attend to a cache: tokens must see none behind them, with room for ${n}, got ${
        options.mask === "bidirectional" ? "both directions" : `room for ${room}`
      }`,
    );
  }
  const y = new Value(program.slot(q.shape));
  step(
    recorder,
    "put keys and values",
    [k.slot, v.slot],
    [keys.slot, values.slot],
    (at) => preparePut(gpu, { k, v, keys, values, count }, at),
  );
  step(recorder, "attention", [q.slot, keys.slot, values.slot], [y.slot], (at) =>
    planAttention(gpu, {
      q: at.tensor(q.slot),
      k: at.tensor(keys.slot),
      v: at.tensor(values.slot),
      o: at.tensor(y.slot),
    }, { ...options, live: count.buffer, kernel: "step" }));
  return { y, keys, values };
}

async function preparePut(
  gpu: Gpu,
  { k, v, keys, values, count }: Omit<NextTokens, "q">,
  at: Placement,
): Promise<Prepared> {
  const [, n, d] = k.shape as [number, number, number];
  const buffers = {
    sizes: at.uniform(Uint32Array.of(k.slot.length, d, n, keys.shape[1]!)),
    count: count.buffer,
    k: at.tensor(k.slot).buffer,
    v: at.tensor(v.slot).buffer,
    keys: at.tensor(keys.slot).buffer,
    values: at.tensor(values.slot).buffer,
  };
  return { dispatches: [dispatchItems(await compileShader(gpu, putShader), buffers, k.slot.length)] };
}
