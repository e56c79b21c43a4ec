/** The forward kernel: S_t from S_{t−1} with the state in registers, outputs as they come. */
import type { DType } from "../tensor.ts";
import { type Fault, relativeFactor } from "../faults.ts";
import type { Shader } from "../wgsl.ts";
import type { Registers } from "./_registers.ts";
import { interspersed, serialShader, type Stored, storeState } from "./_serial_shader.ts";
import type { Extents, Staged } from "./_staging.ts";
import { type DeltaRule, inputLayouts } from "./rule.ts";
import type { Tile } from "./tile.ts";

export interface ForwardText {
  readonly rule: DeltaRule;
  readonly extents: Extents;
  readonly tile: Tile;
  readonly dtypes: Readonly<Record<string, DType>>;
  readonly initial: boolean;
  readonly outputs: DType;
  /** Tokens between stored states, which are those before the token; or `step`: after every micro-step. */
  readonly chunk: number | "step" | undefined;
  /** Whether e (or u, of the additive form) is stored. */
  readonly solved: boolean;
  readonly fault: Fault | undefined;
}

/** The staged inputs of a rule; `names` in the order of their bindings. */
export function stagedInputs(
  rule: DeltaRule,
  K: number,
  dtypes: Readonly<Record<string, DType>>,
  names: readonly string[] = Object.keys(inputLayouts(rule)),
): Staged[] {
  const layouts = inputLayouts(rule);
  const scale = Math.fround(rule.queryScale(K));
  return names.map((name) => {
    const layout = layouts[name]!;
    const gate = name === rule.gate;
    const value = gate
      ? (raw: string): string => layout.axis === "K" ? `ds_decay4(${raw})` : `ds_decay(${raw})`
      : name === "q" && scale !== 1
      ? (raw: string): string => `${raw} * bitcast<f32>(${bitsOf(scale)}u)`
      : (raw: string): string => raw;
    return { name, dtype: dtypes[name]!, ...layout, value };
  });
}

/** Of an f32 number; a decimal literal may be rounded otherwise than it was printed. */
function bitsOf(x: number): number {
  return new Uint32Array(Float32Array.of(x).buffer)[0]!;
}

/** Where token `i + offset`, micro-step m of it, begins in a staged array; and the invocation's columns there, or the number. */
export function positions(staged: readonly Staged[], microSteps: number, tile: Tile): {
  at(name: string, offset: number, m: number): string;
  element(name: string, offset: number, m: number): string;
} {
  const { rows, group, width, columns, block } = tile;
  const layout = (name: string): { readonly axis: Staged["axis"]; readonly rate: number } => {
    const { axis, micro } = staged.find((array) => array.name === name)!;
    return { axis, rate: micro ? microSteps : 1 };
  };
  return {
    element(name, offset, m) {
      return `s_${name}[${this.at(name, offset, m)}]`;
    },
    at(name, offset, m) {
      const { axis, rate } = layout(name);
      const perStep = axis === "K" ? rows * group / 4 : axis === "V" ? width / columns : 1;
      const step = `(i + ${offset}u)${rate === 1 ? "" : ` * ${rate}u + ${m}u`}`;
      const inside = axis === "V" ? " + place" : "";
      return `(half * ${block * rate}u + ${step}) * ${perStep}u${inside}`;
    },
  };
}

/** The row of `[B, T·rate, H]` of token `t0 + i + offset`, micro-step m. */
export function rowOf(offset: string, rate: number, m: number): string {
  return rate === 1
    ? `(batch * p.T + t0 + i + ${offset}) * p.H + head`
    : `(batch * p.T * ${rate}u + (t0 + i + ${offset}) * ${rate}u + ${m}u) * p.H + head`;
}

