/** The delta rule in f64 for one sequence, from zero and from a kernel's own states, and what the kernel may be off by. */
import { stepError } from "../../kernels/delta/rounding.ts";
import type { DeltaRule } from "../../kernels/delta/rule.ts";
import { wgslAccuracy } from "../../models/accuracy.ts";

/** One sequence of a line: numbers as the kernel read them. */
export interface DeltaSequence {
  readonly rule: DeltaRule;
  readonly T: number;
  readonly K: number;
  readonly V: number;
  /** `[T·n, …]` by the model's names. */
  readonly inputs: Readonly<Record<string, Float32Array>>;
  /** The kernel's states before every chunk, `[ceil(T / chunk), K, V]`. */
  readonly states: Float32Array;
  readonly chunk: number;
  /** `[T, V]` as the kernel wrote them. */
  readonly outputs: Float32Array;
  /** See `dotRoundings`. */
  readonly dot: number;
  /** Relative rounding of a stored output: 2^−11 for halves, 0 for f32. */
  readonly stored: number;
}

/** True outputs, and the most that any of them may be off by; 0 where the kernel broke a promise. */
export interface DeltaTruth {
  readonly truth: Float64Array;
  readonly allowed: number;
}

const norm = (x: ArrayLike<number>, from: number, to: number): number => {
  let sum = 0;
  for (let i = from; i < to; i++) sum += x[i]! ** 2;
  return Math.sqrt(sum);
};

/** How far a column of the kernel's state may be off, and each output `[T, V]`. */
interface Radii {
  readonly state: Float64Array;
  readonly outputs: Float64Array;
}

/** Norms of the columns of `S`. */
function columnNorms(S: Float64Array, V: number): Float64Array {
  const squares = new Float64Array(V);
  for (let n = 0; n < S.length; n += V) {
    for (let j = 0; j < V; j++) squares[j]! += S[n + j]! ** 2;
  }
  return squares.map(Math.sqrt);
}

/** The decay of token t and row i, and the largest −log of them. */
function gatesOf(
  { rule, K, inputs }: DeltaSequence,
  t: number,
): { readonly d: Float64Array; readonly steepest: number } {
  const g = rule.gate === undefined ? undefined : inputs[rule.gate]!;
  const logs = Float64Array.from(
    { length: K },
    (_, i) => g === undefined ? 0 : g[rule.decay === "scalar" ? t : t * K + i]!,
  );
  return { d: logs.map(Math.exp), steepest: logs.reduce((most, log) => Math.max(most, -log), 0) };
}

/** Delta steps of token t: updates the state `S`, `[K, V]`, and lets errors of columns grow; no transition's norm is above 1. */
function deltaSteps(s: DeltaSequence, t: number, S: Float64Array, radii: Radii | undefined): void {
  const { rule, K, V, inputs, dot } = s;
  const { k, v, beta } = inputs as Record<"k" | "v" | "beta", Float32Array>;
  const { d, steepest } = gatesOf(s, t);
  for (let i = 0; i < K; i++) {
    for (let j = 0; j < V; j++) S[i * V + j]! *= d[i]!;
  }
  for (let m = 0; m < rule.microSteps; m++) {
    const step = t * rule.microSteps + m;
    const norms = radii && columnNorms(S, V);
    const sum = new Float64Array(V);
    for (let i = 0; i < K; i++) {
      const key = k[step * K + i]!;
      for (let j = 0; j < V; j++) sum[j]! += key * S[i * V + j]!;
    }
    const b = beta[step]!;
    const length = norm(k, step * K, (step + 1) * K);
    for (let j = 0; j < V; j++) {
      const value = v[step * V + j]!;
      if (radii !== undefined) {
        radii.state[j]! += stepError(dot, {
          state: norms![j]!,
          removed: b * length * length,
          written: b * length * Math.abs(value),
          gate: m === 0 ? steepest : 0,
        });
      }
      sum[j] = b * (value - sum[j]!);
    }
    for (let i = 0; i < K; i++) {
      const key = k[step * K + i]!;
      for (let j = 0; j < V; j++) S[i * V + j]! += key * sum[j]!;
    }
  }
}

/**
 * What ‖diag(d) − b κᵀ‖₂ is at most: its square is that of diag(d²) + P, and P of rank 2. With c = d ∘ b = p κ/|κ| + s e, e
 * across κ, P = [[|b|² |κ|² − 2p|κ|, −s|κ|], [−s|κ|, 0]].
 */
