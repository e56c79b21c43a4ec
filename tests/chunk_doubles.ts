/**
 * Small chunk kernels on the CPU, in f32: what the judge's bounds for such kernels are tried on, with faults to see them fail.
 * They are written as a GPU kernel would be: decays as exponentials of differences of running sums, updates by forward
 * substitution, gradients of log gates by telescoping.
 */

import type { AnyAffineModel } from "../models/affine.ts";
import type { Execution, Fault, GradientResult, Rounding, RunResult } from "../models/execution.ts";
import { type Dims, microSteps, prepare, prepareState } from "../models/inputs.ts";
import { f32 } from "../models/number.ts";
import { activate, type FieldValues, rawValues } from "../models/token.ts";

const round = Math.fround;
const unit = 2 ** -24;

/** Σ x_i y_i, rounded at every operation. */
function dot(n: number, x: (i: number) => number, y: (i: number) => number): number {
  let sum = 0;
  for (let i = 0; i < n; i++) sum = round(sum + round(x(i) * y(i)));
  return sum;
}

/** One step as low-rank updates: what asks the state, and what is written with what. */
interface Update {
  /** Log gates by key, or none. */
  readonly g: readonly number[] | undefined;
  /** Whether the state is decayed before it is asked. */
  readonly decayFirst: boolean;
  /** What asks. */
  readonly ask: readonly number[];
  /** What the answer is multiplied by, but for the sign. */
  readonly scale: number;
  /** The value written with `write`, from the answer. */
  value(answer: number, v: number): number;
  readonly write: readonly number[];
  /** Written besides. */
  readonly also?: { readonly write: readonly number[]; readonly value: readonly number[] };
}

function updateOf(model: AnyAffineModel, raw: FieldValues<number>, fields: FieldValues<number>, K: number): Update {
  const given = raw["g"] ?? raw["w"];
  const g = given && Array.from({ length: K }, (_, k) => given[given.length === 1 ? 0 : k]!);
  if (model.name === "rwkv7") {
    return {
      g,
      decayFirst: false,
      ask: fields["a"]!,
      scale: 1,
      value: (answer) => answer,
      write: fields["b"]!,
      also: { write: fields["k"]!, value: fields["v"]! },
    };
  }
  const [beta] = fields["beta"]!;
  return {
    g,
    decayFirst: true,
    ask: fields["k"]!,
    scale: beta!,
    value: (answer, v) => round(beta! * round(fields["v"]![v]! - answer)),
    write: fields["k"]!,
  };
}

/** How a double computes. */
export interface DoubleOptions {
  readonly fault?: Fault;
  /** Steps of a block that is solved by its inverse. */
  readonly inverse?: number;
  /** Operands of a chunk's products are rounded to multiples of twice this share of the largest. */
  readonly floor?: number;
  /** What is promised, where not what is done. */
  readonly promise?: Partial<Rounding>;
}

/** An operand's numbers as tiles keep them. */
function kept(numbers: readonly number[], floor: number): number[] {
  if (floor === 0) return [...numbers];
  const step = 2 * floor * Math.max(...numbers.map(Math.abs));
  return numbers.map((x) => step === 0 ? 0 : Math.round(x / step) * step);
}

/** Brings a chunk's vectors, in place, to what tiles keep of them. */
function tile(vectors: readonly (readonly number[] | undefined)[], floor: number): void {
  if (floor === 0) return;
  const given = vectors.filter((vector) => vector !== undefined) as number[][];
  const all = kept(given.flat(), floor);
  let n = 0;
  for (const vector of given) for (let i = 0; i < vector.length; i++) vector[i] = all[n++]!;
}

