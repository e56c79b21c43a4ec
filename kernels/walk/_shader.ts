/** The kernel of a walk: sums of outer products with the state in registers. */
import { positions } from "../delta/_forward_shader.ts";
import type { Registers } from "../delta/_registers.ts";
import { interspersed, serialShader, type Stored, storeState, type Walk } from "../delta/_serial_shader.ts";
import { columnType, type Staged } from "../delta/_staging.ts";
import type { Tile } from "../delta/tile.ts";
import { type Fault, relativeFactor } from "../faults.ts";
import type { DType } from "../tensor.ts";
import type { Binding, Shader } from "../wgsl.ts";
import { type Bonus, bonusText } from "./_bonus.ts";
import { normaliserOf, type NormaliserText } from "./_normaliser.ts";
import { floatOf, type WaitingTable } from "./_waiting.ts";
import { type Waiting, waitingReads, waitingRows } from "./_waiting_reads.ts";

/** What the decay of a token is: nothing, one number, one number a head for all tokens, one a row or a column. */
export type WalkDecay = "none" | "scalar" | "head" | "rows" | "columns";

export interface WalkText {
  readonly rows: number;
  readonly columns: number;
  readonly decay: WalkDecay;
  /** `log`: g, the multiplier is e^g; otherwise the multiplier itself. */
  readonly form: "log" | "factor";
  readonly reverse: boolean;
  readonly scale: number;
  readonly tile: Tile;
  readonly dtypes: { readonly x: DType; readonly y: DType; readonly z: DType; readonly g: DType; readonly out: DType };
  readonly initial: boolean;
  readonly final: boolean;
  readonly chunk: number | undefined;
  /** The decay, if it waits in the rows of x and z (_waiting.ts); not in reverse. */
  readonly waiting: WaitingTable | undefined;
  /** Whether a token is read out before it is added, and with the bonus `in_u` (_bonus.ts); not in reverse, and no decay waits. */
  readonly bonus: boolean;
  /** Tokens of a segment that a workgroup walks through by itself, from its own `initial`; undefined: all of them. */
  readonly segment: number | undefined;
  /** What outputs are divided by (_normaliser.ts); forward, without a decay or with one for the whole state, no segments. */
  readonly normaliser?: NormaliserText | undefined;
  readonly fault: Fault | undefined;
}

/** The staged inputs. The scale is z's: it is applied where z is kept, with the decay where that waits. */
export function walkStaged(
  { decay, form, scale, dtypes, waits }:
    & Pick<WalkText, "decay" | "form" | "scale" | "dtypes">
    & { readonly waits: boolean },
  beside?: Bonus["beside"],
): Staged[] {
  const plain = (raw: string): string => raw;
  const axis = decay === "rows" ? "K" : decay === "columns" ? "V" : "none";
  const exp = axis === "none" ? "ds_decay" : "ds_decay4";
  return [
    {
      name: "x",
      dtype: dtypes.x,
      axis: "K",
      micro: false,
      value: waits ? waitingRows.x : plain,
      ...(beside && { beside: beside.x }),
    },
    { name: "y", dtype: dtypes.y, axis: "V", micro: false, value: plain },
    {
      name: "z",
      dtype: dtypes.z,
      axis: "K",
      micro: false,
      value: waits ? waitingRows.z : scale === 1 ? plain : (raw) => `${raw} * ${floatOf(scale)}`,
      ...(beside && { beside: beside.z }),
    },
    ...(waits || decay === "none" || decay === "head" ? [] : [
      {
        name: "g",
        dtype: dtypes.g,
        axis,
        micro: false,
        // A token behind the end is zeros: e^0 leaves the state as it is, of a factor see `presentGate`.
        value: form === "log" ? (raw: string): string => `${exp}(${raw})` : plain,
      } as const,
    ]),
  ];
}

/** Statement: the decay of the workgroup's head. */
export function headDecay(form: "log" | "factor"): string {
  return `let head_decay = ${form === "log" ? "ds_decay(in_g[head])" : "in_g[head]"};`;
}

/** A gate of token `i + token` as it is staged, `type`: a factor behind the end is 0 and has to be 1. */
export function presentGate(
  { form, tile: { unroll } }: Pick<WalkText, "form" | "tile">,
  token: number,
  gate: string,
  type: string,
): string {
  // Tokens that are added up together may not all be there; one by one they are.
  return form === "log" || unroll === 1 ? gate : `select(${type}(1.0), ${gate}, t0 + i + ${token}u < end)`;
}

/** Whether the workgroup's segment is the last, in the walk's direction: a WGSL bool. */
export function lastSegment(reverse: boolean): string {
  return reverse ? "chunk == 0u" : "chunk + 1u == p.chunks";
}

