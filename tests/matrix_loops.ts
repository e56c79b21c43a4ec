/**
 * WGSL for matrix units run without them: its matrix functions are replaced by loops over the same arrays, the rest of the
 * text stays. An operand is where it lies, sums are eight of an invocation's own; subgroups are taken to be of 32.
 */
import type { Gpu } from "../kernels/gpu.ts";
import { raggedArrays } from "./workgroup_layout.ts";

const LANES = 32;

/** The comma-separated arguments of a call that opens before `from`, and where it ends. */
function argumentsOf(text: string, from: number): { readonly args: readonly string[]; readonly end: number } {
  const args: string[] = [];
  let [depth, last, at] = [0, from, from];
  for (; depth >= 0; at++) {
    const c = text[at];
    if (c === undefined) throw new TypeError("Cannot replace matrix functions: a call does not end");
    if (c === "(" || c === "[") depth++;
    else if (c === ")" || c === "]") depth--;
    if (depth < 0 || depth === 0 && c === ",") {
      args.push(text.slice(last, at).trim());
      last = at + 1;
    }
  }
  return { args, end: at };
}

const eachOwn = (text: string): string =>
  `for (var n = 0u; n < 8u; n++) { let row = lid % ${LANES}u / 2u; let column = lid % 2u * 8u + n; ${text} }`;

