/**
 * Settings of the experiments, one value each.
 *
 * @module
 */
import type { TaskName } from "./setup.ts";
import type { ModelSizes, Setup } from "./setup.ts";
import type { Stage } from "./plan.ts";

/** A setting, and what comes of it. */
export interface Preset extends Omit<Setup, "preset" | "seed" | "begunWith"> {
  readonly name: string;
  /** One line: what it is for. */
  readonly about: string;
  /** What a finished run has to reach on the test split; a run that does not is said to have failed. */
  readonly quality?: { readonly length: number; readonly error: number };
}

/**
 * The least loss of words of n tokens that a Transformer-PSM in chunks of one token can have, `order` the group's: Inf on
 * `[s | x]` has no positions, so with s = x it sees what it sees of x alone, and takes the second token of a word that
 * repeats its first for a first token. Told from 1/order as often, it is best expected order times as seldom.
 */
export function leastLoss(order: number, n: number): number {
  // The identity, repeated, is itself.
  return (1 - 1 / order) * (Math.log((order + 1) / order) + Math.log(order + 1) / order) / n;
}

/** Lengths one by one, each from where the one before it ended: a loss of `above` more than there must be. */
function oneByOne(
  from: number,
  to: number,
  steps: (n: number) => number,
  above: number,
  order: number,
): readonly Stage[] {
  return Array.from({ length: to - from + 1 }, (_, i) => {
    const n = from + i;
    return { from: n, to: n, steps: steps(n), stop: leastLoss(order, n) + above };
  });
}

const wordLengths = [18, 36, 60, 80, 100, 120, 140, 160, 180, 256, 512, 1024] as const;

/** The paper's: 100,000 sequences an epoch, at most ten epochs a length, each length until its loss is below 1e-3 (here above the least). */
const s5: Preset = {
  name: "s5",
  about: "S5 as in arXiv 2506.10918: lengths 4 to 18 one by one, tested to 180",
  task: { name: "s5" },
  model: { name: "t-psm", sizes: { d: 768, heads: 12, layers: 1, aggLayers: 1, chunk: 1, dropout: 0.1 } },
  optimiser: { weightDecay: 0.01 },
  plan: {
    batch: 32,
    stages: oneByOne(4, 18, () => 31250, 1e-3, 120),
    rate: 1e-4,
    schedule: { kind: "constant", warmup: 100 },
    evaluateEvery: 500,
    sequences: 1024,
  },
  evaluate: wordLengths,
};

/**
 * A third of the width, and lengths from 3, where Inf and Agg learn together; larger batches, as a step of this size takes a
 * GPU as long as one with fewer sequences.
 */
function words(task: TaskName, order: number): Preset {
  return {
    name: `${task}-small`,
    about: `${task.toUpperCase()} with 1.6 million parameters, lengths 3 to 18 one by one, tested to 1024`,
    task: { name: task },
    model: { name: "t-psm", sizes: { d: 256, heads: 4, layers: 1, aggLayers: 1, chunk: 1, dropout: 0.1 } },
    optimiser: { weightDecay: 0.01 },
    plan: {
      batch: 1024,
      // The product is learnt at 3, by Inf and Agg at once, without dropout; up to 18 is practice. Had Inf learnt it first, at 2, Agg
      // might not have learnt it afterwards: seed 2 did not in 30,000 steps. At 18 dropout makes Agg give what it would from states that
      // are a little off, so that errors do not add up from level to level: on that greater lengths hang (bench/NOTES.md: 1.5 %
      // wrong at 180 tokens without, 0.01 % with it; after 300 steps at the full rate two of four seeds had 22 and 59 % wrong at 1,024).
      stages: [
        ...oneByOne(3, 18, (n) => n === 3 ? 30000 : 3000, 1e-2, order).map((stage) => ({ ...stage, dropout: false })),
        ...[{ share: 1, steps: 2000 }, { share: 0.3, steps: 500 }, { share: 0.1, steps: 500 }].map((stage) => ({
          from: 18,
          to: 18,
          ...stage,
        })),
      ],
      rate: 1e-3,
      schedule: { kind: "constant", warmup: 100 },
      evaluateEvery: 100,
      sequences: 512,
    },
    evaluate: wordLengths,
  };
}

/** Tokens of a step of recall, at every length. */
const RECALLED = 2 ** 15;

/** How often a key may be asked in n tokens for half of where queries may stand, every second place, to be queries. */
const densely = (n: number, pairs: number): number => Math.max(1, Math.floor((n - 2 * pairs) / (4 * pairs)));

/** Associative recall as the paper has it, in stages of growing lengths from `from` on, the last of `length`. */
function recall(name: string, about: string, model: Preset["model"], from: readonly number[], length: number): Preset {
  const pairs = 8;
  const lengths = [...from];
  for (let n = 2 * lengths.at(-1)!; n < length; n *= 2) lengths.push(n);
  const stage = (n: number, steps: number): Stage => ({ from: n, to: n, batch: Math.floor(RECALLED / n), steps });
  return {
    name,
    about,
    task: { name: "mqar", vocabulary: 8192, pairs },
    model,
    optimiser: { weightDecay: 0.01 },
    plan: {
      batch: RECALLED / length,
      stages: [
        ...lengths.filter((n) => n < length).map((n) => ({ ...stage(n, 8000), asked: densely(n, pairs), stop: 0.05 })),
        { ...stage(length, 8000), asked: densely(length, pairs), stop: 0.1 },
        ...[1, 0.3, 0.1].map((share) => ({ ...stage(length, 400), share })),
      ],
      rate: 1e-3,
      schedule: { kind: "constant", warmup: 200 },
      evaluateEvery: 100,
      sequences: 512,
    },
    evaluate: [128, 256, 512],
  };
}

