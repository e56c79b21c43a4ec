/**
 * The chain rule from canonical gradients to those of a model's own inputs: see the table in gradients.ts.
 *
 * @module
 */
import type { Tensor } from "../tensor.ts";
import type { Named, Work } from "../_work.ts";
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

/** Tokens whose shares of a parameter's gradient are added up before they are stored. */
const PART = 16;

/** 1 − e^g, in WGSL. */
export const complement: (g: string) => string = (g: string): string => `(-ds_expm1(${g}))`;

/** Canonical gradients. */
export interface CanonicalGradients {
  readonly dq: Tensor;
  readonly dk: Tensor;
  readonly dv: Tensor;
  readonly dg?: Tensor;
}

/**
 * Which canonical gradients are written where that of one of the model's own inputs goes, and of which. Those of k and v may have
 * to be completed there.
 */
export function ownGradients(
  { q, k, v, g, normaliser }: ChunkModel,
): { readonly [name in keyof CanonicalGradients]: string } {
  return {
    dq: q,
    ...(k.input === undefined ? {} : { dk: k.input }),
    ...(normaliser === undefined ? { dv: v } : {}),
    ...(g !== undefined && g.times === undefined ? { dg: g.input } : {}),
  } as { readonly [name in keyof CanonicalGradients]: string };
}

/** Adds what makes gradients of the model's own inputs of canonical ones, those that are in `gradients`. */
export async function addChained(
  work: Work,
  entry: ChunkModel,
  given: Named & { readonly d_o: Tensor },
  canonical: Canonical & CanonicalGradients,
  { B, T, H, K, V }: ModelExtent,
  gradients: Named,
): Promise<void> {
  const { q, k, v, g, normaliser, skip, bonus } = entry;
  const { dk, dv, dg } = canonical;
  const { d_o } = given;
  const own = new Set(Object.values(ownGradients(entry)));

  // Terms of inputs that several canonical ones are made of.
  const terms: { [name: string]: { readonly sources: { [name: string]: Tensor }; readonly before: string[] } } = {};
  const termsOf = (name: string): { readonly sources: { [name: string]: Tensor }; readonly before: string[] } =>
    terms[name] ??= { sources: {}, before: ["var value = 0.0;"] };

  if (k.factor !== undefined) {
    const { input, form } = k.factor;
    const factor = given[input]!;
    const wide = factor.shape.length === 4;
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
  if (dg !== undefined && g?.times !== undefined) {
    const { input, times } = g;
    const { sources, before } = termsOf(input);
    Object.assign(sources, { d_gate: dg, step_of: given[input]!, head_of: given[times]! });
    before.push(
      `let head = head_of[id % ${H}u]; if (step_of[id] * head >= -104.0) { value += head * d_gate[id]; }`,
    );
    const into = gradients[times];
    if (into !== undefined) {
      const shares = await work.map(
        `shares of ${times}`,
        [B, T, H],
        { d_gate: dg, step_of: given[input]!, head_of: given[times]! },
        `select(0.0, step_of[id] * d_gate[id], step_of[id] * head_of[id % ${H}u] >= -104.0)`,
      );
      await work.sums(`gradient of ${times}`, shares, B * T, H, into);
    }
  }
  for (const [name, { sources, before }] of Object.entries(terms)) {
    const into = gradients[name];
    if (into === undefined) continue;
    // What its own canonical gradient gave is there already.
    const options = own.has(name) ? { into, how: "add" as const } : { into };
    const text = before.join("\n  ");
    await work.map(`gradient of ${name}`, given[name]!.shape, sources, "value", { before: text, ...options });
  }

  // Only now, when the factor's gradient has seen it, does dk become the gradient of the model's k.
  if (k.factor !== undefined && k.input !== undefined && gradients[k.input] !== undefined) {
    const factor = given[k.factor.input]!;
    const raw = factor.shape.length === 4 ? "factor_of[id]" : `factor_of[id / ${K}u]`;
    const value = k.factor.form === "complement" ? complement(raw) : raw;
    const into = gradients[k.input];
    await work.map(`gradient of ${k.input}`, [B, T, H, K], { factor_of: factor }, value, { into, how: "multiply" });
  }
  const into = gradients[v];
  if (into !== undefined && normaliser !== undefined) {
    const value = `d_value[id / ${V}u * ${V + 1}u + id % ${V}u]`;
    await work.map(`gradient of ${v}`, [B, T, H, V], { d_value: dv }, value, { into });
  } else if (into !== undefined && skip !== undefined) {
    const sources = { head_of: given[skip]!, d_of: d_o };
    const value = `head_of[id / ${V}u % ${H}u] * d_of[id]`;
    await work.map(`gradient of ${v}`, [B, T, H, V], sources, value, { into, how: "add" });
  }
  const [ofSkip, ofBonus] = [gradients[skip ?? ""], gradients[bonus ?? ""]];
  if (ofSkip === undefined && ofBonus === undefined) return;
  const pairs = await work.map(
    "dO · v",
    [B, T, H],
    { d_of: d_o, value_of: given[v]! },
    "sum",
    { before: `var sum = 0.0; for (var n = id * ${V}u; n < (id + 1u) * ${V}u; n++) { sum += d_of[n] * value_of[n]; }` },
  );
  if (ofSkip !== undefined) await work.sums(`gradient of ${skip}`, pairs, B * T, H, ofSkip);
  if (ofBonus === undefined) return;
  // Shares of a few tokens together: an array of all of them would be as large as q.
  const parts = Math.ceil(B * T / PART);
  const shares = await work.map(
    `shares of ${bonus}`,
    [parts, H, K],
    { query_of: given[q]!, key_of: canonical.k, pair_of: pairs },
    "sum",
    {
      before: `var sum = 0.0;
  for (var row = id / ${H * K}u * ${PART}u; row < min((id / ${H * K}u + 1u) * ${PART}u, ${B * T}u); row++) {
    let at = row * ${H * K}u + id % ${H * K}u;
    sum += query_of[at] * key_of[at] * pair_of[at / ${K}u];
  }`,
    },
  );
  await work.sums(`gradient of ${bonus}`, shares, parts, H * K, ofBonus);
}
