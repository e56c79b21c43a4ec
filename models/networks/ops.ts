/**
 * What a network is written in: operations on arrays of numbers, without saying where the arrays live.
 *
 * Like a model's algebra (arith.ts) lets one recurrence run exactly and on a GPU, a {@link TensorOps} lets one text of an
 * aggregator, an encoder or a whole language model run over f64 and over dual numbers (oracle/array_ops.ts), and as recorded
 * GPU kernels with their gradients (kernels/nn/).
 *
 * `T` is an array of numbers with a shape, row-major, the last axis contiguous; `I` an array of token ids. Operations return
 * new arrays and change none. `…` stands for any number of leading axes. Shapes that do not fit throw an `InputError` of one
 * line, at the call.
 *
 * @module
 */
import type { AnyAffineModel } from "../affine.ts";

/** Functions of one number, applied to every entry. */
export type Activation =
  | "exp"
  /** x Φ(x), by its tanh form: 0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³))), as GPT-2 has it. */
  | "gelu"
  /** log σ(x) = −softplus(−x). */
  | "log-sigmoid"
  | "relu"
  | "sigmoid"
  /** x σ(x). */
  | "silu"
  | "softplus"
  | "tanh";

/** Which keys a query sees. Positions count from the first key; queries are the *last* n of the m keys' positions. */
export type AttentionMask =
  /** Those at its own position and before. */
  | "causal"
  /** All of them. */
  | "bidirectional"
  /** Its own and the `window − 1` before it. */
  | { readonly window: number };

/** How a softmax attention is cut into heads and what it sees. Scores are scaled by (d / heads)^−1/2. */
export interface AttentionOptions {
  readonly heads: number;
  readonly mask: AttentionMask;
}

/** What a stream's next tokens see, and the caches with theirs. */
export interface CachedAttention<T> {
  /** `[N, n, d]` */
  readonly y: T;
  /** `[N, room, d]` */
  readonly keys: T;
  readonly values: T;
}

/** Rows `from … from + count − 1` along the first axis of `sources[source]`. */
export interface Rows {
  readonly source: number;
  readonly from: number;
  readonly count: number;
}

/** Operations of a network. `d` is the width of the last axis. */
export interface TensorOps<T, I> {
  shape(x: T): readonly number[];
  idsShape(ids: I): readonly number[];

  /** `x·w + bias`: x `[…, d]`, w `[d, e]`, bias `[e]` → `[…, e]`. */
  linear(x: T, w: T, bias?: T): T;
  /** Batched products: a `[…, n, d]`, b `[…, d, e]` (or `[…, e, d]` with `transposeB`), the same leading axes → `[…, n, e]`. */
  matmul(a: T, b: T, options?: { readonly transposeB?: boolean }): T;
  /** Sum; b has a's shape, or that of its last axes and is repeated over the others. */
  add(a: T, b: T): T;
  /** Product by entries; shapes as in {@linkcode add}. */
  mul(a: T, b: T): T;
  /** `factor·x + offset`, both constants. */
  affine(x: T, factor: number, offset?: number): T;
  map(activation: Activation, x: T): T;
  /** `(x − mean) / √(variance + ε) · gain + bias` along the last axis, the variance divided by d; gain, bias `[d]`. ε default 1e-5. */
  layerNorm(x: T, gain: T, bias?: T, epsilon?: number): T;
  /** `x / √(mean of x² + ε) · gain` along the last axis; gain `[d]`. ε default 1e-5. */
  rmsNorm(x: T, gain: T, epsilon?: number): T;
  /** `x / √(Σ x² + ε)` along the last axis: the unit keys of the delta rule. ε default 1e-12. */
  unitNorm(x: T, epsilon?: number): T;
  /** `softmax(scale q kᵀ + mask) v`, per head: q `[N, n, d]`, k, v `[N, m, d]`, m ≥ n → `[N, n, d]`. */
  attention(q: T, k: T, v: T, options: AttentionOptions): T;
  /**
   * {@linkcode attention} of the last n of `count` `[1]` tokens, whose q, k, v `[N, n, d]` are given: keys and values go into
   * caches `[N, room, d]`, those of token t into row t % room, in place of what lay there. Every token that is seen must have
   * its row: room ≥ count, or with a window ≥ window + n − 1. The caches given are used up, and must not be read again.
   * Optional, as {@linkcode scanFrom} is.
   */
  attentionNext?(
    tokens: { readonly q: T; readonly k: T; readonly v: T },
    cache: { readonly keys: T; readonly values: T },
    count: I,
    options: AttentionOptions,
  ): CachedAttention<T>;
  /** Rows of a table: table `[vocabulary, d]`, ids `[…]` → `[…, d]`. */
  embedding(table: T, ids: I): T;
  /** x with entries set to 0 at the given rate and the others divided by 1 − rate; x itself where not training, or rate is 0. */
  dropout(x: T, rate: number): T;

  reshape(x: T, shape: readonly number[]): T;
  /** A matrix with its axes exchanged: x `[n, m]` → `[m, n]`. */
  transpose(x: T): T;
  /** Entries `from … to − 1` of an axis; a negative axis counts from the last. */
  slice(x: T, axis: number, from: number, to: number): T;
  /** Arrays of equal shape but for one axis, one after the other along it. */
  concat(parts: readonly T[], axis: number): T;
  /** Rows along the first axis, from one or several arrays whose other axes agree; a row may be taken any number of times. */
  take(sources: readonly T[], rows: readonly Rows[]): T;
  /** `[count, …]` copies of x `[…]` along a new first axis. */
  repeat(x: T, count: number): T;

