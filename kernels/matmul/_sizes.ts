/**
 * Sizes of a problem in a uniform rather than in a kernel's text: a network has dozens of shapes, and every text takes a GPU's
 * driver a good part of a second to compile.
 */

/** Names and numbers of the uniform's words. */
export interface Sizes {
  readonly [name: string]: number;
}

/** WGSL: the uniform `sizes`. */
export function sizesText(sizes: Sizes, binding: number): string {
  const members = Object.keys(sizes).map((name) => `${name}: u32`).join(", ");
  return `struct Sizes { ${members} }\n@group(0) @binding(${binding}) var<uniform> sizes: Sizes;`;
}

/** The uniform's words, whole vectors of four. */
export function sizesWords(sizes: Sizes): Uint32Array<ArrayBuffer> {
  const words = Object.values(sizes);
  return Uint32Array.from({ length: Math.ceil(words.length / 4) * 4 }, (_, i) => words[i] ?? 0);
}