export function walkShader(text: WalkText): Shader {
  const { rows: K, columns: V, form, reverse, tile, dtypes, initial, final, chunk, segment, fault } = text;
  const waits = text.waiting && waitingReads(text.waiting, tile);
  const divided = text.normaliser && normaliserOf(text.normaliser, K, tile);
  // Where it waits, tokens are those of no decay.
  const decay = waits === undefined ? text.decay : "none";
  const { unroll } = tile;
  const bonus = text.bonus ? bonusText(K, tile) : undefined;
  const staged = walkStaged({ ...text, waits: waits !== undefined }, bonus?.beside);
  const places = positions(staged, 1, tile);
  const factor = relativeFactor(fault);
  const stored: Stored[] = [
    { name: "o", dtype: dtypes.out },
    ...(final ? [{ name: "final", dtype: "f32" } as const] : []),
    ...(chunk === undefined ? [] : [{ name: "states", dtype: "f32" } as const]),
  ];
  const extra: Binding[] = [
    ...(decay === "head" ? [{ name: "in_g", access: "read", type: "array<f32>" } as const] : []),
    ...(waits?.bindings ?? []),
    ...(bonus === undefined ? [] : [bonus.binding]),
    ...(divided?.bindings ?? []),
  ];

  // Columns by twos, all rows of which are added to and read out before the next two are; the compiler makes more of that than
  // of whole vectors, but where decays wait. Of orders of rows and reads it likes these best: 2 to 4 % of an H200's time
  // (bench/NOTES.md).
  const component = (c: number): string => tile.columns === 1 ? "" : `.${"xyzw"[c]}`;
  const twos = tile.columns === 4 && waits === undefined
    ? [[0, 1], [2, 3]]
    : [Array.from({ length: tile.columns }, (_, c) => c)];
  const rows = Array.from({ length: tile.rows }, (_, r) => r);
  // Four columns are latency enough for one chain each.
  const chains = tile.columns === 4 ? 1 : 2;

  /** Statements: reads a token's numbers. */
  function reads({ read }: Registers, token: number): string {
    const row = (name: string): string => read(name, places.at(name, token, 0), `${name}${token}_`);
    const number = (name: string): string => `let ${name}${token} = ${places.element(name, token, 0)};`;
    return [
      number("y"),
      row("z"),
      row("x"),
      decay === "rows" ? row("g") : "",
      decay === "columns" || decay === "scalar" ? number("g") : "",
      ...(bonus === undefined ? [] : [`let b${token} = ${bonus.sum(token)};`]),
    ].join("\n");
  }

  /**
   * Statements: adds a token to the state and reads the state out. `present`: one that is there, as it need not be. `factor`: by what
   * the state is multiplied where the token's decay waits.
   */
  function step(lanes: Registers, token: number, present: boolean, factor?: string): string {
    const kind = factor === undefined ? decay : "scalar";
    const added = factor === undefined ? rows : rows.toReversed();
    const part = (name: string, r: number): string => lanes.part(`${name}${token}_`, r);
    const own = (gate: string, type: string): string => present ? gate : presentGate(text, token, gate, type);
    // A head's decay is not staged, with ones behind the end: tokens that are added up together may not all be there.
    const there = unroll > 1 && !present ? `select(1.0, head_decay, t0 + i + ${token}u < end)` : "head_decay";
    const gates = {
      none: [],
      head: [`let decay = ${there};`],
      scalar: [`let decay = ${factor ?? own(`g${token}`, "f32")};`],
      columns: [`let decay = ${own(`g${token}`, columnType(tile.columns))};`],
      rows: rows.map((r) => `let decay${r} = ${own(part("g", r), "f32")};`),
    }[kind];
    /** The decay of row r in the columns `at`, a component; "": in all of them. */
    const gate = (r: number, at: string): string =>
      kind === "rows" ? `decay${r}` : kind === "columns" ? `decay${at}` : "decay";
    const decayed = (r: number, at: string): string => kind === "none" ? `s${r}${at}` : `${gate(r, at)} * s${r}${at}`;
    // Swapped, the decay meets what is added instead of what was there.
    const swapped = fault === "swapped-operands" && !reverse && kind !== "none";
    const term = (r: number, at: string): string => swapped ? `${gate(r, at)} * ${part("x", r)}` : part("x", r);
    const add = (r: number, at: string): string =>
      `s${r}${at} = fma(${term(r, at)}, y${token}${at}, ${reverse || swapped ? `s${r}${at}` : decayed(r, at)});`;
    const type = columnType(tile.columns);
    const sum = `${type}(${twos.flat().map((c) => `o${c}`).join(", ")})`;
    return [
      "{",
      ...gates,
      ...twos.flatMap((columns) => {
        const adds = added.flatMap((r) => columns.map((c) => add(r, component(c))));
        const reads = columns.map((c) => lanes.dot(`o${c}`, (r) => part("z", r), "s", chains, component(c)));
        return bonus === undefined ? [...adds, ...reads] : [...reads, ...adds];
      }),
      `late${token} = ${bonus === undefined ? sum : `fma(${type}(b${token}), y${token}, ${sum})`};`,
      ...(divided === undefined ? [] : [divided.step(token, {
        kept: (r) => kind === "none" || swapped ? `n${r}` : `${gate(r, "")} * n${r}`,
        added: (r) => term(r, ""),
        z: (r) => part("z", r),
      })]),
      // In reverse the decay of token t stands between t and t − 1.
      reverse && kind !== "none" ? lanes.each((r) => `s${r} = ${decayed(r, "")};`) : "",
      "}",
    ].join("\n");
  }

  const all = Array.from({ length: unroll }, (_, token) => token);
  const order = reverse ? all.toReversed() : all;
  const taken = (lanes: Registers, meanwhile: readonly string[], present: boolean, each?: number): string =>
    interspersed(order.map((token) => `${reads(lanes, token)}\n${step(lanes, token, present)}`), meanwhile, each);

  /**
   * Statements: tokens at some of which the state is multiplied, and by 1 at the others: to ask which would part the tokens, whose
   * loads and sums are under way side by side. `some`: tokens of the body.
   */
  const multiplied = (
    lanes: Registers,
    meanwhile: readonly string[],
    { factor }: Waiting,
    some: (token: number) => boolean,
  ): string =>
    interspersed(
      all.map((token) => {
        const f = some(token) ? `f${token}` : undefined;
        return `${f === undefined ? "" : factor(token)}\n${reads(lanes, token)}\n${step(lanes, token, true, f)}`;
      }),
      meanwhile,
    );
  /** A block whose tokens are all there, where that must be asked of each otherwise. */
  const wholeBlock: Walk["shortcut"] = (lanes) => ({
    whole: true,
    tokens: (meanwhile) => taken(lanes, meanwhile, true),
  });
  /** A block at no token of which the state is multiplied, and one at which it is where bodies of several tokens begin. */
  const straight: Walk["shortcut"] = waits && ((lanes) => ({
    whole: false,
    search: waits.search,
    tokens: (meanwhile) => taken(lanes, meanwhile, true, 2),
    ...(unroll === 1 ? {} : {
      second: {
        where: waits.atBodies,
        tokens: (meanwhile: readonly string[]) => multiplied(lanes, meanwhile, waits, (token) => token === 0),
      },
    }),
  }));
  const asked = waits === undefined && unroll > 1 && (decay === "head" || form === "factor" && decay !== "none");
  // A state of chunk c is the one before its first token, in the walk's direction.
  const edge = reverse
    ? `(t0 + ${tile.block}u) % ${chunk}u == 0u || t0 + ${tile.block}u >= p.T`
    : `t0 % ${chunk}u == 0u`;

  return serialShader({
    label: `outer product walk${reverse ? ", reverse" : ""}`,
    extents: { K, V, microSteps: 1 },
    tile,
    staged,
    stored,
    initial,
    ...(segment === undefined ? {} : { chunk: segment, initialAt: "sequence * p.chunks + chunk" }),
    extra,
    functions: [waits, bonus, divided].map((part) => part?.functions ?? "").join("\n"),
    start: () =>
      `${decay === "head" ? headDecay(form) : ""}${waits?.start ?? ""}${bonus?.start ?? ""}${divided?.start ?? ""}`,
    walks: [{
      reverse,
      atBlock: (lanes) =>
        [
          fault === "dropped-carry"
            ? lanes.each((r) =>
              `if (${reverse ? `t0 + ${tile.block}u < p.T` : "t0 > 0u"}) { s${r} = ${lanes.type}(); }`
            ) + (divided === undefined ? "" : `\nif (t0 > 0u) { ${divided.times("0.0")} }`)
            : "",
          chunk === undefined ? "" : `if (${edge}) {\n${
            storeState(
              lanes,
              K,
              "states",
              `((batch * ((p.T + ${chunk - 1}u) / ${chunk}u) + t0 / ${chunk}u) * p.H + head) * ${K}u`,
            )
          }\n}`,
        ].join("\n"),
      ...(waits === undefined ? {} : {
        load: waits.load,
        afterBlock: (lanes: Registers): string =>
          `${lanes.each((r) => `s${r} *= ${waits.last};`)}${
            divided === undefined ? "" : `\n${divided.times(waits.last)}`
          }`,
      }),
      tokens: (lanes, meanwhile) =>
        waits === undefined ? taken(lanes, meanwhile, false) : multiplied(lanes, meanwhile, waits, () => true),
      ...(straight !== undefined ? { shortcut: straight } : asked ? { shortcut: wholeBlock } : {}),
      beside: divided?.beside,
      store: (row, sum) => `store_out_o(${row}, ${divided === undefined ? sum : divided.divided(sum)}${factor});`,
    }],
    atEnd(lanes) {
      const sums = divided?.store ?? "";
      if (!final) return sums;
      const store = `${storeState(lanes, K, "final", `sequence * ${K}u`, factor)}${sums}`;
      return segment === undefined ? store : `if (${lastSegment(reverse)}) {\n${store}\n}`;
    },
  });
}
