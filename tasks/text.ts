/**
 * Language modelling: windows of n tokens of a text, each token's label the one that follows it.
 *
 * @module
 */
import { InputError } from "../models/error.ts";
import { seeded } from "../models/random.ts";
import type { TokenBatch } from "../models/networks/training.ts";
import type { BatchRequest, Split, Task } from "./task.ts";
import type { Tokeniser, Tokens } from "./tokenisers.ts";

/** The tokens of each split. */
export type SplitTokens = { readonly [split in Split]: Tokens };

/** Twentieths of a text that are held out: the last for tests, the one before it for validation. */
const PARTS = 20;

/** A text in three: its first 18 twentieths, the 19th, the last. No token is in two of them. */
export function splitTokens(tokens: Tokens): SplitTokens {
  const twentieth = Math.floor(tokens.length / PARTS);
  const [validation, test] = [tokens.length - 2 * twentieth, tokens.length - twentieth];
  return {
    train: tokens.subarray(0, validation),
    validation: tokens.subarray(validation, test),
    test: tokens.subarray(test),
  };
}

/** FNV-1a over tokens, as 8 hexadecimal digits. */
export function fingerprint(tokens: ArrayLike<number>): string {
  let h = 0x811c9dc5;
  for (let i = 0; i < tokens.length; i++) h = Math.imul(h ^ tokens[i]!, 0x01000193);
  return (h >>> 0).toString(16).padStart(8, "0");
}

/** The numbers 0 … count − 1 in an order of their own for every seed and epoch. */
function shuffled(count: number, seed: number, epoch: number): Uint32Array {
  const random = seeded(seed, "windows", count, epoch);
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

/** Bytes of UTF-8 that a token stands for, on average. */
function bytesPerToken({ vocabulary, decode }: Tokeniser, tokens: Tokens): number {
  if (vocabulary <= 256 || tokens.length === 0) return 1;
  return new TextEncoder().encode(decode(tokens)).length / tokens.length;
}

/**
 * Windows of a text. Training takes each window once an epoch, in an order drawn anew, and begins the first of them
 * somewhere else; the other splits' windows come in the text's own order, again from the start when they are used up.
 */
export function textTask(tokeniser: Tokeniser, splits: SplitTokens): Task {
  const { name, vocabulary } = tokeniser;
  let bytes: number | undefined;
  let last: { readonly key: string; readonly order: Uint32Array } = { key: "", order: new Uint32Array() };
  const windows = (split: Split, n: number): number => Math.max(0, Math.floor((splits[split].length - 1) / n));
  const start = ({ seed, split, n }: BatchRequest, number: number): number => {
    const count = windows(split, n);
    const within = number % count;
    if (split !== "train") return within * n;
    const epoch = Math.floor(number / count);
    const key = `${seed} ${epoch} ${n}`;
    if (last.key !== key) last = { key, order: shuffled(count, seed, epoch) };
    const slack = splits.train.length - 1 - count * n;
    return Math.floor(seeded(seed, "slack", n, epoch)() * (slack + 1)) + last.order[within]! * n;
  };
  const refusal = (n: number, split: Split): string | undefined =>
    n >= 1 && windows(split, n) >= 1
      ? undefined
      : `windows have from 1 to ${splits[split].length - 1} tokens in the ${split} split of this text, got ${n}`;
  return {
    name: "text",
    vocabulary,
    identity: `text in ${name}: ${
      (["train", "validation", "test"] as const).map((split) => `${splits[split].length} ${fingerprint(splits[split])}`)
        .join(", ")
    }`,
    // Counted when asked for: a long text takes a while.
    get bytesPerToken(): number {
      return bytes ??= bytesPerToken(tokeniser, splits.test);
    },
    refusal,
    batch(request: BatchRequest): TokenBatch {
      const { split, index, B, n } = request;
      const refused = refusal(n, split);
      if (refused !== undefined) throw new InputError(`Cannot cut the text: ${refused}`);
      const tokens = new Int32Array(B * n);
      const targets = new Int32Array(B * n);
      for (let b = 0; b < B; b++) {
        const from = start(request, index * B + b);
        tokens.set(splits[split].subarray(from, from + n), b * n);
        targets.set(splits[split].subarray(from + 1, from + n + 1), b * n);
      }
      return { B, n, tokens, targets, weights: new Float32Array(B * n).fill(1) };
    },
  };
}
