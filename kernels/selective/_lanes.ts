/**
 * Which lane holds what, and sums across lanes.
 *
 * Lane `g` of the `lanes` of a channel holds modes g, g + lanes, g + 2·lanes, … Sums across lanes are transposing
 * butterflies: a lane that holds n values to be summed over 2n lanes gives half of them to its partner and gets the other
 * halves, so that log2 n steps sum n values with n − 1 exchanges, and leave one sum in each lane.
 */
import { paddedModes, type Tiling } from "./tiling.ts";

/** Channels in a subgroup. */
export function subgroupChannels({ subgroup, lanes }: Tiling): number {
  return subgroup / lanes;
}

/** Subgroups of a workgroup. */
export function subgroups({ threads, subgroup }: Tiling): number {
  return threads / subgroup;
}

/** Declares `g` (lane of the channel), `c` (channel of the workgroup), `lane_c` (channel of the subgroup), `d`, `live`. */
export function placeText(tiling: Tiling): string {
  const { subgroup, lanes, order, channels } = tiling;
  const together = subgroupChannels(tiling);
  return /* wgsl */ `
  let lane = local % ${subgroup}u;
  let g = ${order === "near" ? `lane % ${lanes}u` : `lane / ${together}u`};
  let lane_c = ${order === "near" ? `lane / ${lanes}u` : `lane % ${together}u`};
  let c = local / ${subgroup}u * ${together}u + lane_c;
  let d = block * ${channels}u + c;
  let live = d < p.channels;`;
}

/** WGSL index of mode `m` of the lane. */
export function modeIndex({ lanes }: Tiling, m: number): string {
  return `(g + ${m * lanes}u)`;
}

/** For each mode of the lane, a statement. */
export function eachMode({ modes }: Tiling, text: (m: number) => string): string {
  return Array.from({ length: modes }, (_, m) => text(m)).join("\n    ");
}

/** An array `[rows, N (or as many as `stride` says), D]` with an entry for every mode and channel. */
export interface ModeArray {
  readonly array: string;
  /** WGSL of the first index. */
  readonly row: string;
  /** WGSL of what comes before the array in its buffer, ending in ` + `. */
  readonly offset?: string;
  /** WGSL, default N. */
  readonly stride?: string;
}

function atMode(tiling: Tiling, m: number, { array, row, offset = "", stride = `${tiling.N}u` }: ModeArray): {
  readonly place: string;
  readonly there: string;
} {
  const n = modeIndex(tiling, m);
  return {
    place: `${array}[${offset}(${row} * ${stride} + ${n}) * p.channels + d]`,
    there: paddedModes(tiling) === tiling.N ? "live" : `live && ${n} < ${tiling.N}u`,
  };
}

/** Reads a value per mode into the variables `NAME_m`; those that are not there stay as they are. */
export function readModes(tiling: Tiling, name: string, from: ModeArray): string {
  return eachMode(tiling, (m) => {
    const { place, there } = atMode(tiling, m, from);
    return `if (${there}) { ${name}${m} = ${place}; }`;
  });
}

/** Writes a value per mode. */
export function writeModes(tiling: Tiling, to: ModeArray, value: (m: number) => string): string {
  return eachMode(tiling, (m) => {
    const { place, there } = atMode(tiling, m, to);
    return `if (${there}) { ${place} = ${value(m)}; }`;
  });
}

const bit = (index: string, k: number): string => `((${index} >> ${k}u) & 1u) == 1u`;

/** The mask that flips bit k of `g` (`of: "lane"`) or of `lane_c` (`of: "channel"`). */
function mask(tiling: Tiling, of: "lane" | "channel", k: number): number {
  const low = (of === "lane") === (tiling.order === "near");
  return 2 ** k * (low ? 1 : of === "lane" ? subgroupChannels(tiling) : tiling.lanes);
}

function exchanged({ reduce }: Tiling, x: string, flip: number, width: 1 | 2 | 4): string {
  if (reduce === "shuffle") return `subgroupShuffleXor(${x}, ${flip}u)`;
  return width === 4
    ? `ss_exchange(${x}, ${flip}u, local)`
    : width === 2
    ? `ss_exchange(vec4f(${x}, 0.0, 0.0), ${flip}u, local).xy`
    : `ss_exchange(vec4f(${x}), ${flip}u, local).x`;
}