/** The delta rule in chunks of `length` steps: a WY kernel's arithmetic. */
export function deltaDouble(length: number, options: DoubleOptions = {}): Execution {
  const { fault, inverse = 1, floor = 0, promise } = options;
  return {
    name: `wy double of ${length}`,
    faults: ["relative", "dropped-carry"],
    rounding: {
      unit,
      rightCombines: () => NaN,
      accuracy: "wgsl",
      denseChunk: () => 1,
      // A product with the decay, K additions, a product; two updates of C steps; difference and β.
      chunk: (_model, { sizes }) => ({ steps: length, roundings: sizes.K! + 2 * length + 8, inverse }),
      logSums: () => ({ chunk: length, additions: length }),
      ...(floor === 0 ? {} : { tiles: () => ({ floor, chunk: length, rows: true }) }),
      ...promise,
    },
    supports: ({ action, name }) => action === "matrix" && (inverse === 1 || name !== "rwkv7"),
    run: (model, dims, inputs, { initialState } = {}) =>
      Promise.resolve().then(() => {
        const batch = prepare(model, dims, inputs);
        const initial = prepareState(model, dims, initialState);
        const { B, T, H, sizes } = dims;
        const [K, V] = [sizes.K!, sizes.V!];
        const n = microSteps(model);
        const outputs = new Float64Array(B * T * H * V).fill(NaN);
        const finalState = new Float64Array(B * H * K * V).fill(NaN);
        const chunks = Math.ceil(batch.steps / length);
        const chunkStates = new Float64Array(B * chunks * H * K * V).fill(NaN);
        for (let b = 0; b < B; b++) {
          for (let h = 0; h < H; h++) {
            let S: Float64Array = initial.slice((b * H + h) * K * V, (b * H + h + 1) * K * V);
            for (let c = 0; c < chunks; c++) {
              if (fault === "dropped-carry" && c > 0) S = new Float64Array(K * V);
              chunkStates.set(S, ((b * chunks + c) * H + h) * K * V);
              S = chunk(c * length, Math.min((c + 1) * length, batch.steps), S, b, h);
            }
            finalState.set(S, (b * H + h) * K * V);
          }
        }
        return { outputs, finalState, chunkStates } satisfies RunResult;

        function chunk(from: number, to: number, S: Float64Array, b: number, h: number): Float64Array {
          const sums: number[][] = [];
          const written: { write: readonly number[]; value: number[]; at: number }[] = [];
          let G = new Array<number>(K).fill(0);
          const asked: (readonly number[])[] = [];
          const ask = (x: readonly number[], G: readonly number[], v: number, until: number = Infinity): number => {
            let sum = dot(K, (k) => round(x[k]! * round(Math.exp(G[k]!))), (k) => S[k * V + v]!);
            for (const { write, value, at } of written) {
              if (at > until) continue;
              const decayed = (k: number): number => round(x[k]! * round(Math.exp(round(G[k]! - sums[at]![k]!))));
              sum = round(sum + round(dot(K, decayed, (k) => write[k]!) * value[v]!));
            }
            return sum;
          };
          const columns = Array.from({ length: V }, (_, v) => v);
          S = Float64Array.from(kept([...S], floor));
          const tokens = Array.from({ length: to - from }, (_, i) => {
            const raw = rawValues(f32, batch, b, from + i, h);
            const fields = activate(f32, model, sizes, raw);
            return { fields, update: updateOf(model, raw, fields, K) };
          });
          for (const name of ["k", "v", "a", "b"]) tile(tokens.map(({ fields }) => fields[name]), floor);
          for (const { fields } of tokens) tile([fields["q"]], floor);
          for (const { update } of tokens) {
            const before = G;
            if (update.g !== undefined) G = G.map((sum, k) => round(sum + update.g![k]!));
            sums.push(G);
            asked.push(update.decayFirst ? G : before);
          }
          for (let s = from; s < to; s++) {
            const { fields, update: { ask: x, value, write, also } } = tokens[s - from]!;
            const at = s - from;
            if (inverse > 1 && at % inverse === 0) {
              const block = tokens.slice(at, at + inverse).map(({ update }) => update);
              const right = block.map(({ ask: x, value }, i) =>
                columns.map((v) => value(ask(x, asked[at + i]!, v), v))
              );
              const solved = solve(block, at, right);
              block.forEach(({ write }, i) => written.push({ write, value: solved[i]!, at: at + i }));
            } else if (inverse === 1) {
              written.push({ write, value: columns.map((v) => value(ask(x, asked[at]!, v), v)), at });
            }
            if (also !== undefined) written.push({ write: also.write, value: [...also.value], at });
            G = sums[at]!;
            if (s % n !== n - 1) continue;
            const off = fault === "relative" ? 1 + 2 ** -10 : 1;
            const t = (s + 1) / n - 1;
            columns.forEach((v) => outputs[((b * T + t) * H + h) * V + v] = off * ask(fields["q"]!, G, v, at));
          }
          /** The block's updates from its right-hand sides, by the inverse of its unit triangular matrix. */
          function solve(block: readonly Update[], at: number, right: readonly number[][]): number[][] {
            const size = block.length;
            const A = block.map(({ ask: x, scale }, i) =>
              block.map(({ write }, j) => {
                const decayed = (k: number): number =>
                  round(x[k]! * round(Math.exp(round(asked[at + i]![k]! - sums[at + j]![k]!))));
                return j < i ? round(scale * dot(K, decayed, (k) => write[k]!)) : i === j ? 1 : 0;
              })
            );
            const X: number[][] = A.map((_, i) => A.map((_, j) => i === j ? 1 : 0));
            for (let j = 0; j < size; j++) {
              for (let i = j + 1; i < size; i++) X[i]![j] = -dot(i, (n) => A[i]![n]!, (n) => X[n]![j]!);
            }
            return X.map((row) => columns.map((v) => dot(size, (j) => row[j]!, (j) => right[j]![v]!)));
          }
          const one = (row: number): number[] => Array.from({ length: K }, (_, k) => k === row ? 1 : 0);
          return Float64Array.from({ length: K * V }, (_, e) => ask(one(Math.floor(e / V)), G, e % V));
        }
      }),
    planted: (fault) => deltaDouble(length, { ...options, fault }),
  };
}

