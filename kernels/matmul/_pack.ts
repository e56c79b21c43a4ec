/**
 * Brings one operand into the order and the precision of a matrix unit: 16 × 16 tiles one after the other, rows (of A; of B
 * columns), 16 together or one by one, scaled by powers of two so that halves hold them. What lies beyond the ends is zero.
 *
 * A workgroup takes 16 rows of one chunk of the sum: it finds their largest magnitudes, then scales and stores.
 */

import type { MatrixUnit } from "../matrix_unit.ts";
import { entryPerGroup } from "./_entry.ts";
import { quadLoad } from "./_load.ts";
import type { Side } from "./_problem.ts";
import { type Sizes, sizesText, sizesWords } from "./_sizes.ts";

const PACK_THREADS = 256;
/** Slabs of 64 terms that an invocation reads at once, where operands are large. */
const AHEAD = 8;

const four = [0, 1, 2, 3] as const;

/** An operand as it is packed. */
export interface Packed {
  readonly batches: number;
  /** Of 16 rows of A, or columns of B. */
  readonly blocks: number;
  /** Of 16 terms of the sum. */
  readonly tiles: number;
  /** Tiles of a chunk, over which a scale holds. */
  readonly chunkTiles: number;
  /** Rows of one scale. */
  readonly scaled: 1 | 16;
  /** Whether a tile's numbers of one term lie together, 16 rows of it, rather than those of one row. */
  readonly termwise: boolean;
  /** Blocks whose tiles lie together, those of a workgroup: for each of the sum's tiles, that of every block. */
  readonly panel: number;
}

export const chunksOf = ({ tiles, chunkTiles }: Packed): number => Math.ceil(tiles / chunkTiles);

/** Tiles of one packed matrix, whole panels: what lies in the last one beyond the blocks is never looked at. */
export const packedTiles = ({ blocks, tiles, panel }: Packed): number => Math.ceil(blocks / panel) * panel * tiles;

/** Elements of the packed operand. */
export const packedLength = (packed: Packed): number => 256 * packed.batches * packedTiles(packed);

/** Reciprocal scales of a chunk. */
export const scalesEach = ({ blocks, scaled }: Packed): number => blocks * (16 / scaled);

/** Numbers of all, `[batches, chunks, each]`. */
export const scalesLength = (packed: Packed): number => packed.batches * chunksOf(packed) * scalesEach(packed);

/** The exponent that the largest number of a scale gets, and the largest a scale may have, so that both are normal. */
const TOP = 14;
const MOST = 126;

/** WGSL: powers of two. */
export const scaleFunctions: string = /* wgsl */ `
/* What brings a number of this size to [2^${TOP}, 2^${TOP + 1}), and back. */
fn scale_of(size: f32) -> f32 {
  let exponent = i32(bitcast<u32>(size) >> 23u) - 127;
  return bitcast<f32>(u32(min(${TOP} - exponent, ${MOST}) + 127) << 23u);
}
fn reciprocal(scale: f32) -> f32 {
  return bitcast<f32>((254u << 23u) - bitcast<u32>(scale));
}`;

export function packWorkgroups(packed: Packed): number {
  return packed.batches * packed.blocks * chunksOf(packed);
}

export function packSizes({ outer, inner }: Side, packed: Packed): Sizes {
  const { blocks, tiles, chunkTiles } = packed;
  const [chunks, workgroups] = [chunksOf(packed), packWorkgroups(packed)];
  return {
    outer,
    inner,
    blocks,
    matrix: packedTiles(packed),
    terms: 16 * tiles,
    chunk: 16 * chunkTiles,
    chunks,
    workgroups,
  };
}

/** Says all that makes packed operands differ, but what they hold. */
export function packKey(unit: MatrixUnit, side: Side, packed: Packed): string {
  const { scaled, termwise, panel } = packed;
  const words = sizesWords(packSizes(side, packed)).join(" ");
  return `${unit.key}, ${side.along ? "along" : "across"}, ${words}, ${scaled} ${termwise} ${panel}`;
}

