/**
 * Log-linear attention (log_linear_attention.ts) as a sequence layer, all heads and rows of a batch at once.
 *
 * A whole sequence goes level by level: in every pair of neighbouring blocks of 2^j tokens, the tokens of the right one read
 * all of the left one with their weight for blocks of that size. The decay between them is split at the end of the left
 * block, `e^{G_t − G_m} · e^{G_m − G_s}` with G the sum of the log decays, so that no exponent is positive.
 *
 * A stream keeps the counter's roots, each with a flag that says whether it is there, so that every token is the same text of
 * operations: an increment is carried out on the flags.
 *
 * @module
 */
import { queryScale } from "./affine.ts";
import type { DomainMap } from "./domain.ts";
import { beforeDomain, intoDomain } from "./domain_map.ts";
import { InputError } from "./error.ts";
import { linearRecurrence } from "./linear_recurrence.ts";
import { fenwickLevels } from "./log_linear_attention.ts";
import type { Parameters, ParameterSpec, TensorOps } from "./ops.ts";
import { ones, parameter, residualStd, weights } from "./parameters.ts";
import type { LayerSizes, SequenceLayer } from "./sequence_layer.ts";

/** The inputs of tokens, `[B, n, H, w]` each; g the log decay, lambda the weights of the levels. */
interface Projected<T> {
  readonly q: T;
  readonly k: T;
  readonly v: T;
  readonly g: T;
  readonly lambda: T;
}

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

/** Outputs `[B·H, N, V]` of whole sequences of N = 2^m tokens, heads first; `wide(s, w)` repeats numbers `[…, 1]` w times. */
function byLevel<T, I>(
  ops: TensorOps<T, I>,
  { q, k, v, g, lambda }: Projected<T>,
  wide: (x: T, count: number) => T,
): T {
  const [BH, N, K] = ops.shape(q) as [number, number, number];
  const V = ops.shape(v)[2]!;
  const level = (i: number): T => ops.slice(lambda, -1, i, i + 1);
  const [q1, k1] = [q, k].map((x) => ops.reshape(x, [BH * N, 1, K])) as [T, T];
  const own = ops.mul(ops.reshape(ops.matmul(q1, k1, { transposeB: true }), [BH, N, 1]), level(0));
  let output = ops.mul(wide(own, V), v);
  // A sum over all tokens before: the linear recurrence whose gate is 1.
  const G = ops.reshape(
    ops.scan(linearRecurrence, {
      a: ops.reshape(ops.affine(g, 0, 1), [BH, N, 1, 1]),
      b: ops.reshape(g, [BH, N, 1, 1]),
    }),
    [BH, N, 1],
  );
  for (let j = 0, c = 1; 2 * c <= N; j++, c *= 2) {
    const pairs = BH * N / (2 * c);
    const half = (x: T, side: 0 | 1): T =>
      ops.slice(ops.reshape(x, [pairs, 2 * c, ops.shape(x)[2]!]), 1, side * c, side * c + c);
    const middle = ops.reshape(wide(ops.reshape(ops.slice(half(G, 0), 1, c - 1, c), [pairs, 1]), c), [pairs, c, 1]);
    const less = (x: T, y: T): T => ops.map("exp", ops.add(x, ops.affine(y, -1)));
    const written = ops.mul(half(v, 0), wide(less(middle, half(G, 0)), V));
    const scores = ops.matmul(half(q, 1), half(k, 0), { transposeB: true });
    const factor = ops.mul(less(half(G, 1), middle), half(level(j + 1), 1));
    const read = ops.mul(ops.matmul(scores, written), wide(factor, V));
    output = ops.add(output, ops.reshape(ops.concat([ops.affine(read, 0), read], 1), [BH, N, V]));
  }
  return output;
}

/** One token `[B, H, w]` after the roots of `state`: `[S_0, there_0, S_1, …]`, `[B, H, K, V]` each. */
function byRoots<T, I>(
  ops: TensorOps<T, I>,
  { q, k, v, g, lambda }: Projected<T>,
  state: readonly T[],
  levels: number,
  wide: (x: T, count: number) => T,
): { readonly output: T; readonly state: readonly T[] } {
  const [B, H, K] = ops.shape(q) as [number, number, number];
  const V = ops.shape(v)[2]!;
  const written = ops.matmul(ops.reshape(k, [B, H, K, 1]), ops.reshape(v, [B, H, 1, V]));
  const nothing = ops.affine(written, 0);
  const not = (flag: T): T => ops.affine(flag, -1, 1);
  const read = (S: T, level: number): T =>
    ops.mul(
      ops.reshape(ops.matmul(ops.reshape(q, [B, H, 1, K]), S), [B, H, V]),
      wide(ops.slice(lambda, -1, level, level + 1), V),
    );
  const decay = ops.reshape(wide(ops.map("exp", g), K * V), [B, H, K, V]);
  let output = read(written, 0);
  let carried = written;
  let carry = not(nothing);
  const next: T[] = [];
  for (let j = 0; j < levels - 1; j++) {
    const root = ops.mul(state[2 * j] ?? nothing, decay);
    const there = state[2 * j + 1] ?? nothing;
    // A root that is not there is 0.
    output = ops.add(output, read(root, j + 1));
    const both = ops.mul(carry, there);
    const placed = ops.add(carry, ops.affine(both, -1));
    const stays = not(carry);
    next.push(
      ops.add(ops.mul(placed, carried), ops.mul(stays, root)),
      ops.add(placed, ops.mul(stays, there)),
    );
    carried = ops.add(carried, root);
    carry = both;
  }
  return { output, state: next };
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
  const widening = <T, I>(ops: TensorOps<T, I>, p: Parameters<T>) => (x: T, count: number): T =>
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
