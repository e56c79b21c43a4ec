/** The probes of workgroup memory: right where they can run, and accepted by the compiler where they cannot. */
import { after, test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { bareProducts, bareShader } from "../bench/fused/bare_products.ts";
import { fragmentLines, fragmentProbes, fragmentShader } from "../bench/fused/fragments.ts";
import { runPlans } from "../kernels/plan.ts";
import { gpuForTests } from "./gpu.ts";
import { wgslValidator } from "./wgsl_validator.ts";

const gpu = await gpuForTests("the probes of workgroup memory");
const validator = await wgslValidator("the compiler on the probes of fragments");
after(async () => {
  validator?.close();
  await gpu?.close();
});

test("loads of 16 bytes give what they read", { skip: gpu === null }, async () => {
  const [line] = fragmentLines;
  const prepared = await line!.prepare(gpu!, line!.small, line!.variants[0]!);
  // Nothing was run: nothing is right.
  assert((await prepared.check()).max > 0);
  await runPlans(gpu!, "probe", prepared.plans);
  const { max, allowed } = await prepared.check();
  assert(max <= allowed, `${max} of ${allowed}`);
  prepared.release();
});

test("the compiler accepts every probe of fragments", { skip: validator === null }, async () => {
  for (const probe of fragmentProbes) {
    const { code } = fragmentShader(probe);
    assertEquals(await validator!.error(code), undefined, JSON.stringify(probe));
    assert(
      await validator!.error(code.replace("alias Left = subgroup_matrix_left", "alias Left = none")) !== undefined,
    );
  }
});

test("the compiler accepts every bare product", { skip: validator === null }, async () => {
  for (const bare of bareProducts) {
    const { code } = bareShader(bare, { K: 128, N: 256 });
    assertEquals(await validator!.error(code), undefined, JSON.stringify(bare));
    assert(
      await validator!.error(code.replace("alias Sums = subgroup_matrix_result", "alias Sums = none")) !== undefined,
    );
  }
});
