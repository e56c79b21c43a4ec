/** How WGSL lays its workgroup arrays out. */

const sizes: { readonly [type: string]: number } = {
  "f16": 2,
  "f32": 4,
  "u32": 4,
  "i32": 4,
  "atomic<u32>": 4,
  "vec2f": 8,
  "vec4f": 16,
};

/**
 * Workgroup variables that do not take a multiple of 16 bytes: those behind one are not aligned to what matrix units read at
 * a time, wherever a driver puts them.
 */
export function raggedArrays(code: string): string[] {
  return [...code.matchAll(/var<workgroup>\s+(\w+)\s*:\s*([^;]+);/g)]
    .filter(([, , type = ""]) => {
      const [, element = type, count = "1"] = /^array<(.+), (\d+)>$/.exec(type) ?? [];
      const size = sizes[element];
      if (size === undefined) throw new TypeError(`Cannot lay out ${type}: its size is not known`);
      return size * Number(count) % 16 !== 0;
    })
    .map(([, name = "", type]) => `${name}: ${type}`);
}