/** What a kernel whose butterflies go through workgroup memory needs; nothing where they are shuffles. */
export function exchangeText({ reduce, threads }: Tiling): string {
  if (reduce === "shuffle") return "";
  return /* wgsl */ `
var<workgroup> s_exchange: array<vec4f, ${threads}>;
fn ss_exchange(x: vec4f, flip: u32, local: u32) -> vec4f {
  s_exchange[local] = x;
  workgroupBarrier();
  let y = s_exchange[local ^ flip];
  workgroupBarrier();
  return y;
}
`;
}

/** Directives of a module that shuffles. */
export function enableText({ reduce }: Tiling): string {
  return reduce === "shuffle" ? "enable subgroups;\ndiagnostic(off, subgroup_uniformity);" : "";
}

/**
 * Sums `x`, a vector of four tokens, over the lanes of a channel, and writes token r of the sum by `write(r, value)`; r is a
 * WGSL index.
 */
export function sumOverLanes(
  tiling: Tiling,
  x: string,
  name: string,
  write: (r: string, value: string) => string,
): string {
  const bits = Math.log2(tiling.lanes);
  const lines: string[] = [];
  if (bits === 0) return [0, 1, 2, 3].map((r) => write(`${r}u`, `${x}[${r}]`)).join(" ");
  const flip = (k: number): number => mask(tiling, "lane", k);
  const odd = bit("g", 0);
  lines.push(
    `let ${name}_a = select(${x}.xz, ${x}.yw, ${odd}) + ${
      exchanged(tiling, `select(${x}.yw, ${x}.xz, ${odd})`, flip(0), 2)
    };`,
  );
  if (bits === 1) {
    lines.push(write("g", `${name}_a.x`), write("(g + 2u)", `${name}_a.y`));
    return lines.join("\n    ");
  }
  const second = bit("g", 1);
  lines.push(
    `var ${name}_b = select(${name}_a.x, ${name}_a.y, ${second}) + ${
      exchanged(tiling, `select(${name}_a.y, ${name}_a.x, ${second})`, flip(1), 1)
    };`,
  );
  for (let k = 2; k < bits; k++) lines.push(`${name}_b += ${exchanged(tiling, `${name}_b`, flip(k), 1)};`);
  lines.push(bits === 2 ? write("g", `${name}_b`) : `if (g < 4u) { ${write("g", `${name}_b`)} }`);
  return lines.join("\n    ");
}

/**
 * Sums vectors over the channels of a subgroup, `values.length` a power of two, and writes each sum once by
 * `write(which, value)`: `which` is the WGSL index of the vector among `values`.
 */
export function sumOverChannels(
  tiling: Tiling,
  values: readonly string[],
  write: (which: string, value: string) => string,
): string {
  const bits = Math.log2(subgroupChannels(tiling));
  const lines: string[] = [];
  let held = [...values];
  let halved = 0;
  for (let k = 0; k < bits; k++) {
    const flip = mask(tiling, "channel", k);
    if (held.length === 1) {
      lines.push(`let sum_${k}_0 = ${held[0]} + ${exchanged(tiling, held[0]!, flip, 4)};`);
      held = [`sum_${k}_0`];
      continue;
    }
    const upper = bit("lane_c", k);
    held = Array.from({ length: held.length / 2 }, (_, i) => {
      const [even, odd] = [held[2 * i]!, held[2 * i + 1]!];
      lines.push(
        `let sum_${k}_${i} = select(${even}, ${odd}, ${upper}) + ${
          exchanged(tiling, `select(${odd}, ${even}, ${upper})`, flip, 4)
        };`,
      );
      return `sum_${k}_${i}`;
    });
    halved++;
  }
  const writes = held.map((value, i) => write(`(${i << halved}u + lane_c % ${2 ** halved}u)`, value)).join(" ");
  lines.push(halved === bits ? writes : `if (lane_c < ${2 ** halved}u) { ${writes} }`);
  return lines.join("\n    ");
}