export function forwardShader(text: ForwardText): Shader {
  const { rule, extents, tile, dtypes, initial, outputs, chunk, solved, fault } = text;
  const { K, microSteps } = extents;
  const { unroll } = tile;
  const staged = stagedInputs(rule, K, dtypes);
  const places = positions(staged, microSteps, tile);
  const factor = relativeFactor(fault);
  const stored: Stored[] = [
    { name: "o", dtype: outputs },
    { name: "final", dtype: "f32" },
    ...(chunk === undefined ? [] : [{ name: "states", dtype: "f32" } as const]),
    ...(solved ? [{ name: "solved", dtype: "f32" } as const] : []),
  ];

  /** Statements: reads the numbers of a micro-step. */
  function reads({ read }: Registers, token: number, m: number): string {
    const decays = m === 0 && rule.decay !== "none";
    const number = (name: string): string => `let ${name}${token}_${m} = ${places.element(name, token, m)};`;
    const vectors = [
      "k",
      ...(m === microSteps - 1 ? ["q"] : []),
      ...(rule.form === "additive" ? ["kappa", "eta"] : []),
      ...(decays && rule.decay === "channel" ? [rule.gate!] : []),
    ];
    return [
      ...vectors.map((name) => read(name, places.at(name, token, m), `${name}${token}_${m}_`)),
      number("v"),
      ...(rule.form === "additive" ? [] : [number("beta")]),
      ...(rule.form !== "additive" && decays && rule.decay === "scalar" ? [number(rule.gate!)] : []),
    ].join("\n");
  }

  /** Statements: takes a micro-step. */
  function step(lanes: Registers, token: number, m: number): string {
    const { each, dot, total, type } = lanes;
    const decays = m === 0 && rule.decay !== "none";
    const wide = (x: string): string => type === "f32" ? x : `${type}(${x})`;
    const part = (name: string, r: number): string => lanes.part(`${name}${token}_${m}_`, r);
    const v = `v${token}_${m}`;
    const gate = (r: number): string => rule.decay === "channel" ? part(rule.gate!, r) : "decay";
    const lines: string[] = [];
    if (rule.form === "additive") {
      lines.push(
        dot("d", (r) => part("kappa", r), "s"),
        `let u = -${total("d")};`,
        each((r) =>
          `s${r} = fma(${wide(part("k", r))}, ${v}, fma(${wide(`${part("kappa", r)} * ${part("eta", r)}`)}, u, ${
            gate(r)
          } * s${r}));`
        ),
      );
    } else {
      if (decays && rule.decay === "channel") lines.push(each((r) => `s${r} *= ${gate(r)};`));
      if (decays && rule.decay === "scalar") lines.push(`let decay = ${rule.gate}${token}_${m};`);
      const scalar = decays && rule.decay === "scalar";
      lines.push(
        dot("d", (r) => part("k", r), "s"),
        // The sum over the group is under way while the state decays.
        scalar ? each((r) => `let m${r} = decay * s${r};`) : "",
        scalar ? `let e = fma(-${wide("decay")}, ${total("d")}, ${v});` : `let e = ${v} - ${total("d")};`,
        `let u = beta${token}_${m} * e;`,
        each((r) => `s${r} = fma(${wide(part("k", r))}, u, ${scalar ? "m" : "s"}${r});`),
      );
    }
    if (solved) lines.push(`e${token}_${m} = ${rule.form === "additive" ? "u" : "e"};`);
    if (chunk === "step") {
      const first = `((batch * p.T + t0 + i + ${token}u) * ${microSteps}u + ${m}u) * p.H + head`;
      lines.push(`if (t0 + i + ${token}u < p.T) {\n${storeState(lanes, K, "states", `(${first}) * ${K}u`, factor)}\n}`);
    }
    return `{\n${lines.join("\n")}\n}`;
  }

  /** Statements: reads the state out after a token's last micro-step. */
  function readOut(lanes: Registers, token: number): string {
    const part = (r: number): string => lanes.part(`q${token}_${microSteps - 1}_`, r);
    return `{ ${lanes.dot("y", part, "s")} late${token} = y; }`;
  }

  const tokens = (lanes: Registers, meanwhile: readonly string[]): string => {
    const all = Array.from({ length: unroll }, (_, token) => token);
    const micro = Array.from({ length: microSteps }, (_, m) => m);
    const present = `lane < ${unroll}u && t0 + i + lane < p.T`;
    return [
      ...(solved ? all.flatMap((token) => micro.map((m) => `var e${token}_${m}: ${lanes.type};`)) : []),
      interspersed(
        all.map((token) =>
          [...micro.flatMap((m) => [reads(lanes, token, m), step(lanes, token, m)]), readOut(lanes, token)].join("\n")
        ),
        meanwhile,
      ),
      ...(solved
        ? micro.map((m) =>
          `${all.map((token) => `let f${m}_${token} = e${token}_${m};`).join(" ")}\n${
            lanes.spread(`solved${m}`, `f${m}_`, true)
          }\nif (${present}) { store_out_solved(${rowOf("lane", microSteps, m)}, solved${m}); }`
        )
        : []),
    ].join("\n");
  };

  return serialShader({
    label: `delta ${rule.form} forward`,
    extents,
    tile,
    staged,
    stored,
    initial,
    walks: [{
      reverse: false,
      atBlock: (lanes) =>
        [
          fault === "dropped-carry" ? lanes.each((r) => `if (t0 > 0u) { s${r} = ${lanes.type}(); }`) : "",
          typeof chunk !== "number"
            ? ""
            : `if (t0 % ${chunk}u == 0u) {\n${
              storeState(lanes, K, "states", `((batch * p.chunks + t0 / ${chunk}u) * p.H + head) * ${K}u`)
            }\n}`,
        ].join("\n"),
      tokens,
      store: (row, sum) => `store_out_o(${row}, ${sum}${factor});`,
    }],
    atEnd: (lanes) => storeState(lanes, K, "final", `sequence * ${K}u`, factor),
  });
}

/** How many numbers a rule stages per token. */
export function stagedCounts(staged: readonly Staged[], microSteps: number): { K: number; V: number; none: number } {
  const counts = { K: 0, V: 0, none: 0 };
  for (const { axis, micro } of staged) counts[axis] += micro ? microSteps : 1;
  return counts;
}
