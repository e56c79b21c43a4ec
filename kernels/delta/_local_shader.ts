/**
 * The gradients of one chunk of tokens, every chunk by itself: from the state S at its start, the cotangent Λ that its
 * end has from later tokens, and the solved vectors of both directions (e or u, and du), which make S_t and λ_t sums of
 * outer products with nothing left to solve. The state is held transposed: rows along V, so that what goes over the
 * values is what is added up.
 *
 *     dq_t = scale · S_t dO_t                       λ_t: with q_t dO_tᵀ,   λ⁻_{t−1}: of S_{t−1}, from tokens t on
 *     delta      dk_t = β_t (λ_t e_t − M_t du_t)                                 dg_t = Σ_v S_{t−1} ∘ λ⁻_{t−1}
 *     additive   db_t = λ_t u_t,  dk_t = λ_t v_t,  dη = κ ∘ db,  dκ = η ∘ db − S_{t−1} du_t
 *                                                                                dw_t = Σ_v S_{t−1} ∘ diag(d_t) λ_t
 *
 * (dg per key; summed over the keys for a gate that they share). S goes forth once, for states at the starts of groups of
 * a few tokens; then λ goes back, with the states of a group's tokens in registers. Every gate's gradient is the
 * product of the two states that it stands between: small where the gate is shut, and not a difference of large sums.
 */
import type { DType } from "../tensor.ts";
import { type Fault, relativeFactor } from "../faults.ts";
import type { Binding, Shader } from "../wgsl.ts";
import { positions, rowOf } from "./_forward_shader.ts";
import { localStaged, transposed } from "./_local_arrays.ts";
import type { Registers } from "./_registers.ts";
import { serialShader } from "./_serial_shader.ts";
import { columnType, type Extents } from "./_staging.ts";
import type { DeltaRule } from "./rule.ts";
import type { Tile } from "./tile.ts";

export interface LocalText {
  readonly rule: DeltaRule;
  readonly extents: Extents;
  readonly tile: Tile;
  /** Of the inputs, and of `do`. */
  readonly dtypes: Readonly<Record<string, DType>>;
  readonly chunk: number;
  /** Which of `localOutputs` to write. */
  readonly outputs: readonly string[];
  readonly fault: Fault | undefined;
}

const read = (name: string): Binding => ({ name, access: "read", type: "array<f32>" });

