/** Traced expressions as WGSL: what the text looks like, that every shader compiles, and what its functions are worth. */
import { after, test } from "node:test";
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { modelShaders } from "../kernels/_model_kernels.ts";
import { f32Profile, primeProfile, type Profile, wrapProfile } from "../kernels/profile.ts";
import { emitter } from "../kernels/trace.ts";
import { assemble, compileShader, dispatchItems, entryPerItem, storage } from "../kernels/wgsl.ts";
import { type FunctionAccuracy, wgslAccuracy } from "../models/accuracy.ts";
import { deltaNet } from "../models/delta_net.ts";
import { models } from "../models/mod.ts";
import { f64 } from "../models/number.ts";
import { symbolic, type UnaryOp } from "../models/symbolic.ts";
import { gpuForTests } from "./gpu.ts";

const gpu = await gpuForTests("that every shader compiles, and the accuracy of exp and its like on the GPU");
after(() => gpu?.close());

const sizes = { K: 5, V: 3, D: 7, N: 4 };
const i = { symbol: "i" };

function perToken(profile: Profile) {
  return emitter(profile, {
    load: (field, index) => ({ text: `${field}[${["s", ...index].join(", ")}]`, needs: ["s"] }),
    variable: (name) => name,
  });
}

test("emitter computes a shared expression once", () => {
  const A = symbolic();
  const e = perToken(f32Profile);
  const x = A.load("x", []);
  const y = A.exp(x);
  assertEquals(e.value(A.mul(y, A.add(y, x))), "e3");
  assertEquals(e.text(), "let e0 = x[s];\nlet e1 = ds_exp(e0);\nlet e2 = e1 + e0;\nlet e3 = e1 * e2;");
});

test("emitter hoists what a sum does not need out of its loop", () => {
  const A = symbolic();
  const e = perToken(f32Profile);
  const sum = A.sum(4, (k) => A.mul(A.exp(A.load("g", [])), A.load("x", [k])));
  e.scope("for (var s = 0u; s < n; s++)", ["s"], () => e.line(`total += ${e.value(sum)};`));
  const text = e.text();
  assert(text.indexOf("ds_exp") < text.indexOf("for (var e_i0"), text);
  assert(text.indexOf("for (var s") < text.indexOf("ds_exp"), text);
});

test("emitter hoists a parameter out of the loop over tokens", () => {
  const A = symbolic();
  const e = emitter(f32Profile, {
    load: (field) => field === "parameter" ? "parameter[h]" : { text: `${field}[s]`, needs: ["s"] },
  });
  e.scope("for (var s = 0u; s < n; s++)", ["s"], () => {
    e.line(`total += ${e.value(A.mul(A.exp(A.load("parameter", [])), A.load("x", [])))};`);
  });
  const text = e.text();
  assert(text.indexOf("ds_exp") < text.indexOf("for (var s"), text);
});

test("emitter keeps the loads of a branch inside it", () => {
  const A = symbolic();
  const e = perToken(f32Profile);
  e.value(A.sum(4, (k) => A.below(i, 3, (i) => A.mul(A.load("x", [i]), A.load("y", [k])), () => A.of(1))));
  const text = e.text();
  assert(text.indexOf("if (i < 3u)") < text.indexOf("x[s, i]"), text);
  assertStringIncludes(text, "else");
});

test("emitter computes again what was first needed inside a branch", () => {
  const A = symbolic();
  const e = perToken(f32Profile);
  const x = A.load("x", [0]);
  const y = A.add(A.below(i, 3, () => A.neg(x), () => A.of(0)), x);
  e.value(y);
  assertEquals(e.text().match(/x\[s, 0u\]/g)?.length, 2);
});

test("emitter refuses a constant that f32 does not hold, and operations a finite ring does not have", () => {
  const A = symbolic();
  const x = A.load("x", []);
  assertThrows(() => perToken(f32Profile).value(A.mul(x, A.of(0.1))), Error, "must be an f32 number");
  assertThrows(() => perToken(primeProfile).value(A.div(x, A.add(x, x))), Error, "operation of a ring");
  assertThrows(() => perToken(wrapProfile).value(A.exp(x)), Error, "operation of a ring");
  assertThrows(() => emitter(f32Profile, {}).value(x), Error, "environment");
});

test("the text of a shader does not grow with the sizes", () => {
  const text = (K: number) =>
    Object.values(
      modelShaders(deltaNet, { K, V: K }, {
        profile: f32Profile,
        from: "raw",
        subgroups: false,
        fault: undefined,
      }).kernels,
    ).map(({ code }) => code.length).reduce((a, b) => a + b);
  assert(text(512) < text(16));
});

for (const model of models) {
  test(`every shader of ${model.name} compiles`, { skip: gpu === null }, async () => {
    for (const profile of [f32Profile, primeProfile, wrapProfile]) {
      for (const subgroups of gpu!.subgroups === undefined ? [false] : [false, true]) {
        const from = profile === f32Profile ? "raw" : "activated";
        const { kernels } = modelShaders(model, sizes, { profile, from, subgroups, fault: undefined });
        for (const shader of Object.values(kernels)) await compileShader(gpu!, shader);
      }
    }
  });
}

