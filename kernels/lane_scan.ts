/**
 * The three kernels of the generic scan, for any operator whose lanes are independent.
 *
 * The meaning, per lane: `state_s = apply(lift(s), state_{s−1})`. The law that lets it run in parallel:
 * `apply(combine(earlier, later), state) = apply(later, apply(earlier, state))`.
 *
 * 1. `reduce`: one invocation per lane and chunk folds the chunk's elements in order.
 * 2. `scan`: one workgroup per lane scans the chunks' elements in blocks of {@link BLOCK} (Kogge–Stone, operands in
 *    order of time), carrying the state from block to block; it writes the state that comes into every chunk.
 * 3. `apply`: one invocation per lane and chunk runs through the chunk again from its incoming state and stores.
 *
 * With a single chunk only `apply` runs. Nothing is unrolled over time or lanes.
 *
 * @module
 */
import { type Fault, relativeFactor } from "./faults.ts";
import { assemble, type Binding, entryPerItem, type Shader, storage, WORKGROUP } from "./wgsl.ts";

/** Chunks that one step of the scan kernel combines. */
export const BLOCK: number = WORKGROUP;

/** The uniform of every scan kernel. */
export const paramsSource: string = /* wgsl */ `
struct Params {
  // Sequences, heads of each, lanes of a sequence (all heads), steps in this slab.
  B: u32, H: u32, lanes: u32, steps: u32,
  // Number of chunks, steps of a chunk; the outputs' steps, and which of them the slab's first is.
  chunks: u32, chunk: u32, total: u32, start: u32,
}
`;

/** The binding of {@link paramsSource}. */
export const paramsBinding: Binding = { name: "p", access: "uniform", type: "Params" };

/** Bytes of {@link paramsSource}. */
export const PARAMS_BYTES = 32;

/** Values of {@link paramsSource}. */
export interface Params {
  readonly B: number;
  readonly H: number;
  readonly lanes: number;
  readonly steps: number;
  readonly chunks: number;
  readonly chunk: number;
  /** Steps of the outputs; default: those of the slab. */
  readonly total?: number;
  /** The step of the outputs that the slab begins with; default 0. */
  readonly from?: number;
}

/** The uniform's contents. */
export function packParams({ B, H, lanes, steps, chunks, chunk, total = steps, from = 0 }: Params): Uint32Array {
  return new Uint32Array([B, H, lanes, steps, chunks, chunk, total, from]);
}

/** An operator on independent lanes as WGSL. `Element` and `State` are arrays of the two widths. */
export interface LaneProgram {
  readonly label: string;
  readonly type: "f32" | "u32";
  readonly elementWidth: number;
  readonly stateWidth: number;
  /** Buffers its functions use. */
  readonly bindings: readonly Binding[];
  /** `fn ds_identity() -> Element`, `fn ds_combine(earlier: Element, later: Element) -> Element`. */
  readonly monoid: string;
  /** `fn ds_apply(element: Element, state: State) -> State`. */
  readonly apply: string;
  /** `fn ds_lift(lane: u32, s: u32) -> Element`; `lane` counts the lanes of all sequences. */
  readonly lift: string;
  /** `fn ds_store(lane: u32, s: u32, state: State)`. */
  readonly store: string;
}

/** The kernels of one {@link LaneProgram}. */
export interface LaneShaders {
  readonly reduce: Shader;
  readonly scan: Shader;
  readonly apply: Shader;
}

const numbers = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** `target[at + 0] = value[0]; …` */
function store(target: string, at: string, value: string, width: number): string {
  return numbers(width).map((c) => `${target}[(${at}) * ${width}u + ${c}u] = ${value}[${c}];`).join(" ");
}

/** `Type(source[at + 0], …)` */
function load(type: string, source: string, at: string, width: number): string {
  return `${type}(${numbers(width).map((c) => `${source}[(${at}) * ${width}u + ${c}u]`).join(", ")})`;
}

/**
 * `aggregates[chunk, lane]` elements, `incoming[chunk, lane]` states, `carry_in[lane]`, `carry_out[lane]` states.
 * `subgroups` takes shuffles for the scan instead of workgroup memory alone.
 */