/** Bindings: the operand, its reciprocal scales, the packed arrays, and {@linkcode packSizes}. */
export function packShader(unit: MatrixUnit, side: Side, packed: Packed): string {
  const { panel, scaled, termwise } = packed;
  // Of four numbers: of one row, or one of each.
  const [one, apart] = [side.along || scaled === 16, scaled === 1];
  // Four numbers that were read together lie together, or in four rows.
  const together = side.along !== termwise;
  const { fours } = unit;
  // Where they do not, an invocation reads four times four, and turns them.
  const turned = fours !== undefined && !together;
  const place = placesOf(side, termwise, { fours: fours !== undefined, turned });
  const put = (quads: readonly string[]): string => {
    const scaled = (value: string, c: number): string => `${value} * scale${one ? "" : `[${c}]`}`;
    if (fours === undefined) {
      return four.map((c) => unit.put("packed", `to + ${together ? c : 16 * c}u`, scaled(`${quads[0]}[${c}]`, c))).join(
        "\n    ",
      );
    }
    if (!turned) return fours.put("packed", "to / 4u", `${quads[0]} * scale`);
    return four.map((c) => {
      const others = quads.map((quad) => `${quad}[${c}]`).join(", ");
      return fours.put("packed", `to / 4u + ${4 * c}u`, scaled(`vec4f(${others})`, c));
    }).join("\n    ");
  };
  const each = turned ? four : [0];
  const span = 64 * each.length;
  const slabs = Array.from({ length: unit.hardware ? AHEAD / each.length : 1 }, (_, n) => n);
  const quadsOf = (n: number): readonly string[] => each.map((c) => `quad_${n}_${c}`);
  /** All terms of an invocation: those of several slabs are on their way at once. */
  const terms = (then: (quads: readonly string[]) => string): string => {
    const reads = slabs.map((n) => {
      const quads = quadsOf(n).map((quad, c) => ({ quad, from: place.quad(`k_${n}`, c) }));
      return `${quads.map(({ quad }) => `var ${quad} = vec4f();`).join(" ")} ` +
        `if (k_${n} < end) { ${quads.map(({ quad, from }) => `${quad} = ${from};`).join(" ")} }`;
    });
    return `for (var slab = first; slab < end; slab += ${span * slabs.length}u) {
    let k_0 = slab + ${place.k};
    ${slabs.slice(1).map((n) => `let k_${n} = k_0 + ${span * n}u;`).join(" ")}
    ${reads.join("\n    ")}
    ${slabs.map((n) => `if (k_${n} < end) { let k = k_${n}; ${then(quadsOf(n))} }`).join("\n    ")}
  }`;
  };
  return /* wgsl */ `${unit.prelude}
${sizesText(packSizes(side, packed), 2 + unit.arrays("packed").length)}
${quadLoad("x", 0, side, { outer: "sizes.outer", inner: "sizes.inner", matrix: "batch", whole: side.inner % 4 === 0 })}
@group(0) @binding(1) var<storage, read_write> scales: array<f32>;
${(fours ?? unit).storage("packed", 2, "read_write")}
${unit.functions}
var<workgroup> largest: array<${one ? "f32" : "vec4f"}, ${PACK_THREADS}>;

${scaleFunctions}

${
    entryPerGroup(
      PACK_THREADS,
      /* wgsl */ `let chunk = group % sizes.chunks;
  let block = group / sizes.chunks % sizes.blocks;
  let batch = group / (sizes.chunks * sizes.blocks);
  let row = ${place.row};
  let first = sizes.chunk * chunk;
  let end = min(first + sizes.chunk, sizes.terms);

  var most = vec4f();
  ${terms((quads) => quads.map((quad) => `most = max(most, abs(${quad}));`).join(" "))}
  largest[lid] = ${one ? "max(max(most.x, most.y), max(most.z, most.w))" : "most"};
  ${apart ? rowScales(side) : blockScale}
  ${
        terms((quads) =>
          `let tile = batch * sizes.matrix + (block / ${panel}u * (sizes.terms / 16u) + k / 16u) * ${panel}u + block % ${panel}u;
    let to = tile * 256u + ${termwise ? "k % 16u * 16u + row" : "row * 16u + k % 16u"};
    ${put(quads)}`
        )
      }`,
    )
  }
`;
}

/** Where an invocation's first row and term of a slab are, as WGSL, and how its `c`-th four numbers from there are read. */
interface Places {
  readonly row: string;
  readonly k: string;
  quad(k: string, c: number): string;
}

/**
 * Neighbours read along the rows in which the operand lies. Vectors are stored 32 bytes together, four invocations', except
 * that {@linkcode rowScales} has a say in which rows an invocation of an operand across the sum has.
 */
function placesOf(
  { along }: Side,
  termwise: boolean,
  { fours, turned }: { readonly fours: boolean; readonly turned: boolean },
): Places {
  const quad = along
    ? (k: string, c: number) => `x_quad(batch, 16u * block + row + ${c}u, ${k})`
    : (k: string, c: number) => `x_quad(batch, ${k} + ${c}u, 16u * block + row)`;
  const times = turned ? "4u * " : "";
  if (fours && termwise) return { row: "4u * (lid % 4u)", k: `${times}(lid / 4u)`, quad };
  // Along the sum, 16 threads read a row; across it, 4 threads read 16 rows at 64 terms.
  return along
    ? { row: "lid / 16u", k: "4u * (lid % 16u)", quad }
    : { row: "4u * (lid / 16u % 4u)", k: `${times}(lid % 16u + 16u * (lid / 64u))`, quad };
}

const blockScale = /* wgsl */ `
  for (var other = ${PACK_THREADS / 2}u; other > 0u; other /= 2u) {
    workgroupBarrier();
    if (lid < other) { largest[lid] = max(largest[lid], largest[lid + other]); }
  }
  workgroupBarrier();
  let scale = scale_of(largest[0]);
  if (lid == 0u) { scales[(batch * sizes.chunks + chunk) * sizes.blocks + block] = reciprocal(scale); }`;

/** A scale of each of the 16 rows. */
function rowScales({ along }: Side): string {
  const at = "let at = ((batch * sizes.chunks + chunk) * sizes.blocks + block) * 16u + row;";
  return along
    ? /* wgsl */ `
  workgroupBarrier();
  var size = 0.0;
  for (var i = 0u; i < 16u; i++) { size = max(size, largest[lid / 16u * 16u + i]); }
  let scale = scale_of(size);
  ${at}
  if (lid % 16u == 0u) { scales[at] = reciprocal(scale); }`
    : /* wgsl */ `
  workgroupBarrier();
  var size = vec4f();
  for (var i = 0u; i < 64u; i++) { size = max(size, largest[i % 16u + 64u * (i / 16u) + lid / 16u % 4u * 16u]); }
  let scale = vec4f(${four.map((c) => `scale_of(size[${c}])`).join(", ")});
  ${at}
  if (lid % 16u == 0u && lid < 64u) { ${four.map((c) => `scales[at + ${c}u] = reciprocal(scale[${c}]);`).join(" ")} }`;
}
