/**
 * The control of every task: a network without memory, which knows the current token alone. It trains on the CPU.
 *
 *     p(y_t | x_t) = softmax(W[x_t])
 *
 * On words in a group it cannot do better than guessing; on text it comes to the entropy of pairs.
 *
 * @module
 */
import { InputError } from "../../models/error.ts";
import type {
  NamedArrays,
  OptimiserOptions,
  Predictions,
  StepOptions,
  StepResult,
  TokenBatch,
  TrainingSession,
} from "../../models/networks/training.ts";

/** Log-probabilities of a row of W, in f64. */
function logSoftmax(table: Float32Array, row: number, V: number): Float64Array {
  const logits = Float64Array.from(table.subarray(row * V, (row + 1) * V));
  const largest = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const sum = logits.reduce((total, x) => total + Math.exp(x - largest), 0);
  const shift = largest + Math.log(sum);
  return logits.map((x) => x - shift);
}

/** Numbers of the largest table that is made. */
const LARGEST = 1 << 24;

/** W, its two moments of AdamW, and the steps; arithmetic is f64, what is kept f32. W begins at 0. */
export function openBigram(
  vocabulary: number,
  { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0.01, clip = 1 }: OptimiserOptions = {},
): TrainingSession {
  const V = vocabulary;
  const size = V * V;
  if (size > LARGEST) {
    throw new InputError(`Cannot train bigram: its vocabulary must be at most ${Math.sqrt(LARGEST)}, got ${V}`);
  }
  const kept = { parameter: new Float32Array(size), first: new Float32Array(size), second: new Float32Array(size) };
  const kinds = ["parameter", "first", "second"] as const;
  const nameOf = (kind: string): string => `${kind}.table`;
  let steps = 0;
  /** Whether the last step was not finite. */
  let halted = false;
  const bytes = 3 * 4 * size;
  const rows = new Map<number, Float64Array>();
  const rowOf = (token: number): Float64Array => {
    const known = rows.get(token) ?? logSoftmax(kept.parameter, token, V);
    rows.set(token, known);
    return known;
  };
  return {
    get steps(): number {
      return steps;
    },
    size,
    bytes: { live: bytes, peak: bytes },
    step(
      { tokens, targets, weights }: TokenBatch,
      rate: number,
      { ahead = false }: StepOptions = {},
    ): Promise<StepResult> {
      const total = weights.reduce((sum, w) => sum + w, 0) || 1;
      const gradient = new Float64Array(size);
      let loss = 0;
      tokens.forEach((token, i) => {
        const w = weights[i]! / total;
        if (w === 0) return;
        const row = rowOf(token);
        loss -= w * row[targets[i]!]!;
        for (let v = 0; v < V; v++) gradient[token * V + v]! += w * Math.exp(row[v]!);
        gradient[token * V + targets[i]!]! -= w;
      });
      const gradientNorm = Math.sqrt(gradient.reduce((sum, g) => sum + g * g, 0));
      halted = ahead && halted || !Number.isFinite(loss) || !Number.isFinite(gradientNorm);
      if (halted) return Promise.resolve({ loss, gradientNorm: Infinity });
      const shrink = Math.min(1, clip / gradientNorm);
      steps++;
      const [bias1, bias2] = [1 - beta1 ** steps, 1 - beta2 ** steps];
      const { parameter, first, second } = kept;
      gradient.forEach((raw, i) => {
        const g = raw * shrink;
        first[i] = beta1 * first[i]! + (1 - beta1) * g;
        second[i] = beta2 * second[i]! + (1 - beta2) * g * g;
        const move = first[i]! / bias1 / (Math.sqrt(second[i]! / bias2) + epsilon);
        parameter[i] = parameter[i]! - rate * (move + weightDecay * parameter[i]!);
      });
      rows.clear();
      return Promise.resolve({ loss, gradientNorm });
    },
    predict({ tokens, targets }: TokenBatch): Promise<Predictions> {
      const best = new Uint32Array(tokens.length);
      const losses = new Float32Array(tokens.length);
      const margins = new Float32Array(tokens.length);
      tokens.forEach((token, i) => {
        const row = rowOf(token);
        const first = row.indexOf(row.reduce((a, b) => Math.max(a, b)));
        const second = row.reduce((most, x, v) => v === first ? most : Math.max(most, x), -Infinity);
        best[i] = first;
        losses[i] = -row[targets[i]!]!;
        margins[i] = row[first]! - second;
      });
      return Promise.resolve({ best, losses, margins });
    },
    state: () =>
      Promise.resolve({
        steps,
        arrays: Object.fromEntries(kinds.map((kind) => [nameOf(kind), { shape: [V, V], data: kept[kind].slice() }])),
      }),
    load(state: { readonly steps: number; readonly arrays: NamedArrays }): void {
      const names = kinds.map(nameOf);
      const fits = Object.keys(state.arrays).sort().join() === [...names].sort().join() &&
        names.every((name) => state.arrays[name]!.shape.join() === `${V},${V}`);
      if (!fits) {
        throw new InputError(
          `Cannot load bigram: it has ${names.join(", ")} of [${V}, ${V}], got ${
            Object.entries(state.arrays).map(([name, { shape }]) => `${name} [${shape.join(", ")}]`).join(", ")
          }`,
        );
      }
      kinds.forEach((kind) => kept[kind].set(state.arrays[nameOf(kind)]!.data));
      steps = state.steps;
      halted = false;
      rows.clear();
    },
    close: () => {},
  };
}
