/**
 * Rows of a table by ids, and the gradient of the table: for every row the sum of what its tokens got, in the order of the
 * tokens, without atomics.
 *
 * Tokens are sorted by id first, stably: a token's place is the number of smaller ids and of equal ones before it, counted
 * by looking at all of them, n² comparisons. A row then finds its tokens by bisection.
 */
import type { Gpu } from "../gpu.ts";
import { assemble, compileShader, dispatch, dispatchItems, entryPerItem, type Shader, storage } from "../wgsl.ts";
import type { Ids } from "./ids.ts";
import type { Placement, Prepared } from "./program.ts";
import type { Slot } from "./slot.ts";

const sizesBinding = { name: "sizes", access: "uniform", type: "vec4u" } as const;

/** Sizes: numbers of the result, width, rows of the table. */
const gatherShader: Shader = assemble("embedding", {
  bindings: [sizesBinding, storage("ids", "u32"), storage("table", "f32"), storage("result_of", "f32", "read_write")],
  source: entryPerItem(
    "sizes.x",
    "  let id_of = min(ids[id / sizes.y], sizes.z - 1u); result_of[id] = table[id_of * sizes.y + id % sizes.y];",
  ),
});

const BLOCK = 256;

/**
 * Sizes: tokens. Writes each token to its place, and its id to the same place.
 *
 * All tokens of a block before one's own come first if their ids are not above, of a block behind it if they are below: which
 * of two equal ids is the earlier has to be looked at inside the own block alone.
 */
const sortShader: Shader = assemble("sort ids", {
  bindings: [
    sizesBinding,
    storage("ids", "u32"),
    storage("order", "u32", "read_write"),
    storage("sorted", "u32", "read_write"),
  ],
  source: /* wgsl */ `
var<workgroup> block: array<vec4u, ${BLOCK / 4}>;
@compute @workgroup_size(${BLOCK})
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let start = flat_workgroup(workgroup, grid) * ${BLOCK}u;
  let token = start + local;
  let own = ids[min(token, sizes.x - 1u)];
  var places = vec4u();
  for (var first = 0u; first < sizes.x; first += ${BLOCK}u) {
    if (local < ${BLOCK / 4}u) {
      var four: vec4u;
      for (var i = 0u; i < 4u; i++) {
        // Beyond the last token there is no smaller id.
        let at = first + 4u * local + i;
        four[i] = select(0xffffffffu, ids[min(at, sizes.x - 1u)], at < sizes.x);
      }
      block[local] = four;
    }
    workgroupBarrier();
    if (first == start) {
      for (var i = 0u; i < ${BLOCK / 4}u; i++) {
        let earlier = vec4u(4u * i) + vec4u(0u, 1u, 2u, 3u) < vec4u(local);
        places += vec4u(block[i] < vec4u(own)) + vec4u(earlier & (block[i] == vec4u(own)));
      }
    } else if (first < start) {
      for (var i = 0u; i < ${BLOCK / 4}u; i++) { places += vec4u(block[i] <= vec4u(own)); }
    } else {
      for (var i = 0u; i < ${BLOCK / 4}u; i++) { places += vec4u(block[i] < vec4u(own)); }
    }
    workgroupBarrier();
  }
  if (token >= sizes.x) { return; }
  let place = places.x + places.y + places.z + places.w;
  order[place] = token;
  sorted[place] = own;
}
`,
});

/** Invocations that share a column's sum, and columns of a workgroup. */
const LANES = 4;
const COLUMNS = 64;

/** Sizes: tokens, width, rows of the table, whether to add. */
const sumShader: Shader = assemble("embedding backward", {
  bindings: [
    sizesBinding,
    storage("order", "u32"),
    storage("sorted", "u32"),
    storage("g_of", "f32"),
    storage("table", "f32", "read_write"),
  ],
  source: /* wgsl */ `
var<workgroup> parts: array<f32, ${LANES * COLUMNS}>;
/* The first place whose id is not below. */
fn bound(id: u32) -> u32 {
  var low = 0u;
  var high = sizes.x;
  while (low < high) {
    let middle = (low + high) / 2u;
    if (sorted[middle] < id) { low = middle + 1u; } else { high = middle; }
  }
  return low;
}
@compute @workgroup_size(${LANES * COLUMNS})
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let group = flat_workgroup(workgroup, grid);
  let tiles = (sizes.y + ${COLUMNS - 1}u) / ${COLUMNS}u;
  let row = group / tiles;
  if (row >= sizes.z) { return; }
  let column = group % tiles * ${COLUMNS}u + local % ${COLUMNS}u;
  var sum = 0.0;
  if (column < sizes.y) {
    let end = bound(row + 1u);
    for (var at = bound(row) + local / ${COLUMNS}u; at < end; at += ${LANES}u) {
      sum += g_of[order[at] * sizes.y + column];
    }
  }
  parts[local] = sum;
  workgroupBarrier();
  if (local >= ${COLUMNS}u || column >= sizes.y) { return; }
  let total = (parts[local] + parts[local + ${COLUMNS}u]) +
    (parts[local + ${2 * COLUMNS}u] + parts[local + ${3 * COLUMNS}u]);
  let to = row * sizes.y + column;
  if (sizes.w == 0u) { table[to] = total; } else { table[to] += total; }
}
`,
});

export async function prepareEmbedding(
  gpu: Gpu,
  { table, ids, result }: { readonly table: Slot; readonly ids: Ids; readonly result: Slot },
  at: Placement,
): Promise<Prepared> {
  const [rows, width] = table.shape as [number, number];
  const buffers = {
    sizes: at.uniform(new Uint32Array([result.length, width, rows, 0])),
    ids: ids.buffer,
    table: at.tensor(table).buffer,
    result_of: at.tensor(result).buffer,
  };
  return { dispatches: [dispatchItems(await compileShader(gpu, gatherShader), buffers, result.length)] };
}

/** Sorts the ids: `order` and `sorted` hold as many 32-bit words as there are ids. */
export async function prepareSort(
  gpu: Gpu,
  { ids, order, sorted }: { readonly ids: Ids; readonly order: Slot; readonly sorted: Slot },
  at: Placement,
): Promise<Prepared> {
  const buffers = {
    sizes: at.uniform(new Uint32Array([ids.length, 0, 0, 0])),
    ids: ids.buffer,
    order: at.tensor(order).buffer,
    sorted: at.tensor(sorted).buffer,
  };
  return { dispatches: [dispatch(await compileShader(gpu, sortShader), buffers, Math.ceil(ids.length / BLOCK))] };
}

/** The table's gradient from that of the rows taken; every row of it is written. */
export async function prepareEmbeddingBackward(
  gpu: Gpu,
  { order, sorted, g, table, accumulate }: {
    readonly order: Slot;
    readonly sorted: Slot;
    readonly g: Slot;
    readonly table: Slot;
    readonly accumulate: boolean;
  },
  at: Placement,
): Promise<Prepared> {
  const [rows, width] = table.shape as [number, number];
  const buffers = {
    sizes: at.uniform(new Uint32Array([order.length, width, rows, accumulate ? 1 : 0])),
    order: at.tensor(order).buffer,
    sorted: at.tensor(sorted).buffer,
    g_of: at.tensor(g).buffer,
    table: at.tensor(table).buffer,
  };
  const kernel = await compileShader(gpu, sumShader);
  return { dispatches: [dispatch(kernel, buffers, rows * Math.ceil(width / COLUMNS))] };
}
