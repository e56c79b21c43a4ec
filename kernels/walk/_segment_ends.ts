/**
 * The first pass of a walk in segments: what each segment adds to a state of zero, and what it leaves of one before it.
 *
 * No token's state is wanted here, so decays are taken together: of a group of tokens each gets the product w of the gates
 * that come after it, and the state their whole product W once,
 *
 *     S ← W ⊙ S + Σ_t (w_t ⊙ x_t) y_tᵀ
 *
 * one multiply-add an entry and token instead of a product and a multiply-add. A term is still multiplied once for every
 * gate that it passes, and a group's first addition is to nothing: no more roundings than in the walk.
 */
import { positions } from "../delta/_forward_shader.ts";
import type { Registers } from "../delta/_registers.ts";
import { serialShader, storeState } from "../delta/_serial_shader.ts";
import type { Binding, Shader } from "../wgsl.ts";
import { headDecay, lastSegment, presentGate, walkStaged, type WalkText } from "./_shader.ts";

/** What a pass over segments is compiled for. */
export type SegmentText =
  & Pick<WalkText, "rows" | "columns" | "decay" | "form" | "reverse" | "tile" | "dtypes">
  & { readonly segment: number };

/** The staged inputs: all but z. */
export function segmentStaged(
  text: Pick<WalkText, "decay" | "form" | "dtypes">,
): ReturnType<typeof walkStaged> {
  return walkStaged({ ...text, scale: 1, waits: false }).filter(({ name }) => name !== "z");
}

/** The module. It writes `out_ends` `[B, H, segments, R, C]` and `out_totals` `[B, H, segments]`, or `[…, R]`, `[…, C]`. */
export function segmentShader(
  { rows: K, columns: V, decay, form, reverse, tile, dtypes, segment }: SegmentText,
): Shader {
  const { unroll, group, interleaved, columns } = tile;
  const staged = segmentStaged({ decay, form, dtypes });
  const places = positions(staged, 1, tile);
  const all = Array.from({ length: unroll }, (_, token) => token);
  const block = "sequence * p.chunks + chunk";

  /** Statements: w of the tokens so far, times the gate of this one. */
  function pass(lanes: Registers, token: number): string {
    const there = (gate: string, type: string): string => presentGate({ form, tile }, token, gate, type);
    switch (decay) {
      case "none":
        return "";
      case "scalar":
      case "columns":
        return `w *= ${there(places.element("g", token, 0), decay === "scalar" ? "f32" : lanes.type)};`;
      case "head":
        return `w *= ${unroll > 1 ? `select(1.0, head_decay, t0 + i + ${token}u < end)` : "head_decay"};`;
      case "rows":
        return `${lanes.read("g", places.at("g", token, 0))}\n${
          lanes.each((r) => `w${r} *= ${there(lanes.part("g", r), "f32")};`)
        }`;
    }
  }

  function step(lanes: Registers, token: number, first: boolean): string {
    const { read, part, each, type } = lanes;
    const wide = (x: string): string => type === "f32" ? x : `${type}(${x})`;
    const x = (r: number): string =>
      wide(decay === "rows" && !(first && !reverse) ? `${part("x", r)} * w${r}` : part("x", r));
    const weighted = decay !== "none" && decay !== "rows" && !(first && !reverse);
    const into = decay === "none" ? "s" : "added";
    return [
      "{",
      read("x", places.at("x", token, 0)),
      reverse ? pass(lanes, token) : "",
      `let y = ${places.element("y", token, 0)}${weighted ? " * w" : ""};`,
      each((r) =>
        first && decay !== "none" ? `added${r} = ${x(r)} * y;` : `${into}${r} = fma(${x(r)}, y, ${into}${r});`
      ),
      reverse ? "" : pass(lanes, token),
      "}",
    ].join("\n");
  }

  function tokens(lanes: Registers): string {
    const { each, type } = lanes;
    // From the last token of the group, in the walk's direction, to the first.
    const order = reverse ? all : [...all].reverse();
    const one = decay === "columns" && type !== "f32" ? `${type}(1.0)` : "1.0";
    const w = (r: number): string => decay === "rows" ? `w${r}` : "w";
    return [
      decay === "none" ? "" : decay === "rows" ? each((r) => `var w${r} = 1.0;`) : `var w = ${one};`,
      decay === "none" ? "" : each((r) => `var added${r}: ${type};`),
      ...order.map((token, n) => step(lanes, token, n === 0)),
      decay === "none" ? "" : each((r) => `s${r} = ${w(r)} * s${r} + added${r};`),
      decay === "none" ? "" : decay === "rows" ? each((r) => `total${r} *= w${r};`) : "total *= w;",
    ].join("\n");
  }

  function storeTotals(lanes: Registers): string {
    switch (decay) {
      case "none":
        return "";
      case "rows":
        return `if (first_column == 0u && place == 0u && lid < ${group * interleaved}u) {\n${
          lanes.each((r) =>
            `if (${lanes.row(r)} < ${K}u) { out_totals[(${block}) * ${K}u + ${lanes.row(r)}] = total${r}; }`
          )
        }\n}`;
      case "columns":
        return `if (lane == 0u) {\n${
          Array.from({ length: columns }, (_, c) =>
            `if (column + ${c}u < ${V}u) { out_totals[(${block}) * ${V}u + column + ${c}u] = total${
              columns === 1 ? "" : `[${c}]`
            }; }`).join("\n")
        }\n}`;
      default:
        return `if (first_column == 0u && lid == 0u) { out_totals[${block}] = total; }`;
    }
  }

  const totals: Binding[] = decay === "none" ? [] : [{ name: "out_totals", access: "read_write", type: "array<f32>" }];
  const perHead: Binding[] = decay === "head" ? [{ name: "in_g", access: "read", type: "array<f32>" }] : [];
  return serialShader({
    label: `outer products of segments${reverse ? ", reverse" : ""}`,
    extents: { K, V, microSteps: 1 },
    tile,
    staged,
    stored: [{ name: "ends", dtype: "f32" }],
    initial: false,
    chunk: segment,
    extra: [...perHead, ...totals],
    start: (lanes) =>
      [
        // Nothing follows the last segment.
        `if (${lastSegment(reverse)}) { return; }`,
        decay === "head" ? headDecay(form) : "",
        decay === "none"
          ? ""
          : decay === "rows"
          ? lanes.each((r) => `var total${r} = 1.0;`)
          : decay === "columns"
          ? `var total = ${lanes.type}(1.0);`
          : "var total = 1.0;",
      ].join("\n"),
    walks: [{ reverse, atBlock: () => "", tokens }],
    atEnd: (lanes) => `${storeState(lanes, K, "ends", `(${block}) * ${K}u`)}\n${storeTotals(lanes)}`,
  });
}
