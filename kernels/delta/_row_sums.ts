/** Sums along the last axis of products of two f32 arrays, or of one array: gradients of one number per token and head. */
import { type Fault, relativeFactor } from "../faults.ts";
import { assemble, entryPerItem, type Shader, storage } from "../wgsl.ts";

/** `sums[row] = Σ_j a[row, j]·b[row, j]`, or of `a` alone. One invocation per row. */
export function rowSums(width: number, both: boolean, fault: Fault | undefined): Shader {
  const four = width % 4 === 0;
  const type = four ? "array<vec4f>" : "array<f32>";
  const count = four ? width / 4 : width;
  const term = four ? (both ? "dot(a[at], b[at])" : "dot(a[at], vec4f(1.0))") : both ? "a[at] * b[at]" : "a[at]";
  return assemble("delta row sums", {
    bindings: [
      { name: "a", access: "read", type },
      { name: "b", access: "read", type },
      storage("row_sums", "f32", "read_write"),
    ],
    source: entryPerItem(
      "arrayLength(&row_sums)",
      /* wgsl */ `
  var sum = 0.0;
  for (var i = 0u; i < ${count}u; i++) {
    let at = id * ${count}u + i;
    sum += ${term};
  }
  row_sums[id] = sum${relativeFactor(fault)};`,
    ),
  });
}
