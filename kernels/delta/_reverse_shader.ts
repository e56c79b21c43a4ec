/**
 * The cotangent of the state, from the last token to the first, in registers: what the forward pass is to S, this is to
 *
 *     λ_t = ∂L/∂S_t                 λ_t += q_t dO_tᵀ
 *     delta      du_t = λ_tᵀ k_t,                    λ_{t−1} = diag(d_t)(λ_t − k_t (β_t du_t)ᵀ)
 *     additive   du_t = λ_tᵀ b_t,  dv_t = λ_tᵀ k_t,  λ_{t−1} = diag(d_t) λ_t − κ_t du_tᵀ
 *
 * It leaves du and dv of every token and λ at the end of every chunk, which is all that the other gradients need
 * of the tokens behind their chunk.
 */
import type { DType } from "../tensor.ts";
import { type Fault, relativeFactor } from "../faults.ts";
import type { Shader } from "../wgsl.ts";
import { positions, rowOf, stagedInputs } from "./_forward_shader.ts";
import type { Registers } from "./_registers.ts";
import { serialShader, storeState } from "./_serial_shader.ts";
import type { Extents, Staged } from "./_staging.ts";
import type { DeltaRule } from "./rule.ts";
import type { Tile } from "./tile.ts";

export interface ReverseText {
  readonly rule: DeltaRule;
  readonly extents: Extents;
  readonly tile: Tile;
  /** Of the inputs, and of `do`. */
  readonly dtypes: Readonly<Record<string, DType>>;
  /** Whether the final state has a cotangent. */
  readonly initial: boolean;
  readonly chunk: number;
  readonly fault: Fault | undefined;
}

/** What the reverse pass reads. */
export function reverseStaged(rule: DeltaRule, K: number, dtypes: Readonly<Record<string, DType>>): Staged[] {
  const names = [
    "q",
    "k",
    ...(rule.form === "delta" ? ["beta"] : ["kappa", "eta"]),
    ...(rule.gate === undefined ? [] : [rule.gate]),
  ];
  return [
    ...stagedInputs(rule, K, dtypes, names),
    { name: "do", dtype: dtypes.do!, axis: "V", micro: false, value: (raw) => raw },
  ];
}

export function reverseShader({ rule, extents, tile, dtypes, initial, chunk, fault }: ReverseText): Shader {
  const { K, microSteps } = extents;
  const { unroll, block } = tile;
  const staged = reverseStaged(rule, K, dtypes);
  const places = positions(staged, microSteps, tile);
  const factor = relativeFactor(fault);

  function step(lanes: Registers, token: number, m: number): string {
    const { read, part, each, dot, total, type } = lanes;
    const wide = (x: string): string => type === "f32" ? x : `${type}(${x})`;
    const last = m === microSteps - 1;
    const decays = m === 0 && rule.decay !== "none";
    const channel = decays && rule.decay === "channel";
    const vectors = [
      "k",
      ...(last ? ["q"] : []),
      ...(rule.form === "additive" ? ["kappa", "eta"] : []),
      ...(channel ? [rule.gate!] : []),
    ];
    const gate = (r: number): string => channel ? part(rule.gate!, r) : "decay";
    const lines = [
      ...vectors.map((name) => read(name, places.at(name, token, m))),
      ...(decays && !channel ? [`let decay = ${places.element(rule.gate!, token, m)};`] : []),
    ];
    if (last) {
      lines.push(
        `let y = ${places.element("do", token, m)};`,
        each((r) => `s${r} = fma(${wide(part("q", r))}, y, s${r});`),
      );
    }
    if (rule.form === "additive") {
      lines.push(
        dot("b", (r) => `(${part("kappa", r)} * ${part("eta", r)})`, "s"),
        dot("d", (r) => part("k", r), "s"),
        `let u = ${total("b")};`,
        `w${token}_${m} = ${total("d")};`,
        each((r) => `s${r} = fma(${wide(`-${part("kappa", r)}`)}, u, ${gate(r)} * s${r});`),
        `u${token}_${m} = u;`,
      );
    } else {
      lines.push(
        dot("d", (r) => part("k", r), "s"),
        `let u = ${total("d")};`,
        `let w = ${places.element("beta", token, m)} * u;`,
        each((r) => {
          const kept = `fma(${wide(`-${part("k", r)}`)}, w, s${r})`;
          return `s${r} = ${decays ? `${gate(r)} * ${kept}` : kept};`;
        }),
        `u${token}_${m} = u; w${token}_${m} = w;`,
      );
    }
    return `{\n${lines.join("\n")}\n}`;
  }

  const tokens = (lanes: Registers): string => {
    const all = Array.from({ length: unroll }, (_, token) => token);
    const micro = Array.from({ length: microSteps }, (_, m) => m);
    const present = `lane < ${unroll}u && t0 + i + lane < p.T`;
    const gathered = (name: string, target: string, m: number, times: string): string =>
      [
        ...all.map((token) => `let ${name}_${m}_${token} = ${name}${token}_${m};`),
        lanes.spread(`${target}_${m}`, `${name}_${m}_`, true),
        `if (${present}) { store_out_${target}(${rowOf("lane", microSteps, m)}, ${target}_${m}${times}); }`,
      ].join("\n");
    return [
      ...all.flatMap((token) =>
        micro.map((m) => `var u${token}_${m}: ${lanes.type}; var w${token}_${m}: ${lanes.type};`)
      ),
      ...all.toReversed().flatMap((token) => micro.toReversed().map((m) => step(lanes, token, m))),
      ...micro.flatMap((m) => [gathered("u", "du", m, ""), gathered("w", "dv", m, factor)]),
    ].join("\n");
  };

  return serialShader({
    label: `delta ${rule.form} reverse`,
    extents,
    tile,
    staged,
    stored: ["du", "dv", "ends", "initial"].map((name) => ({ name, dtype: "f32" })),
    initial,
    walks: [{
      reverse: true,
      atBlock: (lanes) =>
        [
          fault === "dropped-carry" ? lanes.each((r) => `if (t0 + ${block}u < p.T) { s${r} = ${lanes.type}(); }`) : "",
          `if ((t0 + ${block}u) % ${chunk}u == 0u || t0 + ${block}u >= p.T) {\n${
            storeState(lanes, K, "ends", `((batch * p.chunks + t0 / ${chunk}u) * p.H + head) * ${K}u`)
          }\n}`,
        ].join("\n"),
      tokens,
    }],
    atEnd: (lanes) => storeState(lanes, K, "initial", `sequence * ${K}u`, factor),
  });
}
