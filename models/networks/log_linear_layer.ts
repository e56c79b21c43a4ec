/**
 * Log-linear attention (log_linear_attention.ts) as a sequence layer, all heads and rows of a batch at once: a whole sequence
 * level by level, a stream by the counter's roots.
 *
 * @module
 */
import { queryScale } from "../affine.ts";
import type { Projected, Widen } from "./_log_linear_inputs.ts";
import { byLevel } from "./_log_linear_levels.ts";
import { byRoots } from "./_log_linear_roots.ts";
import type { DomainMap } from "../domain.ts";
import { beforeDomain, intoDomain } from "./domain_map.ts";
import { InputError } from "../error.ts";
import { fenwickLevels } from "../log_linear_attention.ts";
import type { Parameters, ParameterSpec, TensorOps } from "./ops.ts";
import { ones, parameter, residualStd, weights } from "./parameters.ts";
import type { LayerSizes, SequenceLayer } from "./sequence_layer.ts";

const positive: DomainMap = { kind: "positive" };

/** `[B, n, H, w]` → `[B·H, n, w]`, or back from `[B, H, n, w]` if `n` and `H` are exchanged. */
function headsFirst<T, I>(ops: TensorOps<T, I>, x: T): T {
  const [B, n, H, w] = ops.shape(x) as [number, number, number, number];
  if (H === 1 || n === 1) return ops.reshape(x, [B * H, n, w]);
  const rows = Array.from({ length: B * H * n }, (_, row) => {
    const [b, h, t] = [Math.floor(row / (H * n)), Math.floor(row / n) % H, row % n];
    return { source: 0, from: (b * n + t) * H + h, count: 1 };
  });
  return ops.reshape(ops.take([ops.reshape(x, [B * n * H, w])], rows), [B * H, n, w]);
}

/** `[1, count]` of ones, made from numbers at hand. */
function onesRow<T, I>(ops: TensorOps<T, I>, like: T, count: number): T {
  const one = ops.affine(ops.slice(ops.reshape(like, [ops.shape(like)[0]!, 1]), 0, 0, 1), 0, 1);
  return ops.reshape(ops.repeat(ops.reshape(one, [1]), count), [1, count]);
}

/** x `[B, n, …]` with zeros behind it, up to N ≤ 2n tokens. */
function padded<T, I>(ops: TensorOps<T, I>, x: T, N: number): T {
  const n = ops.shape(x)[1]!;
  return n === N ? x : ops.concat([x, ops.affine(ops.slice(x, 1, 0, N - n), 0)], 1);
}

/** The layer: q, k, v and log decays by head, weights of levels by softplus from 1; norm over heads, a silu gate. */
export function logLinearLayer({ d, heads, layers = 1, longest = 4096 }: LayerSizes): SequenceLayer {
  const name = "log-linear-attention";
  const levels = fenwickLevels(longest);
  const w = d / heads;
  const bias = (n: number, value: number): ParameterSpec => ({
    shape: [n],
    initial: { kind: "values", values: [value] },
    decay: false,
  });
  const project = <T, I>(ops: TensorOps<T, I>, p: Parameters<T>, x: T): Projected<T> => {
    const [B, n] = ops.shape(x) as [number, number];
    const input = (key: string, width: number): T =>
      ops.reshape(ops.linear(x, parameter(p, key), p[`${key}Bias`]), [B, n, heads, width]);
    return {
      q: ops.affine(input("query", w), queryScale(w)),
      k: input("key", w),
      v: input("value", w),
      g: ops.map("log-sigmoid", input("decay", 1)),
      lambda: intoDomain(ops, positive, input("level", levels)),
    };
  };
  const finish = <T, I>(ops: TensorOps<T, I>, p: Parameters<T>, x: T, outputs: T): T => {
    const y = ops.reshape(ops.rmsNorm(outputs, parameter(p, "norm")), ops.shape(x));
    return ops.linear(ops.mul(y, ops.map("silu", ops.linear(x, parameter(p, "gate")))), parameter(p, "out"));
  };
  const widening = <T, I>(ops: TensorOps<T, I>, p: Parameters<T>): Widen<T> => (x, count) =>
    ops.linear(x, onesRow(ops, parameter(p, "norm"), count));
  return {
    name,
    longest,
    parameters: {
      query: weights(d, d),
      key: weights(d, d),
      value: weights(d, d),
      decay: weights(d, heads),
      // σ(4): a tenth of what was written is left after 125 tokens.
      decayBias: bias(heads, 4),
      level: weights(d, heads * levels),
      levelBias: bias(heads * levels, beforeDomain(positive, 1)),
      norm: ones(w),
      gate: weights(d, d),
      out: weights(d, d, residualStd(layers)),
    },
    whole(ops, p, x) {
      const [B, n] = ops.shape(x) as [number, number];
      if (n > longest) {
        throw new InputError(`Cannot run ${name}: it has weights for ${longest} tokens, got ${n}`);
      }
      const N = 2 ** Math.ceil(Math.log2(n));
      const first = (y: typeof x): typeof x => headsFirst(ops, padded(ops, y, N));
      const { q, k, v, g, lambda } = project(ops, p, x);
      const all = { q: first(q), k: first(k), v: first(v), g: first(g), lambda: first(lambda) };
      const outputs = ops.slice(byLevel(ops, all, widening(ops, p)), 1, 0, n);
      const tokensFirst = ops.reshape(headsFirst(ops, ops.reshape(outputs, [B, heads, n, w])), [B, n, heads, w]);
      return finish(ops, p, x, tokensFirst);
    },
    resume(ops, p, x, state) {
      const [B, n] = ops.shape(x) as [number, number];
      const projected = project(ops, p, x);
      const outputs: (typeof x)[] = [];
      let roots = state;
      for (let t = 0; t < n; t++) {
        const token = (y: typeof x): typeof x => ops.reshape(ops.slice(y, 1, t, t + 1), [B, heads, ops.shape(y)[3]!]);
        const { q, k, v, g, lambda } = projected;
        const one = { q: token(q), k: token(k), v: token(v), g: token(g), lambda: token(lambda) };
        const next = byRoots(ops, one, roots, levels, widening(ops, p));
        outputs.push(ops.reshape(next.output, [B, 1, heads, w]));
        roots = next.state;
      }
      return { y: finish(ops, p, x, outputs.length === 1 ? outputs[0]! : ops.concat(outputs, 1)), state: roots };
    },
  };
}