export function localShader({ rule, extents, tile, dtypes, chunk, outputs, fault }: LocalText): Shader {
  const { K, V, microSteps } = extents;
  const { rows, unroll } = tile;
  const staged = localStaged(rule, K, dtypes);
  const places = positions(staged, microSteps, tile);
  const factor = relativeFactor(fault);
  const additive = rule.form === "additive";
  const gated = rule.gate !== undefined;
  const type = columnType(tile.columns);
  const wide = (x: string): string => type === "f32" ? x : `${type}(${x})`;
  const column = (name: string, token: number, m: number): string => places.element(name, token, m);
  const all = Array.from({ length: unroll }, (_, token) => token);
  const micro = Array.from({ length: microSteps }, (_, m) => m);
  const cell = "(batch * p.chunks + chunk) * p.H + head";
  const solvedRows = additive ? ["solved", "v"] : ["solved"];

  /** Statements: columns that the update needs; `key` is what e stands beside. */
  const updateColumns = (token: number, m: number): string =>
    [
      m === 0 && gated ? `let decay = ${column(rule.gate!, token, m)};` : "",
      additive
        ? `let key = ${column("k", token, m)}; let kappa = ${column("kappa", token, m)}; ` +
          `let eta = ${column("eta", token, m)}; let b = kappa * eta;`
        : `let strength = ${column("beta", token, m)}; let key = strength * ${column("k", token, m)};`,
    ].join("\n");

  /** Statements: the state after the micro-step. */
  const update = (lanes: Registers, m: number): string =>
    lanes.each((r) => {
      const kept = m === 0 && gated ? `decay * s${r}` : `s${r}`;
      const solved = wide(lanes.part("solved", r));
      return additive
        ? `s${r} = fma(${wide(lanes.part("v", r))}, key, fma(${solved}, b, ${kept}));`
        : `s${r} = fma(${solved}, key, ${kept});`;
    });

  const forth = (lanes: Registers): string =>
    [
      `let group = (t0 + i - origin) / ${unroll}u;`,
      lanes.each((r) => `starts[group * ${rows}u + ${r}u] = s${r};`),
      ...all.flatMap((token) =>
        micro.map((m) =>
          `{\n${solvedRows.map((name) => lanes.read(name, places.at(name, token, m))).join("\n")}\n${
            updateColumns(token, m)
          }\n${update(lanes, m)}\n}`
        )
      ),
    ].join("\n");

  /** The group's states again, and what they give. */
  function states(lanes: Registers, token: number, m: number): string {
    const last = m === microSteps - 1;
    const vectors = ["du", ...solvedRows, ...(last ? ["do"] : [])];
    const scale = m === 0 && gated ? "decay * " : "";
    return [
      m === 0 && gated ? lanes.each((r) => `let h${token}_${r} = s${r};`) : "",
      "{",
      ...vectors.map((name) => lanes.read(name, places.at(name, token, m))),
      updateColumns(token, m),
      lanes.dot("d", (r) => lanes.part("du", r), "s"),
      additive ? `x${token}_0 = -d;` : `k${token}_${m} = -strength * (${scale}d);`,
      update(lanes, m),
      last ? `${lanes.dot("y", (r) => lanes.part("do", r), "s")}\nq${token}_0 = y;` : "",
      "}",
    ].join("\n");
  }

  function cotangents(lanes: Registers, token: number, m: number): string {
    const last = m === microSteps - 1;
    const decays = m === 0 && gated;
    const vectors = ["du", ...solvedRows, ...(last ? ["do"] : [])];
    const lines = [
      ...vectors.map((name) => lanes.read(name, places.at(name, token, m))),
      updateColumns(token, m),
    ];
    if (last) {
      lines.push(
        `let query = ${column("q", token, m)};`,
        lanes.each((r) => `l${r} = fma(${wide(lanes.part("do", r))}, query, l${r});`),
      );
    }
    lines.push(lanes.dot("d", (r) => lanes.part("solved", r), "l"));
    const removed = (kept: string, by: string, r: number): string =>
      `fma(${wide(`-${lanes.part("du", r)}`)}, ${by}, ${kept})`;
    if (additive) {
      lines.push(
        lanes.dot("c", (r) => lanes.part("v", r), "l"),
        `k${token}_${m} = c;`,
        `x${token}_0 = fma(eta, d, x${token}_0);`,
        `e${token}_0 = kappa * d;`,
        lanes.each((r) => `l${r} *= decay;`),
        product(token),
        lanes.each((r) => `l${r} = ${removed(`l${r}`, "kappa", r)};`),
      );
    } else {
      lines.push(
        `k${token}_${m} = fma(${wide("strength")}, d, k${token}_${m});`,
        lanes.each((r) => `l${r} = ${decays ? "decay * " : ""}${removed(`l${r}`, "key", r)};`),
        decays ? product(token) : "",
      );
    }
    return `{\n${lines.join("\n")}\n}`;
  }

  /** Statements: Σ over the invocation's rows of the state before the token and its cotangent. */
  const product = (token: number): string =>
    `var both = h${token}_0 * l0;\n${
      Array.from({ length: rows - 1 }, (_, r) => `both = fma(h${token}_${r + 1}, l${r + 1}, both);`).join("\n")
    }\ng${token}_0 = both;`;

  function back(lanes: Registers): string {
    const once = ["q", ...(gated ? ["g"] : []), ...(additive ? ["x", "e"] : [])];
    const write = (name: string, target: string, rate: number, m: number): string =>
      !outputs.includes(target) ? "" : [
        ...all.map((token) => `let ${name}_${m}_${token} = ${name}${token}_${m};`),
        lanes.spread(`d_${target}_${m}`, `${name}_${m}_`, false),
        `if (lane < ${unroll}u && t0 + i + lane < end) { store_out_d_${target}(${
          rowOf("lane", rate, rate === 1 ? 0 : m)
        }, d_${target}_${m}${factor}); }`,
      ].join("\n");
    return [
      `let group = (t0 + i - origin) / ${unroll}u;`,
      lanes.each((r) => `s${r} = starts[group * ${rows}u + ${r}u];`),
      ...all.flatMap((token) => micro.map((m) => `var k${token}_${m}: ${type};`)),
      ...all.flatMap((token) => once.map((name) => `var ${name}${token}_0: ${type};`)),
      ...all.flatMap((token) => micro.map((m) => states(lanes, token, m))),
      ...all.toReversed().flatMap((token) => micro.toReversed().map((m) => cotangents(lanes, token, m))),
      write("q", "q", 1, 0),
      ...micro.map((m) => write("k", "k", microSteps, m)),
      ...(gated ? [write("g", rule.gate!, 1, 0)] : []),
      ...(additive ? [write("x", "kappa", 1, 0), write("e", "eta", 1, 0)] : []),
    ].join("\n");
  }

  return serialShader({
    label: `delta ${rule.form} local`,
    extents: { K: V, V: K, microSteps },
    tile,
    staged,
    stored: outputs.map((name) => ({ name: `d_${name}`, dtype: "f32" })),
    initial: false,
    chunk,
    extra: [read("before"), read("behind_chunk")],
    functions: transposed("before", K, V, tile.columns) + transposed("behind_chunk", K, V, tile.columns),
    start: (lanes) =>
      [
        `var starts: array<${type}, ${rows * Math.ceil(chunk / unroll)}>;`,
        lanes.each((r) => `s${r} = before_row(${cell}, ${lanes.row(r)});`),
        lanes.each((r) => `var l${r} = behind_chunk_row(${cell}, ${lanes.row(r)});`),
      ].join("\n"),
    walks: [
      {
        reverse: false,
        reads: [...solvedRows, "k", ...(additive ? ["kappa", "eta"] : ["beta"]), ...(gated ? [rule.gate!] : [])],
        atBlock: () => "",
        tokens: forth,
      },
      { reverse: true, atBlock: () => "", tokens: back },
    ],
    atEnd: () => "",
  });
}
