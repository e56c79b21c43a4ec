/**
 * What chunks promise on a GPU with matrix units, looked at without one: the bounds of its defaults must be narrow enough to see a
 * fault of 2^-10. The kernels of those defaults run here on whatever adapter there is.
 */
import { after, test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { chunkExecution, type ChunkRunOptions } from "../kernels/chunk/execution.ts";
import { chunkModels } from "../kernels/chunk/family.ts";
import type { Gpu } from "../kernels/device.ts";
import type { AnyAffineModel } from "../models/affine.ts";
import type { Execution } from "../models/execution.ts";
import { gatedRfa } from "../models/gated_rfa.ts";
import { gla } from "../models/gla.ts";
import { linearAttentionNormalised } from "../models/linear_attention_normalised.ts";
import { mamba2 } from "../models/mamba2.ts";
import { mlstm } from "../models/mlstm.ts";
import { rwkv6 } from "../models/rwkv6.ts";
import { seededSource, seededSources } from "../models/source.ts";
import { accuracyRows, resumeRows } from "../oracle/checks/accuracy.ts";
import type { CheckContext } from "../oracle/checks/context.ts";
import { gradientControlRows, gradientRows } from "../oracle/checks/gradients.ts";
import { exactSizes } from "../oracle/duality.ts";
import type { Row } from "../oracle/report.ts";
import { gpuForTests } from "./gpu.ts";

const gpu = await gpuForTests("what chunks promise on matrix units");
after(() => gpu?.close());

/** The device as one that has matrix units: to choose for, not to run on. */
function withMatrixUnits(device: Gpu): Gpu {
  const { adapter, features, limits } = device;
  return {
    adapter: { ...adapter, software: false },
    features: new Set([...features, "chromium-experimental-subgroup-matrix", "shader-f16", "subgroups"]),
    limits,
    subgroups: { min: 32, max: 32 },
    subgroupMatrices: undefined,
  } as unknown as Gpu;
}

/** The kernels that a GPU with matrix units runs, judged as that GPU's are. */
function promised(device: Gpu, options: ChunkRunOptions = {}): Execution {
  const { name, rounding } = chunkExecution(withMatrixUnits(device), options);
  return { ...chunkExecution(device, { design: "walk" }), name, rounding };
}

/** What was the default once: products of split halves on matrix units. */
const split: ChunkRunOptions = { design: "tiles", mode: "split" };

type Rows = (context: CheckContext) => AsyncGenerator<Row>;

async function rowsOf(
  rows: Rows,
  model: AnyAffineModel,
  execution: Execution,
  { sources, lengths }: Pick<CheckContext, "sources" | "lengths">,
): Promise<Row[]> {
  const context: CheckContext = {
    model,
    executions: [execution],
    lengths,
    seed: 1,
    sources,
    realSources: [],
    exactSizes,
    // Rows at larger sizes take long for what they add here.
    largeSizes: { K: 1, V: 1 },
  };
  const found: Row[] = [];
  for await (const row of rows(context)) found.push(row);
  return found;
}

const tooWide = ({ detail = "" }: Row): boolean => detail.includes("too wide") || detail.startsWith("NOT seen");

for (
  const [model, lengths] of [[mamba2, [63, 129]], [gatedRfa, [63, 129]], [mlstm, [63, 129, 1000]], [rwkv6, [
    63,
  ]]] as const
) {
  test(
    `${model.name} on matrix units: the bound of the forward pass holds and sees 2^-10`,
    { skip: gpu === null },
    async () => {
      const given = { sources: [seededSource("adversarial")], lengths };
      for (const rows of [accuracyRows, resumeRows]) {
        const own = await rowsOf(rows, model, promised(gpu!), given);
        assert(own.length > 0);
        for (const row of own) assert(row.ok, JSON.stringify(row));
      }
      const before = await rowsOf(accuracyRows, model, promised(gpu!, split), given);
      assertEquals(before.some(tooWide), model !== rwkv6, "split halves on matrix units");
    },
  );
}

for (
  const [model, wasTooWide] of [[linearAttentionNormalised, true], [gatedRfa, true], [gla, false], [
    mlstm,
    false,
  ]] as const
) {
  test(
    `${model.name} on matrix units: the bound of gradients holds and sees 2^-10`,
    { skip: gpu === null },
    async () => {
      const given = { sources: seededSources, lengths: [2, 65, 129] };
      for (const rows of [gradientRows, gradientControlRows]) {
        const own = await rowsOf(rows, model, promised(gpu!), given);
        assert(own.length > 0);
        for (const row of own) assert(row.ok, JSON.stringify(row));
      }
      const before = await rowsOf(gradientRows, model, promised(gpu!, split), given);
      assertEquals(before.some(tooWide), wasTooWide, "split halves on matrix units");
    },
  );
}

test("on matrix units all is walked through", { skip: gpu === null }, () => {
  const { name, rounding } = promised(gpu!);
  assert(name.endsWith(", walk)"), name);
  const dims = { B: 1, T: 65, H: 1, sizes: exactSizes };
  for (const { model } of chunkModels) {
    assertEquals(rounding.tiles!(model, dims), undefined, model.name);
    assertEquals(rounding.gradient!(model, dims).tiles, undefined, model.name);
  }
  const tiles = chunkExecution(withMatrixUnits(gpu!), { design: "tiles" });
  assert(tiles.name.endsWith(", split)"), tiles.name);
  assert(tiles.rounding.tiles!(mamba2, dims) !== undefined);
});