export function laneShaders(
  program: LaneProgram,
  { subgroups, fault }: { readonly subgroups: boolean; readonly fault?: Fault | undefined },
): LaneShaders {
  const { type, elementWidth, stateWidth, label } = program;
  const types = /* wgsl */ `
alias Element = array<${type}, ${elementWidth}>;
alias State = array<${type}, ${stateWidth}>;
`;
  const dropped = fault === "dropped-carry";
  const factor = relativeFactor(fault);
  const zero = `State(${numbers(stateWidth).map(() => type === "f32" ? "0.0" : "0u").join(", ")})`;
  const bindings: readonly Binding[] = [paramsBinding, ...program.bindings];

  const reduce = assemble(`${label}: reduce`, {
    bindings: [...bindings, storage("aggregates", type, "read_write")],
    source: paramsSource + types + program.monoid + program.lift + entryPerItem(
      "p.B * p.lanes * p.chunks",
      /* wgsl */ `
  let lanes = p.B * p.lanes;
  let lane = id % lanes;
  let first = id / lanes * p.chunk;
  let end = min(first + p.chunk, p.steps);
  var total = ds_identity();
  for (var s = first; s < end; s++) { total = ds_combine(total, ds_lift(lane, s)); }
  ${store("aggregates", "id", "total", elementWidth)}`,
    ),
  });

  const scan = assemble(`${label}: scan${subgroups ? " (subgroups)" : ""}`, {
    enable: subgroups ? "enable subgroups;\ndiagnostic(off, subgroup_uniformity);" : "",
    bindings: [
      paramsBinding,
      storage("aggregates", type),
      storage("carry_in", type),
      storage("incoming", type, "read_write"),
    ],
    source: paramsSource + types + program.monoid + program.apply +
      scanSource(program, subgroups, fault === "swapped-operands"),
  });

  const apply = assemble(`${label}: apply`, {
    bindings: [
      ...bindings,
      storage("incoming", type),
      storage("carry_in", type),
      storage("carry_out", type, "read_write"),
    ],
    source: paramsSource + types + program.monoid + program.apply + program.lift + program.store + entryPerItem(
      "p.B * p.lanes * p.chunks",
      /* wgsl */ `
  let lanes = p.B * p.lanes;
  let lane = id % lanes;
  let chunk = id / lanes;
  let first = chunk * p.chunk;
  let end = min(first + p.chunk, p.steps);
  var state = ${load("State", "carry_in", "lane", stateWidth)};
  if (chunk > 0u) { state = ${dropped ? zero : load("State", "incoming", "id", stateWidth)}; }
  for (var s = first; s < end; s++) {
    state = ds_apply(ds_lift(lane, s), state);
    ds_store(lane, s, state);
  }
  ${factor === "" ? "" : `state[0] = state[0]${factor};`}
  if (chunk + 1u == p.chunks) { ${store("carry_out", "lane", "state", stateWidth)} }`,
    ),
  });
  return { reduce, scan, apply };
}

function scanSource({ elementWidth, stateWidth }: LaneProgram, subgroups: boolean, swapped: boolean): string {
  const combine = (earlier: string, later: string): string =>
    swapped ? `ds_combine(${later}, ${earlier})` : `ds_combine(${earlier}, ${later})`;
  const element = load("Element", "aggregates", "chunk * lanes + lane", elementWidth);
  const carry = load("State", "carry_in", "lane", stateWidth);
  const write = store("incoming", "chunk * lanes + lane", "state", stateWidth);
  if (!subgroups) {
    return /* wgsl */ `
var<workgroup> scanned: array<Element, ${BLOCK}>;
@compute @workgroup_size(${BLOCK})
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let lanes = p.B * p.lanes;
  let lane = flat_workgroup(workgroup, grid);
  if (lane >= lanes) { return; }
  var carry = ${carry};
  for (var base = 0u; base < p.chunks; base += ${BLOCK}u) {
    let chunk = base + local;
    var total = ds_identity();
    if (chunk < p.chunks) { total = ${element}; }
    scanned[local] = total;
    workgroupBarrier();
    for (var distance = 1u; distance < ${BLOCK}u; distance *= 2u) {
      if (local >= distance) { total = ${combine("scanned[local - distance]", "total")}; }
      workgroupBarrier();
      scanned[local] = total;
      workgroupBarrier();
    }
    var state = carry;
    if (local > 0u) { state = ds_apply(scanned[local - 1u], carry); }
    if (chunk < p.chunks) { ${write} }
    carry = ds_apply(scanned[${BLOCK - 1}], carry);
    workgroupBarrier();
  }
}
`;
  }
  const shuffled = (distance: string): string =>
    `Element(${numbers(elementWidth).map((c) => `subgroupShuffleUp(total[${c}], ${distance})`).join(", ")})`;
  // Nothing promises that subgroups are made of consecutive invocations, so an invocation takes its place in time from
  // its subgroup: any order of the subgroups will do.
  return /* wgsl */ `
var<workgroup> arrivals: atomic<u32>;
var<workgroup> totals: array<Element, ${BLOCK}>;
@compute @workgroup_size(${BLOCK})
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(subgroup_invocation_id) place: u32,
  @builtin(subgroup_size) reported: u32,
) {
  let lanes = p.B * p.lanes;
  let lane = flat_workgroup(workgroup, grid);
  if (lane >= lanes) { return; }
  let size = min(reported, ${BLOCK}u);
  var group = 0u;
  if (subgroupElect()) { group = atomicAdd(&arrivals, 1u); }
  group = subgroupBroadcastFirst(group);
  var carry = ${carry};
  for (var base = 0u; base < p.chunks; base += ${BLOCK}u) {
    let chunk = base + group * size + place;
    var total = ds_identity();
    if (chunk < p.chunks) { total = ${element}; }
    for (var distance = 1u; distance < size; distance *= 2u) {
      let earlier = ${shuffled("distance")};
      if (place >= distance) { total = ${combine("earlier", "total")}; }
    }
    if (place == size - 1u) { totals[group] = total; }
    let before = ${shuffled("1u")};
    workgroupBarrier();
    var state = carry;
    for (var g = 0u; g < group; g++) { state = ds_apply(totals[g], state); }
    if (place > 0u) { state = ds_apply(before, state); }
    if (chunk < p.chunks) { ${write} }
    for (var g = 0u; g < ${BLOCK}u / size; g++) { carry = ds_apply(totals[g], carry); }
    workgroupBarrier();
  }
}
`;
}

/**
 * The most combines in which one step's element lies in the later operand, or is applied to a state: what it meets on
 * its way into any state. 1 where its chunk is folded, at most log2 of the block in the scan, 1 where the scan's result
 * is applied to the carry; the serial pass and the carry only ever meet it as the earlier operand.
 */
export function laneRightCombines(steps: number, chunk: number): number {
  const chunks = Math.ceil(steps / chunk);
  return chunks <= 1 ? 1 : 2 + Math.ceil(Math.log2(Math.min(chunks, BLOCK)));
}
