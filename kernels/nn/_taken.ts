/**
 * Concatenations of rows that were taken from elsewhere, such as the pairs of a tree's level: straight from there, so that
 * the rows need not be laid out by themselves first.
 */
import { type Recorder, result } from "./recorder.ts";
import { contributeRowSums, recordRowSums } from "./row_sums.ts";
import type { Origin, Value } from "./value.ts";

export interface Joint {
  readonly parts: readonly Value[];
  /** Of the result. */
  readonly shape: readonly number[];
  /** Numbers of a part that lie together in the result, between those of the others. */
  readonly unit: number;
  readonly origin: Origin;
}

/** Numbers of a row, if some part consists of rows taken and all can be seen as rows of that width, whole units each. */
function widthOf({ parts, unit }: Joint): number | undefined {
  const { length } = parts[0]!.slot;
  const widths = new Set(parts.flatMap(({ taken }) => taken === undefined ? [] : [length / taken.rows.length]));
  const [width] = widths;
  const fits = width !== undefined && widths.size === 1 && width % unit === 0 && length % width === 0;
  return fits && parts.every(({ slot }) => slot.length === length) ? width : undefined;
}

/**
 * Of a source: for every row of the parts those of its rows that it is, and the reverse. Row i of part s counts as i·parts +
 * s.
 */
interface Lists {
  readonly forward: number[][];
  readonly backward: number[][];
}

/** The concatenation of parts of one shape; undefined if nothing would be gained. */
export function joinTaken(recorder: Recorder, joint: Joint): Value | undefined {
  const { parts, shape, unit, origin } = joint;
  const width = widthOf(joint);
  if (width === undefined) return;
  const { program, tape } = recorder;
  const count = parts[0]!.slot.length / width;
  const sources = new Map<Value, Lists>();
  const listsOf = (source: Value): Lists => {
    const lists = sources.get(source) ?? {
      forward: Array.from({ length: count * parts.length }, () => []),
      backward: Array.from({ length: source.slot.length / width }, () => []),
    };
    sources.set(source, lists);
    return lists;
  };
  parts.forEach((part, s) => {
    for (let i = 0; i < count; i++) {
      const [source, row] = part.taken === undefined ? [part, i] : part.taken.rows[i]!;
      const { forward, backward } = listsOf(source);
      forward[i * parts.length + s]!.push(row);
      backward[row]!.push(i * parts.length + s);
    }
  });
  const y = result(recorder, shape, parts, origin);
  const interleaved = { parts: parts.length, unit };
  recordRowSums(
    program,
    "concat",
    [...sources].map(([source, { forward: lists }]) => ({
      ...{ source: source.slot, target: y.slot, width, lists, as: "some" },
      interleaved: { ...interleaved, side: "target" },
    })),
  );
  tape?.record(y, (g) => {
    const given = [...sources].map(([source, { backward: lists }]) => ({
      source,
      job: { source: g, width, lists, interleaved: { ...interleaved, side: "source" } },
    } as const));
    contributeRowSums(recorder, "concat backward", given);
  });
  return y;
}
