/** `planChunkBackward` against an f64 reverse pass, within derived bounds: sizes beyond a slice, tunings, modes. */

import { after, test } from "node:test";
import { assert } from "@std/assert";
import type { ChunkBackwardTuning } from "../kernels/chunk/backward.ts";
import { adversarial, byToken, diagonal, factors, holds, kinds, made, none, worst } from "./chunk_backward_cases.ts";
import { gpuForTests } from "./gpu.ts";

const gpu = await gpuForTests("tunings of chunks backward");
after(() => gpu?.close());

// Software adapters take half a minute to compile a kernel that is written out, or much more.
const software = gpu?.adapter.software ?? true;
if (gpu !== null && software) {
  console.warn("not run: kernels of chunks backward that are slow to compile, unrolled ones too: only on a real GPU");
}

for (
  const [name, decay, pre] of [
    ["a decay by token", byToken, false],
    ["a factor by head", factors, false],
    ["a decay by key and a bonus", diagonal, true],
  ] as const
) {
  const skip = gpu === null || software && decay === factors;
  test(`planChunkBackward with ${name} takes several slices of keys and values`, { skip }, async () => {
    const tuning = { slice: 32, columns: 16 };
    await holds(gpu!, [
      { decay, pre, T: 33, K: 64, V: 64, B: 1, H: 2, tuning },
      { decay, pre, T: 20, K: 80, V: 48, B: 1, H: 1, initial: false, final: false, tuning },
      { decay, pre, T: 35, K: 128, V: 16, B: 1, H: 1, tuning },
      { decay, pre, T: 33, K: 33, V: 1, B: 1, gates: adversarial, tuning },
      { decay, pre, T: 18, K: 3, V: 40, B: 1, tuning },
    ]);
  });
}

for (
  const [name, decay, pre, tuning] of [
    ["short chunks and halves of states", diagonal, false, { chunk: 16, slice: 64, part: 32, columns: 16 }],
    ["two kernels", byToken, false, { fused: false, slice: 32 }],
    ["split operands", diagonal, true, { mode: "split", hardware: false, slice: 32 }],
    ["split operands, a decay by token", byToken, false, { mode: "split", hardware: false, slice: 32 }],
  ] as const
) {
  const skip = gpu === null || software && "mode" in tuning && decay === byToken;
  test(`planChunkBackward is the gradient with ${name}`, { skip }, async () => {
    await holds(gpu!, [
      { decay, pre, T: 50, K: 16, V: 24, tuning },
      { decay, pre, T: 40, K: tuning.slice, V: tuning.slice, B: 1, H: 1, tuning },
      { decay, pre, T: 33, K: 5, V: 6, B: 1, H: 1, gates: adversarial, tuning },
    ]);
  });
}

for (const [name, decay] of [["none", none], ["scalar", byToken], ["diagonal", diagonal]] as const) {
  test(`planChunkBackward carries ${name} states in segments`, { skip: gpu === null }, async () => {
    await holds(gpu!, [2, 3, 99].map((segments) => ({ decay, T: 150, K: 4, V: 3, tuning: { segments } })));
    const fault = "dropped-carry" as const;
    const work = await made(gpu!, { decay, T: 150, K: 4, V: 3, tuning: { segments: 2 }, fault });
    const [result] = await worst(gpu!, [work]);
    assert(result!.share > 1, `a dropped carry is ${result!.share} of the bound: ${result!.where}`);
  });
}

for (const { name, decay, pre } of kinds) {
  test(`planChunkBackward with ${name} is the gradient, unrolled`, { skip: software }, async () => {
    const tunings: readonly ChunkBackwardTuning[] = [
      {},
      { mode: "f32" },
      { mode: "f32", chunk: 16, slice: 64, columns: 16 },
      { fused: false, slice: 64, part: 32 },
    ];
    await holds(
      gpu!,
      tunings.flatMap((tuning) => [
        { decay, pre, T: 50, K: 16, V: 24, tuning },
        { decay, pre, T: 70, K: 64, V: 64, tuning },
        { decay, pre, T: 100, K: 80, V: 48, gates: adversarial, tuning },
      ]),
    );
  });
}
