/**
 * Gradients of the delta rule in f64 for one sequence, and what a kernel's may be off by.
 *
 * Given the kernel's own states at chunk starts, cotangents at chunk ends, and solved vectors e and du, everything else
 * is a sum: `S_t = d_t S_{t−1} + β_t k_t e_tᵀ`, `λ_{t−1} = d_t (λ_t − β_t k_t du_tᵀ)`, and products of these. So every number that the
 * kernel wrote must be what f64 makes of those sums, up to the roundings of their terms, no larger than the same
 * sums of magnitudes: within a chunk of C tokens, a term meets at most 2 + 1 + exp's roundings a token (gate's product, sum,
 * β), and those of the last products. That holds for e and du themselves, for the states at the next chunk's start and
 * the cotangents at the end of the one before.
 */
import type { DeltaRule } from "../../kernels/delta/rule.ts";
import { wgslAccuracy } from "../../models/accuracy.ts";

/** One sequence: numbers as the kernel read and wrote them, one micro-step a token, decays by `g`. */
export interface GradientSequence {
  readonly rule: DeltaRule;
  readonly T: number;
  readonly K: number;
  readonly V: number;
  readonly chunk: number;
  /** `[T, …]` by the model's names, and `do`. */
  readonly inputs: Readonly<Record<string, Float32Array>>;
  readonly states: Float32Array;
  readonly cotangents: Float32Array;
  readonly solved: Float32Array;
  readonly du: Float32Array;
  readonly gradients: Readonly<Record<string, Float32Array>>;
}

export interface GradientTruth {
  /** By input. */
  readonly truth: Readonly<Record<string, Float64Array>>;
  /** The most that any number of an input's gradient may be off by; 0 where the kernel broke a promise. */
  readonly allowed: Readonly<Record<string, number>>;
}

/** A number and the same sum of magnitudes, entry by entry. */
interface Field {
  readonly x: Float64Array;
  readonly size: Float64Array;
}

const field = (n: number): Field => ({ x: new Float64Array(n), size: new Float64Array(n) });
const copied = (from: ArrayLike<number>): Field => ({
  x: Float64Array.from(from),
  size: Float64Array.from(from, Math.abs),
});

interface Chunk {
  readonly from: number;
  readonly to: number;
  /** Where all of the sequence's results go. */
  readonly out: Readonly<Record<string, Field>>;
  /** Data where given, else solved here. */
  readonly solved: Float32Array | undefined;
  readonly du: Float32Array | undefined;
}

/** Walks forth from S and back from L; both are updated. Results: gradients by input, `e`, `du`. */
function walk(s: GradientSequence, { from, to, out, solved, du }: Chunk, S: Field, L: Field): void {
  const { rule, K, V, inputs } = s;
  const { q, k, v, beta } = inputs as Record<"q" | "k" | "v" | "beta", Float32Array>;
  const dO = inputs.do!;
  const scale = Math.fround(rule.queryScale(K));
  const gate = (t: number, i: number): number =>
    rule.gate === undefined ? 1 : Math.exp(inputs.g![rule.decay === "scalar" ? t : t * K + i]!);
  const before: Field[] = [];
  const product = (into: Field, at: number, x: number, size: number): void => {
    into.x[at]! += x;
    into.size[at]! += size;
  };
  for (let t = from; t < to; t++) {
    before.push({ x: S.x.slice(), size: S.size.slice() });
    const sum = field(V);
    for (let i = 0; i < K; i++) {
      const d = gate(t, i);
      for (let j = 0; j < V; j++) {
        const n = i * V + j;
        S.x[n]! *= d;
        S.size[n]! *= d;
        product(sum, j, -k[t * K + i]! * S.x[n]!, Math.abs(k[t * K + i]!) * S.size[n]!);
      }
    }
    for (let j = 0; j < V; j++) product(sum, j, v[t * V + j]!, Math.abs(v[t * V + j]!));
    for (let j = 0; j < V; j++) product(out.e!, t * V + j, sum.x[j]!, sum.size[j]!);
    for (let i = 0; i < K; i++) {
      const written = beta[t]! * k[t * K + i]!;
      for (let j = 0; j < V; j++) {
        const e = solved === undefined ? sum.x[j]! : solved[t * V + j]!;
        product(S, i * V + j, written * e, Math.abs(written * e));
        const o = scale * dO[t * V + j]!;
        product(out.q!, t * K + i, S.x[i * V + j]! * o, S.size[i * V + j]! * Math.abs(o));
      }
    }
  }
  for (let t = to - 1; t >= from; t--) {
    const P = before[t - from]!;
    const sum = field(V);
    for (let i = 0; i < K; i++) {
      const query = scale * q[t * K + i]!;
      for (let j = 0; j < V; j++) {
        const n = i * V + j;
        product(L, n, query * dO[t * V + j]!, Math.abs(query * dO[t * V + j]!));
        product(sum, j, k[t * K + i]! * L.x[n]!, Math.abs(k[t * K + i]!) * L.size[n]!);
      }
    }
    for (let j = 0; j < V; j++) {
      const n = t * V + j;
      product(out.du!, n, sum.x[j]!, sum.size[j]!);
      const own = du === undefined ? sum.x[j]! : du[n]!;
      const e = solved === undefined ? out.e!.x[n]! : solved[n]!;
      product(out.v!, n, beta[t]! * own, beta[t]! * sum.size[j]!);
      product(out.beta!, t, own * e, Math.abs(own * e));
    }
    for (let i = 0; i < K; i++) {
      const d = gate(t, i);
      const written = beta[t]! * k[t * K + i]!;
      for (let j = 0; j < V; j++) {
        const n = i * V + j;
        const own = du === undefined ? sum.x[j]! : du[t * V + j]!;
        const e = solved === undefined ? out.e!.x[t * V + j]! : solved[t * V + j]!;
        product(
          out.k!,
          t * K + i,
          beta[t]! * (L.x[n]! * e - d * P.x[n]! * own),
          beta[t]! * (L.size[n]! * Math.abs(e) + d * P.size[n]! * Math.abs(own)),
        );
        L.x[n] = d * (L.x[n]! - written * own);
        L.size[n] = d * (L.size[n]! + Math.abs(written * own));
        if (rule.gate !== undefined) {
          const at = rule.decay === "scalar" ? t : t * K + i;
          product(out.g!, at, P.x[n]! * L.x[n]!, P.size[n]! * L.size[n]!);
        }
      }
    }
  }
}

