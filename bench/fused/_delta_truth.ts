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

/** One token on the state `S`, `[K, V]`: updates it, writes the output, and lets errors of columns grow. */
function token(s: DeltaSequence, t: number, S: Float64Array, out: Float64Array, radii: Radii | undefined): void {
  const { rule, K, V, inputs, dot, stored } = s;
  const { q, k, v, beta } = inputs as Record<"q" | "k" | "v" | "beta", Float32Array>;
  const g = rule.gate === undefined ? undefined : inputs[rule.gate]!;
  const columns = new Float64Array(V);
  const sum = new Float64Array(V);
  let gate = 0;
  if (g !== undefined) {
    for (let i = 0; i < K; i++) {
      const log = rule.decay === "scalar" ? g[t]! : g[t * K + i]!;
      gate = Math.max(gate, -log);
      const decay = Math.exp(log);
      for (let j = 0; j < V; j++) S[i * V + j]! *= decay;
    }
  }
  for (let m = 0; m < rule.microSteps; m++) {
    const step = t * rule.microSteps + m;
    sum.fill(0);
    columns.fill(0);
    for (let i = 0; i < K; i++) {
      const key = k[step * K + i]!;
      for (let j = 0; j < V; j++) {
        const x = S[i * V + j]!;
        sum[j]! += key * x;
        columns[j]! += x * x;
      }
    }
    const b = beta[step]!;
    const length = norm(k, step * K, (step + 1) * K);
    for (let j = 0; j < V; j++) {
      const value = v[step * V + j]!;
      if (radii !== undefined) {
        const [state, removed] = [Math.sqrt(columns[j]!), b * length * length];
        const written = b * length * Math.abs(value);
        radii.state[j]! += stepError(dot, {
          state,
          removed,
          written,
          gate: m === 0 ? gate : 0,
        });
      }
      sum[j] = b * (value - sum[j]!);
    }
    for (let i = 0; i < K; i++) {
      const key = k[step * K + i]!;
      for (let j = 0; j < V; j++) S[i * V + j]! += key * sum[j]!;
    }
  }
  sum.fill(0);
  columns.fill(0);
  const scale = Math.fround(rule.queryScale(K));
  for (let i = 0; i < K; i++) {
    const query = scale * q[t * K + i]!;
    for (let j = 0; j < V; j++) {
      sum[j]! += query * S[i * V + j]!;
      columns[j]! += Math.abs(query * S[i * V + j]!);
    }
  }
  const length = scale * norm(q, t * K, (t + 1) * K);
  for (let j = 0; j < V; j++) {
    out[t * V + j] = sum[j]!;
    if (radii === undefined) continue;
    const own = length * radii.state[j]! + ((1 + wgslAccuracy.unit) ** (dot + 1) - 1) * columns[j]!;
    radii.outputs[t * V + j] = own + (stored > 0 ? stored * (Math.abs(sum[j]!) + own) + 2 ** -24 : 0);
  }
}

/**
 * The truth from a zero state; and chunk by chunk from the kernel's own states, whose outputs and ends the kernel's must
 * be within the derived bound of (an error of the state is carried by transitions of norm ≤ 1).
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
