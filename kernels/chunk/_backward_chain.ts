/**
 * The chain rule from canonical gradients to those of a model's own inputs: see the table in gradients.ts.
 *
 * @module
 */
import type { Tensor } from "../tensor.ts";
import type { Work } from "./_backward_work.ts";
import type { ChunkModel } from "./family.ts";

/** Extents of a run of a model. */
export interface ModelExtent {
  readonly B: number;
  readonly T: number;
  readonly H: number;
  readonly K: number;
  readonly V: number;
}

/** Canonical inputs that may not be the model's own. */
export interface Canonical {
  readonly k: Tensor;
  readonly v: Tensor;
  readonly g: Tensor | undefined;
}

/** Tensors by the names of the model's inputs. */
export type Named = { readonly [name: string]: Tensor };

/** 1 − e^g, in WGSL. */
export const complement: (g: string) => string = (g: string): string => `(-ds_expm1(${g}))`;

/** Gradients by name of the model's own inputs. */
export async function chained(
  work: Work,
  { q, k, v, g, normaliser, skip, bonus }: ChunkModel,
  given: Named,
  canonical: Canonical & {
    readonly dq: Tensor;
    readonly dk: Tensor;
    readonly dv: Tensor;
    readonly dg?: Tensor;
  },
  { B, T, H, K, V }: ModelExtent,
): Promise<Named> {
  const { dq, dk, dv, dg } = canonical;
  const d_o = given["d_o"]!;
  const out: { [name: string]: Tensor } = { [q]: dq };

  // Terms of inputs that several canonical ones are made of.
  const terms: { [name: string]: { readonly sources: { [name: string]: Tensor }; readonly before: string[] } } = {};
  const termsOf = (name: string): { readonly sources: { [name: string]: Tensor }; readonly before: string[] } =>
    terms[name] ??= { sources: {}, before: ["var value = 0.0;"] };

  if (k.factor === undefined) out[k.input!] = dk;
  else {
    const { input, form } = k.factor;
    const factor = given[input]!;
    const wide = factor.shape.length === 4;
    if (k.input !== undefined) {
      const raw = wide ? "factor_of[id]" : `factor_of[id / ${K}u]`;
      out[k.input] = await work.map(
        `gradient of ${k.input}`,
        [B, T, H, K],
        { d_key: dk, factor_of: factor },
        `d_key[id] * ${form === "complement" ? complement(raw) : raw}`,
      );
    }
    const { sources, before } = termsOf(input);
    Object.assign(sources, { d_key: dk }, k.input === undefined ? {} : { key_of: given[k.input]! });
    if (form === "complement") Object.assign(sources, { factor_of: factor });
    const slope = form === "complement" ? "-ds_exp(factor_of[id])" : "1.0";
    const of = (at: string): string => k.input === undefined ? `d_key[${at}]` : `d_key[${at}] * key_of[${at}]`;
    before.push(
      wide
        ? `value += ${slope} * (${of("id")});`
        : `{ var sum = 0.0; for (var n = 0u; n < ${K}u; n++) { sum += ${
          of(`id * ${K}u + n`)
        }; } value += ${slope} * sum; }`,
    );
  }
  if (dg !== undefined) {
    const { input, times } = g!;
    if (times === undefined && terms[input] === undefined) out[input] = dg;
    else {
      const { sources, before } = termsOf(input);
      Object.assign(sources, { d_gate: dg });
      if (times === undefined) before.push("value += d_gate[id];");
      else {
        Object.assign(sources, { step_of: given[input]!, head_of: given[times]! });
        before.push(
          `let head = head_of[id % ${H}u]; if (step_of[id] * head >= -104.0) { value += head * d_gate[id]; }`,
        );
        const shares = await work.map(
          `shares of ${times}`,
          [B, T, H],
          { d_gate: dg, step_of: given[input]!, head_of: given[times]! },
          `select(0.0, step_of[id] * d_gate[id], step_of[id] * head_of[id % ${H}u] >= -104.0)`,
        );
        out[times] = await work.sums(`gradient of ${times}`, shares, B * T, H);
      }
    }
  }
  for (const [name, { sources, before }] of Object.entries(terms)) {
    out[name] = await work.map(`gradient of ${name}`, given[name]!.shape, sources, "value", before.join("\n  "));
  }

  out[v] = normaliser !== undefined
    ? await work.map(`gradient of ${v}`, [B, T, H, V], { d_value: dv }, `d_value[id / ${V}u * ${V + 1}u + id % ${V}u]`)
    : skip === undefined
    ? dv
    : await work.map(
      `gradient of ${v}`,
      [B, T, H, V],
      { d_value: dv, head_of: given[skip]!, d_of: d_o },
      `d_value[id] + head_of[id / ${V}u % ${H}u] * d_of[id]`,
    );
  if (skip !== undefined || bonus !== undefined) {
    const pairs = await work.map(
      "dO · v",
      [B, T, H],
      { d_of: d_o, value_of: given[v]! },
      "sum",
      `var sum = 0.0; for (var n = id * ${V}u; n < (id + 1u) * ${V}u; n++) { sum += d_of[n] * value_of[n]; }`,
    );
    if (skip !== undefined) out[skip] = await work.sums(`gradient of ${skip}`, pairs, B * T, H);
    if (bonus !== undefined) {
      const shares = await work.map(
        `shares of ${bonus}`,
        [B, T, H, K],
        { query_of: given[q]!, key_of: canonical.k, pair_of: pairs },
        `query_of[id] * key_of[id] * pair_of[id / ${K}u]`,
      );
      out[bonus] = await work.sums(`gradient of ${bonus}`, shares, B * T, H * K);
    }
  }
  return out;
}