export function gradientTruth(s: GradientSequence): GradientTruth {
  const { rule, T, K, V, chunk, inputs, states, cotangents, solved, du, gradients } = s;
  const names = Object.keys(gradients);
  const results = (): Record<string, Field> =>
    Object.fromEntries([
      ...names.map((name) => [name, field(gradients[name]!.length)]),
      ...["e", "du"].map((name) => [name, field(T * V)]),
    ]);
  const chunks = Math.ceil(T / chunk);
  const to = (c: number): number => Math.min(T, (c + 1) * chunk);
  const at = (x: Float32Array, c: number): Float32Array => x.subarray(c * K * V, (c + 1) * K * V);

  // The truth: starts of chunks first, then back, solving everything again.
  const truth = results();
  const starts: Field[] = [field(K * V)];
  for (let c = 0; c + 1 < chunks; c++) {
    const S = copied(starts[c]!.x);
    walk(s, { from: c * chunk, to: to(c), out: results(), solved: undefined, du: undefined }, S, field(K * V));
    starts.push(copied(S.x));
  }
  const lambda = field(K * V);
  for (let c = chunks - 1; c >= 0; c--) {
    walk(s, { from: c * chunk, to: to(c), out: truth, solved: undefined, du: undefined }, copied(starts[c]!.x), lambda);
  }

  // The kernel's own: each chunk by itself.
  const own = results();
  let steepest = 0;
  if (rule.gate !== undefined) { for (const g of inputs.g!) steepest = Math.max(steepest, -g); }
  const { exp, unit, flush } = wgslAccuracy;
  const perToken = 3 + exp.units + exp.perArgument * steepest;
  const gamma = (1 + unit) ** (2 * chunk * perToken + K + V + 16) - 1;
  const within = (x: number, want: number, size: number): boolean =>
    Math.abs(x - want) <= gamma * size + 2 ** 12 * flush;
  let kept = true;
  const same = (x: Float32Array, want: Field): void => {
    kept &&= x.every((y, n) => within(y, want.x[n]!, want.size[n]!));
  };
  for (let c = 0; c < chunks; c++) {
    const [S, L] = [copied(at(states, c)), copied(at(cotangents, c))];
    walk(s, { from: c * chunk, to: to(c), out: own, solved, du }, S, L);
    if (c + 1 < chunks) same(at(states, c + 1), S);
    if (c > 0) same(at(cotangents, c - 1), L);
  }
  same(solved, own.e!);
  same(du, own.du!);
  const allowed = names.map((name): [string, number] => {
    const { x, size } = own[name]!;
    let most = 0;
    gradients[name]!.forEach((y, n) => {
      kept &&= within(y, x[n]!, size[n]!);
      most = Math.max(most, gamma * size[n]! + Math.abs(x[n]! - truth[name]!.x[n]!));
    });
    return [name, most];
  });
  return {
    truth: Object.fromEntries(names.map((name) => [name, truth[name]!.x])),
    allowed: Object.fromEntries(allowed.map(([name, most]) => [name, kept ? most : 0])),
  };
}