/** The text without matrix units; `f16` stays. */
export function matrixLoops(code: string): string {
  const text = code
    .replaceAll(/^enable (subgroups|chromium_experimental_subgroup_matrix);$/gm, "")
    .replaceAll(/^diagnostic\(off, (chromium\.subgroup_matrix|subgroup)_uniformity\);$/gm, "")
    .replace(/alias MatrixLeft = [^;]+;/, "struct MatrixOperand { at: u32, down: u32, across: u32 }")
    .replace(/alias MatrixRight = [^;]+;/, "alias MatrixLeft = array<f32, 256>; alias MatrixRight = MatrixLeft;")
    .replace(/alias MatrixSums = [^;]+;/, "alias MatrixSums = array<f32, 8>;")
    .replaceAll("subgroupMatrixScalarMultiply(", "mu_scaled(")
    // wgpu takes four halves in two words for numbers of f32.
    .replaceAll("bitcast<vec4<f16>>(", "mu_halves(");
  const functions = new Map<string, string>();
  /** The array of every fragment, as last loaded. */
  const arrays = new Map<string, string>();
  /** Fragments that are held in variables. */
  const kept = new Set<string>();
  const call = /subgroupMatrix(Load|Store|MultiplyAccumulate)(?:<(?:(\w+), )?(\w+)>)?\(/g;
  const steps = (order: string, stride: string): string => order === "row_major" ? `${stride}, 1u` : `1u, ${stride}`;
  if (text.includes("mu_scaled(")) {
    functions.set(
      "mu_scaled",
      `(given: MatrixSums, x: f32) -> MatrixSums {
  var mu_own = given;
  for (var n = 0u; n < 8u; n++) { mu_own[n] *= x; }
  return mu_own;`,
    );
  }
  if (text.includes("mu_halves(")) {
    functions.set(
      "mu_halves",
      `(words: vec2u) -> vec4<f16> {
  return vec4<f16>(vec4f(unpack2x16float(words.x), unpack2x16float(words.y)));`,
    );
  }
  let result = "";
  let done = 0;
  for (let match = call.exec(text); match !== null; match = call.exec(text)) {
    const [, what, type, order = ""] = match;
    const { args: [first = "", second = "", third = "", fourth = ""], end } = argumentsOf(text, call.lastIndex);
    const before = text.slice(done, match.index);
    result += before;
    const array = first.slice(1);
    const held = /(?<!let )\b(\w+) = $/.exec(before)?.[1];
    if (what === "Load" && type !== "MatrixSums" && held !== undefined) {
      // Its array may be written over before it is used.
      functions.set(
        `mu_hold_${array}`,
        `(at: u32, down: u32, across: u32) -> MatrixLeft {
  var mu_own: MatrixLeft;
  for (var n = 0u; n < 256u; n++) { mu_own[n] = f32(${array}[at + n / 16u * down + n % 16u * across]); }
  return mu_own;`,
      );
      kept.add(held);
      result += `mu_hold_${array}(${second}, ${steps(order, third)})`;
    } else if (what === "Load" && type !== "MatrixSums") {
      arrays.set(/let (\w+) = $/.exec(before)![1]!, array);
      result += `MatrixOperand(${second}, ${steps(order, third)})`;
    } else if (what === "Load") {
      functions.set(
        `mu_load_${array}`,
        `(at: u32, down: u32, across: u32, lid: u32) -> MatrixSums {
  var mu_own: MatrixSums;
  ${eachOwn(`mu_own[n] = ${array}[at + row * down + column * across];`)}
  return mu_own;`,
      );
      result += `mu_load_${array}(${second}, ${steps(order, third)}, lid)`;
    } else if (what === "Store") {
      functions.set(
        `mu_store_${array}`,
        `(at: u32, given: MatrixSums, down: u32, across: u32, lid: u32) {
  var mu_own = given;
  ${eachOwn(`${array}[at + row * down + column * across] = mu_own[n];`)}`,
      );
      result += `mu_store_${array}(${second}, ${third}, ${steps(order, fourth)}, lid)`;
    } else {
      const side = (name: string, own: "a" | "b", row: string, column: string): readonly [string, string, string] => {
        if (kept.has(name)) return ["held", "MatrixLeft", `${own}[(${row}) * 16u + ${column}]`];
        const array = arrays.get(name)!;
        return [
          array,
          "MatrixOperand",
          `f32(${array}[${own}.at + (${row}) * ${own}.down + (${column}) * ${own}.across])`,
        ];
      };
      const [a, typeOfA, left] = side(first, "a", "row", "k");
      const [b, typeOfB, right] = side(second, "b", "k", "column");
      functions.set(
        `mu_multiply_${a}_${b}`,
        `(${typeOfA === "MatrixLeft" ? "given_a" : "a"}: ${typeOfA}, ${
          typeOfB === "MatrixLeft" ? "given_b" : "b"
        }: ${typeOfB}, given: MatrixSums, lid: u32) -> MatrixSums {
  var mu_own = given;
  ${typeOfA === "MatrixLeft" ? "var a = given_a;" : ""} ${typeOfB === "MatrixLeft" ? "var b = given_b;" : ""}
  for (var k = 0u; k < 16u; k++) {
    ${eachOwn(`mu_own[n] += ${left} * ${right};`)}
  }
  return mu_own;`,
      );
      result += `mu_multiply_${a}_${b}(${first}, ${second}, ${third}, lid)`;
    }
    done = call.lastIndex = end;
  }
  return [result + text.slice(done), ...[...functions].map(([name, body]) => `fn ${name}${body}\n}`)].join("\n");
}

/** A device that says it has matrix units, and runs {@linkcode matrixLoops}; `codes` gets the texts that it was given. */
export function withMatrixLoops(gpu: Gpu, codes: string[] = []): Gpu {
  const own: { readonly [name: PropertyKey]: unknown } = {
    features: new Set([...gpu.features, "subgroups", "chromium-experimental-subgroup-matrix"]),
    subgroups: { min: LANES, max: LANES },
    subgroupMatrices: undefined,
    compile(options: Parameters<Gpu["compile"]>[0]) {
      codes.push(options.code);
      const ragged = raggedArrays(options.code);
      if (ragged.length > 0) throw new TypeError(`not of whole 16 bytes: ${ragged.join(", ")}`);
      return gpu.compile({ ...options, code: matrixLoops(options.code) });
    },
  };
  return new Proxy(gpu, {
    get(target, name) {
      if (Object.hasOwn(own, name)) return own[name];
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