/**
 * Two of the paper's chunks, at each of its lengths. Training begins at three chunks, the fewest for which Agg is called, so that
 * Inf and Agg learn together, where the length has as many. Keys are asked several times a sequence, until half of where queries
 * may stand is queries: with eight in 256 tokens Agg did not begin to learn in 10,000 steps (bench/NOTES.md). The last steps and
 * all evaluations ask once, as the task does.
 */
const recallInChunks = (chunk: number, length: number): Preset =>
  recall(
    `mqar-c${chunk}-l${length}`,
    `associative recall at ${length} tokens, chunks of ${chunk}`,
    // Tied, as the field's generator comes with it: a head of its own would have to learn the row of each of 8,192 tokens from
    // the few times that it is the answer, a tied one learns it wherever the token is read.
    { name: "t-psm", sizes: { ...recalling, chunk } },
    [3 * chunk, 4 * chunk],
    length,
  );

/** The same of networks without chunks: lengths double from the shortest that pairs and queries fit in. */
const recallPlain = (length: number): Preset =>
  recall(
    `mqar-l${length}`,
    `associative recall at ${length} tokens, of networks without chunks (--model)`,
    { name: "gpt2", sizes: { ...recalling, chunk: 64 } },
    [32],
    length,
  );

const recalling: Omit<ModelSizes, "chunk"> = { d: 128, heads: 1, layers: 2, aggLayers: 2, dropout: 0, tied: true };

function language(name: string, about: string, sizes: ModelSizes, tokens: "bytes" | "gpt2", steps: number): Preset {
  return {
    name,
    about,
    task: { name: "text", tokens },
    model: { name: "t-psm", sizes },
    optimiser: { weightDecay: 0.1 },
    plan: {
      batch: 16,
      stages: [{ from: 512, to: 512, steps }],
      rate: tokens === "gpt2" ? 3e-4 : 1e-3,
      schedule: { kind: "cosine", warmup: Math.min(500, Math.floor(steps / 10)), floor: 0.1 },
      evaluateEvery: 500,
      sequences: 128,
    },
    evaluate: [512],
  };
}

const chunks = [16, 32, 64, 128, 256] as const;

/** Small enough for a GPU that computes on the CPU. */
function tiny(name: string, task: Preset["task"], order: number): Preset {
  return {
    name,
    about: `words of 4 and 8 tokens of a group of ${order}, for software adapters; 4 % error at most at 16`,
    task,
    // Its Agg learns a group of two or five in some hundred steps, where attention so small stays at a plateau.
    model: { name: "t-psm-gated-mlp", sizes: { d: 32, heads: 1, layers: 1, aggLayers: 1, chunk: 1, dropout: 0 } },
    optimiser: { weightDecay: 0 },
    plan: {
      batch: 32,
      stages: [{ from: 4, to: 4, steps: 300, stop: leastLoss(order, 4) + 0.02 }, { from: 8, to: 8, steps: 250 }],
      rate: 5e-3,
      schedule: { kind: "linear", warmup: 10 },
      evaluateEvery: 25,
      sequences: 64,
    },
    evaluate: [16],
    // Of these, (1 − 1/order) / order / 16 cannot be avoided: see leastLoss.
    quality: { length: 16, error: 0.04 },
  };
}

export const presets: readonly Preset[] = [
  s5,
  words("s5", 120),
  words("a5", 60),
  words("z60", 60),
  words("parity", 2),
  words("modular", 5),
  ...[32, 64].flatMap((chunk) => [128, 256, 512].map((length) => recallInChunks(chunk, length))),
  ...[128, 256, 512].map(recallPlain),
  ...chunks.map((chunk) =>
    language(
      `text-c${chunk}`,
      `the paper's text model, chunks of ${chunk}: width 768, 1 + 12 layers, GPT-2's tokens`,
      { d: 768, heads: 12, layers: 12, aggLayers: 1, chunk, dropout: 0.1 },
      "gpt2",
      20000,
    )
  ),
  ...chunks.map((chunk) =>
    language(
      `text-small-c${chunk}`,
      `bytes of text, chunks of ${chunk}: width 256, 1 + 4 layers`,
      { d: 256, heads: 4, layers: 4, aggLayers: 1, chunk, dropout: 0 },
      "bytes",
      3000,
    )
  ),
  tiny("parity-tiny", { name: "parity" }, 2),
  tiny("z5-tiny", { name: "modular", modulus: 5 }, 5),
];

/** The preset of a task when none is named. */
export const defaultPresets: { readonly [task in TaskName]: string } = {
  s5: "s5-small",
  a5: "a5-small",
  z60: "z60-small",
  parity: "parity-small",
  modular: "modular-small",
  mqar: "mqar-c64-l128",
  text: "text-small-c64",
};