/** Values of a function on the GPU. */
async function onGpu(op: UnaryOp, xs: Float32Array): Promise<Float32Array> {
  const shader = assemble(`check ${op}`, {
    bindings: [storage("given", "f32"), storage("results", "f32", "read_write")],
    source: f32Profile.prelude +
      entryPerItem("arrayLength(&given)", `let x = given[id]; results[id] = ${f32Profile.unary(op, "x")};`),
  });
  const kernel = await compileShader(gpu!, shader);
  const given = gpu!.upload(xs);
  const results = gpu!.createBuffer({ bytes: xs.byteLength });
  await gpu!.run(shader.label, [dispatchItems(kernel, { given, results }, xs.length)]);
  const values = await gpu!.read(results, Float32Array);
  given.destroy();
  results.destroy();
  return values;
}

/** A geometric grid of either sign between 2^-140 and `top`, and an even one. */
function grid(low: number, top: number): Float32Array {
  const xs: number[] = [0];
  for (let n = 0; n < 4000; n++) {
    xs.push(low + (top - low) * n / 4000);
    const magnitude = 2 ** (-140 + n * (Math.log2(top) + 140) / 4000);
    xs.push(magnitude);
    if (low < 0) xs.push(-magnitude);
  }
  return Float32Array.from(xs).filter((x) => x >= low && x <= top);
}

const functions: readonly (readonly [UnaryOp & keyof typeof wgslAccuracy, (x: number) => number, number, number])[] = [
  ["exp", Math.exp, -110, 88],
  ["expm1", Math.expm1, -110, 88],
  ["sigmoid", f64.sigmoid, -110, 110],
  ["softplus", f64.softplus, -110, 110],
  ["sqrt", Math.sqrt, 0, 1e30],
];

for (const [op, truth, low, top] of functions) {
  test(`${op} on the GPU is within its published error`, { skip: gpu === null }, async () => {
    const xs = grid(low, top);
    const got = await onGpu(op, xs);
    const { units, perArgument } = wgslAccuracy[op] as FunctionAccuracy;
    for (let n = 0; n < xs.length; n++) {
      const x = xs[n]!;
      const want = truth(x);
      const flush = op === "sqrt" ? (x < 2 ** -126 ? wgslAccuracy.sqrtFlush : 0) : 2 * wgslAccuracy.flush;
      const allowed = (units + perArgument * Math.abs(x)) * wgslAccuracy.unit * Math.abs(want) + flush;
      const error = Math.abs(got[n]! - want);
      assert(error <= allowed, `${op}(${x}): got ${got[n]}, want ${want}, ${error / allowed} of the allowed error`);
    }
  });
}

test(
  "expMantissa and expExponent make e^x where e^x itself overflows or vanishes",
  { skip: gpu === null },
  async () => {
    const xs = grid(-1400, 1400);
    const [mantissa, exponent] = [await onGpu("expMantissa", xs), await onGpu("expExponent", xs)];
    const { units, perArgument } = wgslAccuracy.expMantissa;
    for (let n = 0; n < xs.length; n++) {
      const x = xs[n]!;
      // In f64: ln 2 as two numbers, the first short enough for an exact product.
      const rest = (x - exponent[n]! * 6.93147180369123816490e-01) - exponent[n]! * 1.90821492927058770002e-10;
      const want = Math.exp(rest);
      const allowed = (units + perArgument * Math.abs(x)) * wgslAccuracy.unit * want;
      assert(Number.isInteger(exponent[n]) && mantissa[n]! >= 0.5 && mantissa[n]! <= 2, `${x}`);
      assert(Math.abs(mantissa[n]! - want) <= allowed, `expMantissa(${x}): got ${mantissa[n]}, want ${want}`);
    }
  },
);

test("scale2 and exponent are exact on the GPU", { skip: gpu === null }, async () => {
  const pairs: [number, number][] = [];
  for (const x of [1, -1.5, 3e38, 1.2e-38, 0, 0.7]) for (let e = -310; e <= 127; e++) pairs.push([x, e]);
  const shader = assemble("check scale2", {
    bindings: [storage("given", "f32"), storage("results", "f32", "read_write")],
    source: f32Profile.prelude + entryPerItem(
      "arrayLength(&given) / 2u",
      "results[2u * id] = ds_scale2(given[2u * id], given[2u * id + 1u]); results[2u * id + 1u] = ds_exponent(given[2u * id]);",
    ),
  });
  const kernel = await compileShader(gpu!, shader);
  const xs = Float32Array.from(pairs.flat());
  const given = gpu!.upload(xs);
  const results = gpu!.createBuffer({ bytes: xs.byteLength });
  await gpu!.run(shader.label, [dispatchItems(kernel, { given, results }, pairs.length)]);
  const got = await gpu!.read(results, Float32Array);
  for (let n = 0; n < pairs.length; n++) {
    const [x, e] = [xs[2 * n]!, xs[2 * n + 1]!];
    const want = Math.fround(f64.scale2(x, e));
    if (Number.isFinite(want)) {
      assertEquals(got[2 * n]! + 0, (Math.abs(want) < 2 ** -126 ? 0 : want) + 0, `${x} · 2^${e}`);
    } else assert(!Number.isFinite(got[2 * n]!), `${x} · 2^${e} must overflow, got ${got[2 * n]}`);
    assertEquals(got[2 * n + 1], f64.exponent(x));
  }
});
