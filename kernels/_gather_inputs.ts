/**
 * A slab of a model's inputs, from the caller's tensors into one buffer at micro-step rate: what kernels read that are made
 * from a traced model and may load all of its inputs, of which a device need not bind more than eight.
 *
 * @module
 */
import type { AnyAffineModel } from "../models/affine.ts";
import { type Dims, inputEntries, inputWidth, microSteps } from "../models/inputs.ts";
import type { Dispatch } from "./gpu.ts";
import { assemble, compileShader, dispatchItems, entryPerItem, type Shader, storage } from "./wgsl.ts";
import type { Named, Work } from "./_work.ts";

/** Steps `from … from + steps − 1` of all. */
export interface SlabOfTime {
  readonly from: number;
  readonly steps: number;
}

const shader: Shader = assemble("gather inputs", {
  bindings: [
    { name: "place", access: "uniform", type: "Place" },
    storage("given", "f32"),
    storage("gathered", "f32", "read_write"),
  ],
  source: /* wgsl */ `
struct Place {
  // Numbers to write, numbers of a step, steps of the slab, all steps; the first step, and where the numbers go.
  count: u32, row: u32, steps: u32, total: u32, start: u32, offset: u32,
  // Steps a token, and the one of them that the input is for; or 1 and 0.
  micro: u32, at: u32,
}
` + entryPerItem(
    "place.count",
    /* wgsl */ `
  let i = id % place.row;
  let s = place.start + id / place.row % place.steps;
  let b = id / place.row / place.steps;
  var value = 0.0;
  if (s % place.micro == place.at) {
    value = given[(b * (place.total / place.micro) + s / place.micro) * place.row + i];
  }
  gathered[place.offset + id] = value;`,
  ),
});

/** Dispatches that fill `target`: each input from its offset, parameters as they are. */
export async function gatherInputs(
  work: Work,
  model: AnyAffineModel,
  dims: Dims,
  inputs: Named,
  target: GPUBuffer,
  offsets: { readonly [name: string]: number },
  { from, steps }: SlabOfTime,
): Promise<Dispatch[]> {
  const { B, T, H, sizes } = dims;
  const n = microSteps(model);
  const kernel = await compileShader(work.gpu, shader);
  return inputEntries(model).flatMap(([name, spec]) => {
    const row = H * inputWidth(spec, sizes);
    const every = spec.micro === undefined || spec.micro === "every";
    const [micro, at] = every ? [1, 0] : [n, spec.micro === "first" ? 0 : n - 1];
    const words = spec.per === "parameter"
      ? [row, row, 1, 1, 0, offsets[name]!, 1, 0]
      : [B * steps * row, row, steps, T * n, from, offsets[name]!, micro, at];
    if (words[0] === 0) return [];
    const place = work.words(`place of ${name}`, Uint32Array.from(words));
    return [dispatchItems(kernel, { place, given: inputs[name]!.buffer, gathered: target }, words[0]!)];
  });
}