/** Gated linear attention in chunks, with the gradient of its log gates telescoped within a chunk. */
export function glaDouble(length: number, options: DoubleOptions = {}): Execution {
  const { fault, floor = 0, promise } = options;
  const late = (dims: Dims): number => dims.sizes.K! + dims.sizes.V! + 2 * length + 8;
  return {
    name: `gla double of ${length}`,
    faults: ["relative", "dropped-carry"],
    rounding: {
      unit,
      rightCombines: (_steps, _model, dims) => late(dims),
      accuracy: "wgsl",
      denseChunk: () => 1,
      logSums: () => ({ chunk: length, additions: length }),
      gradient: (_model, dims) => ({
        late: late(dims),
        logSums: { chunk: length, additions: length },
        telescoped: { gate: "a", chunk: length },
      }),
      ...(floor === 0 ? {} : { tiles: () => ({ floor, chunk: length, rows: true }) }),
      ...promise,
    },
    supports: ({ name }) => name === "gla",
    run: (model, dims, inputs, options = {}) =>
      Promise.resolve().then(() => {
        const { o, finalState } = pass(model, dims, inputs, options.initialState, fault);
        const off = fault === "relative" ? 1 + 2 ** -10 : 1;
        return { outputs: o.map((x) => x * off), finalState };
      }),
    gradients: (model, dims, inputs, { outputs: given, finalState, initialState }) =>
      Promise.resolve().then((): GradientResult => {
        const outputs = kept(Array.from(given), floor);
        const { chunks, q, k, v, G } = pass(model, dims, inputs, initialState, fault);
        const { T, sizes } = dims;
        const [K, V] = [sizes.K!, sizes.V!];
        const scale = round(1 / Math.sqrt(K));
        const [dq, dk, dv, dg] = [K, K, V, K].map((width) => new Float64Array(T * width));
        let L = Float64Array.from(finalState ?? new Float64Array(K * V));
        const decay = (t: number, i: number, n: number): number => round(Math.exp(round(G[t]![n]! - G[i]![n]!)));
        for (let c = chunks.length - 1; c >= 0; c--) {
          const { from, to } = chunks[c]!;
          const S = kept([...chunks[c]!.S], floor);
          L = Float64Array.from(kept([...L], floor));
          const last = to - 1;
          if (fault === "dropped-carry" && c + 1 < chunks.length) L = new Float64Array(K * V);
          const end = chunks[c + 1]?.S ?? pass(model, dims, inputs, initialState, fault).finalState;
          for (let n = 0; n < K; n++) {
            let sum = dot(V, (m) => end[n * V + m]!, (m) => L[n * V + m]!);
            for (let t = last; t >= from; t--) {
              let x = round(dot(V, (m) => outputs[t * V + m]!, (m) => S[n * V + m]!) * round(Math.exp(G[t]![n]!)));
              for (let i = from; i <= t; i++) {
                const weight = dot(V, (m) => outputs[t * V + m]!, (m) => v[i]![m]!);
                x = round(x + round(round(weight * decay(t, i, n)) * k[i]![n]!));
              }
              let y = round(dot(V, (m) => v[t]![m]!, (m) => L[n * V + m]!) * decay(last, t, n));
              for (let i = t; i <= last; i++) {
                const weight = dot(V, (m) => outputs[i * V + m]!, (m) => v[t]![m]!);
                y = round(y + round(round(weight * decay(i, t, n)) * q[i]![n]!));
              }
              sum = round(sum + round(round(q[t]![n]! * x) - round(k[t]![n]! * y)));
              dq![t * K + n] = round(scale * x);
              dk![t * K + n] = y;
              dg![t * K + n] = sum;
            }
          }
          for (let m = 0; m < V; m++) {
            for (let t = from; t <= last; t++) {
              let x = dot(K, (n) => round(k[t]![n]! * decay(last, t, n)), (n) => L[n * V + m]!);
              for (let i = t; i <= last; i++) {
                const weight = dot(K, (n) => round(q[i]![n]! * decay(i, t, n)), (n) => k[t]![n]!);
                x = round(x + round(weight * outputs[i * V + m]!));
              }
              dv![t * V + m] = x;
            }
          }
          L = Float64Array.from({ length: K * V }, (_, e) => {
            const [n, m] = [Math.floor(e / V), e % V];
            let x = round(round(Math.exp(G[last]![n]!)) * L[e]!);
            for (let t = from; t <= last; t++) {
              x = round(x + round(round(q[t]![n]! * round(Math.exp(G[t]![n]!))) * outputs[t * V + m]!));
            }
            return x;
          });
        }
        return { inputs: { q: dq!, k: dk!, v: dv!, g: dg! }, initialState: L };
      }),
    planted: (fault) => glaDouble(length, { ...options, fault }),
  };

  function pass(
    model: AnyAffineModel,
    dims: Dims,
    inputs: Parameters<Execution["run"]>[2],
    initialState: ArrayLike<number> | undefined,
    fault: Fault | undefined,
  ) {
    const batch = prepare(model, dims, inputs);
    const { T, sizes } = dims;
    const [K, V] = [sizes.K!, sizes.V!];
    let S = Float64Array.from(prepareState(model, dims, initialState));
    const raws = Array.from({ length: T }, (_, t) => rawValues(f32, batch, 0, t, 0));
    const gates = raws.map(({ g }) => g!);
    const fields = raws.map((raw) => activate(f32, model, sizes, raw));
    const [q, k, v] = ["q", "k", "v"].map((name) => fields.map((field) => field[name]!)) as number[][][];
    const G: number[][] = [];
    const o = new Float64Array(T * V);
    const chunks: { from: number; to: number; S: Float64Array }[] = [];
    for (let from = 0; from < T; from += length) {
      const to = Math.min(from + length, T);
      if (fault === "dropped-carry" && from > 0) S = new Float64Array(K * V);
      chunks.push({ from, to, S });
      for (const numbers of [k!, v!]) tile(numbers.slice(from, to), floor);
      for (const row of q!.slice(from, to)) tile([row], floor);
      const seen = kept([...S], floor);
      let sums = new Array<number>(K).fill(0);
      for (let t = from; t < to; t++) {
        sums = sums.map((sum, n) => round(sum + gates[t]![n]!));
        G.push(sums);
      }
      for (let t = from; t < to; t++) {
        const weights = Array.from({ length: t - from + 1 }, (_, i) => {
          const decayed = (n: number): number =>
            round(q![t]![n]! * round(Math.exp(round(G[t]![n]! - G[from + i]![n]!))));
          return dot(K, decayed, (n) => k![from + i]![n]!);
        });
        for (let m = 0; m < V; m++) {
          let x = dot(K, (n) => round(q![t]![n]! * round(Math.exp(G[t]![n]!))), (n) => seen[n * V + m]!);
          weights.forEach((weight, i) => x = round(x + round(weight * v![from + i]![m]!)));
          o[t * V + m] = x;
        }
      }
      const before = S;
      S = before.map((x, e) => {
        const [n, m] = [Math.floor(e / V), e % V];
        let sum = round(round(Math.exp(G[to - 1]![n]!)) * x);
        for (let t = from; t < to; t++) {
          const decayed = round(k![t]![n]! * round(Math.exp(round(G[to - 1]![n]! - G[t]![n]!))));
          sum = round(sum + round(decayed * v![t]![m]!));
        }
        return sum;
      });
    }
    return { o, finalState: S, chunks, q: q!, k: k!, v: v!, G };
  }
}