function growth(d: Float64Array, b: Float64Array, kappa: Float64Array): number {
  const dot = (x: Float64Array, y: Float64Array): number => x.reduce((sum, value, i) => sum + value * y[i]!, 0);
  const length = Math.sqrt(dot(kappa, kappa));
  if (length === 0) return Math.max(...d);
  const c = b.map((x, i) => x * d[i]!);
  const p = dot(c, kappa) / length;
  const across = Math.max(0, dot(c, c) - p * p) * length * length;
  const corner = dot(b, b) * length * length - 2 * p * length;
  return Math.sqrt(Math.max(...d) ** 2 + (corner + Math.sqrt(corner * corner + 4 * across)) / 2) * (1 + 2 ** -40);
}

/** The same for RWKV-7's step. */
function additiveStep(s: DeltaSequence, t: number, S: Float64Array, radii: Radii | undefined): void {
  const { K, V, inputs, dot } = s;
  const row = (name: string, width: number): Float64Array =>
    Float64Array.from(inputs[name]!.subarray(t * width, (t + 1) * width));
  const [k, kappa, eta, v] = [row("k", K), row("kappa", K), row("eta", K), row("v", V)];
  const b = kappa.map((x, i) => x * eta[i]!);
  const { d, steepest } = gatesOf(s, t);
  if (radii !== undefined) {
    const [norms, grown, removed] = [columnNorms(S, V), growth(d, b, kappa), norm(b, 0, K) * norm(kappa, 0, K)];
    const written = norm(k, 0, K);
    for (let j = 0; j < V; j++) {
      const step = { state: norms[j]!, removed, written: written * Math.abs(v[j]!), gate: steepest };
      radii.state[j] = grown * radii.state[j]! + stepError(dot, step);
    }
  }
  const sum = new Float64Array(V);
  for (let i = 0; i < K; i++) {
    for (let j = 0; j < V; j++) sum[j]! -= kappa[i]! * S[i * V + j]!;
  }
  for (let i = 0; i < K; i++) {
    for (let j = 0; j < V; j++) S[i * V + j] = d[i]! * S[i * V + j]! + b[i]! * sum[j]! + k[i]! * v[j]!;
  }
}

/** One token on the state: its update, and the output. */
function token(s: DeltaSequence, t: number, S: Float64Array, out: Float64Array, radii: Radii | undefined): void {
  const { rule, K, V, inputs, dot, stored } = s;
  (rule.form === "delta" ? deltaSteps : additiveStep)(s, t, S, radii);
  const q = inputs.q!;
  const [sum, sizes] = [new Float64Array(V), new Float64Array(V)];
  const scale = Math.fround(rule.queryScale(K));
  for (let i = 0; i < K; i++) {
    const query = scale * q[t * K + i]!;
    for (let j = 0; j < V; j++) {
      sum[j]! += query * S[i * V + j]!;
      sizes[j]! += Math.abs(query * S[i * V + j]!);
    }
  }
  const length = scale * norm(q, t * K, (t + 1) * K);
  for (let j = 0; j < V; j++) {
    out[t * V + j] = sum[j]!;
    if (radii === undefined) continue;
    const own = length * radii.state[j]! + ((1 + wgslAccuracy.unit) ** (dot + 1) - 1) * sizes[j]!;
    radii.outputs[t * V + j] = own + (stored > 0 ? stored * (Math.abs(sum[j]!) + own) + 2 ** -24 : 0);
  }
}

/**
 * The truth from a zero state; and chunk by chunk from the kernel's own states, whose outputs and ends the kernel's must
 * be within the derived bound of (an error of the state is carried by transitions whose norms are known).
 */
export function deltaTruth(s: DeltaSequence): DeltaTruth {
  const { T, K, V, states, chunk } = s;
  const truth = new Float64Array(T * V);
  const own = new Float64Array(T * V);
  const S = new Float64Array(K * V);
  for (let t = 0; t < T; t++) token(s, t, S, truth, undefined);
  const outputs = new Float64Array(T * V);
  let kept = true;
  for (let from = 0; from < T; from += chunk) {
    const at = from / chunk * K * V;
    const P = Float64Array.from(states.subarray(at, at + K * V));
    const radii = { state: new Float64Array(V), outputs };
    for (let t = from; t < Math.min(from + chunk, T); t++) token(s, t, P, own, radii);
    const next = states.subarray(at + K * V, at + 2 * K * V);
    kept &&= next.every((x, n) => Math.abs(x - P[n]!) <= radii.state[n % V]!);
  }
  let allowed = 0;
  for (let n = 0; n < T * V; n++) {
    kept &&= Math.abs(s.outputs[n]! - own[n]!) <= outputs[n]!;
    allowed = Math.max(allowed, outputs[n]! + Math.abs(own[n]! - truth[n]!));
  }
  return { truth, allowed: kept ? allowed : 0 };
}
