/** Every fused family, stopped at every token of 130 and gone on with from the state it returned: the whole run. */

import { after, test } from "node:test";
import { assert } from "@std/assert";
import { fusedFamilies } from "../kernels/fused.ts";
import type { AnyAffineModel } from "../models/affine.ts";
import type { Execution, RunResult } from "../models/execution.ts";
import { type Dims, sampleInputs, sliceInputs, stateLength } from "../models/inputs.ts";
import { models } from "../models/mod.ts";
import { seeded } from "../models/random.ts";
import { judgeOf } from "../oracle/allowance.ts";
import { kept } from "../oracle/checks/setting.ts";
import { reference } from "../oracle/reference.ts";
import { gpuForTests } from "./gpu.ts";

const gpu = await gpuForTests("resumption of the fused kernels");
after(() => gpu?.close());

const T = 130;

/** The runs of a model's tokens, by where they start. */
function part(execution: Execution, model: AnyAffineModel) {
  const dims: Dims = { B: 1, T, H: 1, sizes: { K: 4, V: 3, D: 5, N: 4 } };
  const inputs = sampleInputs(model, dims, "long-memory", 6);
  const random = seeded("resumed", model.name);
  const initialState = Float32Array.from({ length: stateLength(model, dims) }, () => 2 * random() - 1);
  return {
    truth: reference(model, dims, inputs, initialState),
    initialState,
    run: (from: number, to: number, state: ArrayLike<number>): Promise<RunResult> =>
      execution.run(model, { ...dims, T: to - from }, sliceInputs(model, dims, inputs, from, to), {
        initialState: state,
        ...kept(model, execution, dims),
      }),
  };
}

function joined(first: RunResult, rest: RunResult): RunResult {
  const both = (name: "outputs" | "states" | "chunkStates"): Float64Array =>
    Float64Array.from([...first[name] ?? [], ...rest[name] ?? []]);
  return {
    outputs: both("outputs"),
    states: both("states"),
    chunkStates: both("chunkStates"),
    finalState: rest.finalState,
  };
}

for (const family of gpu === null ? [] : fusedFamilies) {
  const model = models.find((candidate) => family.supports(candidate))!;
  test(`${family.name}: ${model.name} resumed at every split of ${T} tokens is the whole run`, async () => {
    const execution = family.execution(gpu!);
    const { truth, initialState, run } = part(execution, model);
    const judge = judgeOf(truth, execution.rounding);
    const splits = Array.from({ length: T + 1 }, (_, split) => split);
    const firsts = await Promise.all(splits.map((split) => run(0, split, initialState)));
    const rests = await Promise.all(splits.map((split) => run(split, T, firsts[split]!.finalState)));
    for (const split of splits) {
      const verdict = judge.judge(joined(firsts[split]!, rests[split]!), T, [0, split]);
      assert(verdict.ok, `split at ${split}: ${JSON.stringify(verdict.first)}`);
    }
    // A state that is not handed on is seen.
    const lost = await run(65, T, new Float32Array(initialState.length));
    assert(!judge.judge(joined(firsts[65]!, lost), T, [0, 65]).ok);
  });
}