  /**
   * A model of the registry, or one's own, over its *raw* inputs: token inputs `[B, T, H, …axes]`, parameters `[H, …axes]`,
   * from a zero state → outputs `[B, T, H, columns]`. Values must lie in the inputs' domains.
   */
  scan(model: AnyAffineModel, inputs: { readonly [name: string]: T }): T;
  /**
   * {@linkcode scan} from a given state, `[B, H, rows, columns, width]` (see inputs.ts), and with the state after the last
   * token: what a recurrent decoder needs. Optional: an instance that only trains has no use for it.
   */
  scanFrom?(
    model: AnyAffineModel,
    inputs: { readonly [name: string]: T },
    state?: T,
  ): { readonly outputs: T; readonly state: T };

  /**
   * Cross-entropy of `softmax(x·head)` at the targets, weighted: `Σ_i w_i · −log p_i[target_i] / Σ_i w_i`: x `[…, d]`, head
   * `[d, vocabulary]`, targets `[…]`, weights `[…]` → a number (shape `[]`). The logits are never held at once. A target of
   * weight 0 may be any id. With all weights 0 the loss is 0.
   */
  crossEntropy(x: T, head: T, targets: I, weights: T): T;
}

/** How a parameter begins. */
export type Initial =
  | { readonly kind: "zeros" }
  | { readonly kind: "ones" }
  /** Normal with the given standard deviation. */
  | { readonly kind: "normal"; readonly std: number }
  /** Given numbers, one after the other, repeated as often as needed (slopes of decays, say). */
  | { readonly kind: "values"; readonly values: readonly number[] };

/** One parameter of a network. */
export interface ParameterSpec {
  readonly shape: readonly number[];
  readonly initial: Initial;
  /** Whether weight decay applies: matrices, not gains, biases or embeddings' positions. */
  readonly decay: boolean;
}

/** Parameters by name, parts joined by dots: `agg.0.attention.qkv`. */
export type ParameterSpecs = { readonly [name: string]: ParameterSpec };
export type Parameters<T> = { readonly [name: string]: T };

/** The parameters of one part, by what follows its prefix and dot. */
export function under<T>(parameters: Parameters<T>, prefix: string): Parameters<T> {
  const start = `${prefix}.`;
  return Object.fromEntries(
    Object.entries(parameters).filter(([name]) => name.startsWith(start)).map((
      [name, value],
    ) => [name.slice(start.length), value]),
  );
}

/** Specs of parts, each under its name. */
export function joined(parts: { readonly [name: string]: ParameterSpecs }): ParameterSpecs {
  return Object.fromEntries(
    Object.entries(parts).flatMap(([part, specs]) =>
      Object.entries(specs).map(([name, spec]) => [`${part}.${name}`, spec] as const)
    ),
  );
}

/** A network from tokens to one vector a token, and the head over it: what is trained, whatever it is inside. */
export interface TokenNetwork {
  /** `t-psm`, `gpt2`, `mamba` … */
  readonly name: string;
  readonly vocabulary: number;
  /** Among them `head`, `[d, vocabulary]`, unless {@linkcode TokenNetwork.head} makes it of others. */
  readonly parameters: ParameterSpecs;
  /** Final hidden vectors of tokens `[B, n]`, each a function of its own and earlier tokens only → `[B, n, d]`. */
  hidden<T, I>(ops: TensorOps<T, I>, parameters: Parameters<T>, tokens: I): T;
  /** The head `[d, vocabulary]`, where it is tied to other parameters. Default: the parameter `head` (see head.ts). */
  head?<T, I>(ops: TensorOps<T, I>, parameters: Parameters<T>): T;
}

/**
 * Runs texts of operations on arrays now: what a stream does between two tokens. On a GPU a body is recorded once per key and
 * replayed, so a key names a body *and* the shapes of its arguments; a body must not depend on anything else that changes.
 * Arrays that it takes from outside, such as parameters, are read where they lie at every replay, and must outlive the key.
 */
export interface Evaluator<T, I> {
  /**
   * The results of `body`, arrays that live until {@linkcode Evaluator.free}. Arguments stay as they are; but a cache that
   * the body used up may come back as the very array it was, brought up to date.
   */
  call(
    key: string,
    values: readonly T[],
    ids: readonly I[],
    body: (ops: TensorOps<T, I>, values: readonly T[], ids: readonly I[]) => readonly T[],
  ): Promise<readonly T[]>;
  /** Makes a call with arrays of these shapes and no ids ready, so that the first need not wait. Optional. */
  prepare?(
    key: string,
    shapes: readonly (readonly number[])[],
    body: (ops: TensorOps<T, I>, values: readonly T[], ids: readonly I[]) => readonly T[],
  ): Promise<void>;
  /** New arrays from numbers of the host. */
  values(data: ArrayLike<number>, shape: readonly number[]): T;
  ids(data: ArrayLike<number>, shape: readonly number[]): I;
  read(x: T): Promise<Float32Array | Float64Array>;
  free(x: T | I): void;
}
