/**
 * Every fused family with every kind of model it runs, stopped at every token and gone on with from the state it returned: the
 * whole run.
 */

import { after, test } from "node:test";
import { assert } from "@std/assert";
import { fusedFamilies, type FusedFamily } from "../kernels/fused.ts";
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

/** Tokens of a family's first model, and of the others: chunks are 16 to 64. */
const MOST = 130;
const LEAST = 66;

/** The first model of every kind: by action, read-out and micro-steps. */
function kindsOf(family: FusedFamily): readonly AnyAffineModel[] {
  const kinds = new Map<string, AnyAffineModel>();
  for (const model of models.filter((candidate) => family.supports(candidate))) {
    const kind = `${model.action} ${model.reads} ${model.microSteps}`;
    if (!kinds.has(kind)) kinds.set(kind, model);
  }
  return [...kinds.values()];
}

/** The runs of a model's tokens, by where they start. */
function part(execution: Execution, model: AnyAffineModel, T: number) {
  const dims: Dims = { B: 1, T, H: 1, sizes: { K: 4, V: 3, D: 5, N: 4 } };
  const inputs = sampleInputs(model, dims, "long-memory", 6);
  const random = seeded("resumed", model.name);
  // A shared exponent is whole.
  const initialState = Float32Array.from(
    { length: stateLength(model, dims) },
    (_, n) => model.action === "scaled" && n % 2 === 1 ? 1 : 2 * random() - 1,
  );
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
  for (const [n, model] of kindsOf(family).entries()) {
    const T = n === 0 ? MOST : LEAST;
    test(`${family.name}: ${model.name} resumed at every split of ${T} tokens is the whole run`, async () => {
      const execution = family.execution(gpu!);
      const { truth, initialState, run } = part(execution, model, T);
      const judge = judgeOf(truth, execution.rounding);
      const splits = Array.from({ length: T + 1 }, (_, split) => split);
      const firsts = await Promise.all(splits.map((split) => run(0, split, initialState)));
      const rests = await Promise.all(splits.map((split) => run(split, T, firsts[split]!.finalState)));
      for (const split of splits) {
        const verdict = judge.judge(joined(firsts[split]!, rests[split]!), T, [0, split]);
        assert(verdict.ok, `split at ${split}: ${JSON.stringify(verdict.first)}`);
      }
      // A state that is not handed on is seen.
      const lost = await run(33, T, new Float32Array(initialState.length));
      assert(!judge.judge(joined(firsts[33]!, lost), T, [0, 33]).ok);
    });
  }
}
