/** Laws of the tasks' data, and digests of their first batches: the same under every runtime. */

import { test } from "node:test";
import { assert, assertEquals, assertMatch, assertNotEquals, assertThrows } from "@std/assert";
import { InputError } from "../models/error.ts";
import type { TokenBatch } from "../models/networks/training.ts";
import { corpusText } from "../tasks/corpus.ts";
import { groupWords } from "../tasks/group_words.ts";
import { a5, cyclic, type Group, isEven, permutations, s5 } from "../tasks/groups.ts";
import { mqar } from "../tasks/mqar.ts";
import type { Split, Task } from "../tasks/task.ts";
import { fingerprint, splitTokens, textTask } from "../tasks/text.ts";
import { byteTokeniser, gpt2Tokeniser, joinTokens, pieces, tokenise, type Tokeniser } from "../tasks/tokenisers.ts";

const gpt2 = await gpt2Tokeniser();
const groups: readonly Group[] = [s5(), a5(), cyclic(60), cyclic(2, "parity"), cyclic(5, "modular")];
const textOf = (tokeniser: Tokeniser, text: string = corpusText): Task =>
  textTask(tokeniser, splitTokens(tokenise(tokeniser, text)));

/** Each task with a length, and the digest of its batches 0 and 1000 of seed 7. */
const tasks: readonly (readonly [Task, number, string])[] = [
  [groupWords(groups[0]!), 18, "f48fe78d 5e38b55d"],
  [groupWords(groups[1]!), 18, "4aefef6f 9132022c"],
  [groupWords(groups[2]!), 18, "12126391 65d15006"],
  [groupWords(groups[3]!), 18, "2f35b7f7 a230ca97"],
  [groupWords(groups[4]!), 18, "bf266bc7 f8c0587e"],
  [mqar(), 128, "7b9554d9 b07669f1"],
  [mqar({ vocabulary: 64, pairs: 4 }), 33, "70923008 217a3d6a"],
  [textOf(byteTokeniser), 100, "bd6975aa 14538666"],
  [textOf(gpt2), 100, "acf8eddc dfa581b8"],
];

const batchOf = (task: Task, n: number, index: number, B = 4, seed = 7, split: Split = "train"): TokenBatch =>
  task.batch({ seed, split, index, B, n });
const digest = ({ tokens, targets, weights }: TokenBatch): string =>
  fingerprint([...tokens, ...targets, ...weights.map((w) => 2 * w)]);

for (const [task, n, expected] of tasks) {
  test(`${task.identity.slice(0, 40)}: batches are those of every runtime`, () => {
    assertEquals(`${digest(batchOf(task, n, 0))} ${digest(batchOf(task, n, 1000))}`, expected);
  });

  test(`${task.identity.slice(0, 40)}: a batch depends on seed, split and number, not on what was asked before`, () => {
    const again = batchOf(task, n, 1000);
    batchOf(task, n, 3, 2, 9);
    assertEquals(batchOf(task, n, 1000), again);
    const others = [batchOf(task, n, 1001), batchOf(task, n, 1000, 4, 8), batchOf(task, n, 1000, 4, 7, "test")];
    for (const other of others) assertNotEquals(digest(other), digest(again));
    for (const { tokens, targets, weights } of [again, ...others]) {
      assertEquals([tokens.length, targets.length, weights.length], [4 * n, 4 * n, 4 * n]);
      assert([...tokens, ...targets].every((id) => id >= 0 && id < task.vocabulary));
      assert(weights.every((w) => w === 0 || w === 1));
    }
  });
}

for (const group of groups) {
  test(`${group.name} is a group: closed, associative, with identity 0 and inverses`, () => {
    const { order, multiply } = group;
    const all = Array.from({ length: order }, (_, i) => i);
    for (const p of all) {
      assertEquals([multiply(0, p), multiply(p, 0)], [p, p]);
      assertEquals(new Set(all.map((q) => multiply(p, q))).size, order);
      for (const q of all) {
        const r = (7 * p + 11 * q + 3) % order;
        assertEquals(multiply(multiply(p, q), r), multiply(p, multiply(q, r)));
      }
    }
    const commutes = all.every((p) => all.every((q) => multiply(p, q) === multiply(q, p)));
    assertEquals(commutes, order !== 120 && group.name !== "a5");
  });
}

/** Products of permutations from the definition, (p·q)[i] = p[q[i]], without a table. */
function brute(elements: readonly (readonly number[])[], tokens: ArrayLike<number>): number[] {
  let state: readonly number[] = [0, 1, 2, 3, 4];
  return Array.from(tokens, (token) => {
    const before = state;
    state = elements[token]!.map((x) => before[x]!);
    return elements.findIndex((p) => p.join() === state.join());
  });
}

/** Positions where labels are not the products of the tokens so far. */
function wrongLabels(elements: readonly (readonly number[])[], { n, B, tokens, targets }: TokenBatch): number {
  const rows = Array.from({ length: B }, (_, b) => brute(elements, tokens.slice(b * n, (b + 1) * n))).flat();
  return rows.filter((y, i) => y !== targets[i]).length;
}

test("labels are products of permutations, the earlier factor first", () => {
  const all = permutations(5);
  assertEquals([all.length, all[0], all[1], all[119]], [120, [0, 1, 2, 3, 4], [0, 1, 2, 4, 3], [4, 3, 2, 1, 0]]);
  for (const [group, elements] of [[s5(), all], [a5(), all.filter(isEven)]] as const) {
    const task = groupWords(group);
    for (const n of [1, 4, 60]) assertEquals(wrongLabels(elements, batchOf(task, n, 5)), 0);
  }
  // The control: the other order of factors is seen.
  const reversed = { ...s5(), multiply: (p: number, q: number) => s5().multiply(q, p) };
  assert(wrongLabels(all, batchOf(groupWords(reversed), 60, 5)) > 100);
});

test("parity and modular labels are running sums", () => {
  for (const [group, order] of [[groups[3]!, 2], [groups[4]!, 5], [groups[2]!, 60]] as const) {
    const { tokens, targets } = batchOf(groupWords(group), 40, 2, 1);
    let sum = 0;
    tokens.forEach((x, t) => assertEquals(targets[t], (sum += x) % order));
  }
});

test("tokens of words are uniform", () => {
  const { tokens } = batchOf(groupWords(s5()), 1000, 0, 120);
  const counts = new Float64Array(120);
  tokens.forEach((token) => counts[token]!++);
  // χ² of 119 degrees of freedom: mean 119, standard deviation √238; six of them.
  const chi = counts.reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0);
  assert(Math.abs(chi - 119) < 6 * Math.sqrt(238), `${chi}`);
});

/** What is wrong with a batch of associative recall, in words. */
function mqarFaults(
  { B, n, tokens, targets, weights }: TokenBatch,
  pairs: number,
  vocabulary: number,
  times = 1,
): string[] {
  const faults: string[] = [];
  for (let b = 0; b < B; b++) {
    const row = [...tokens.slice(b * n, (b + 1) * n)];
    const values = new Map(Array.from({ length: pairs }, (_, i) => [row[2 * i]!, row[2 * i + 1]!]));
    if (values.size !== pairs || new Set(values.values()).size !== pairs) faults.push("a key or value is there twice");
    if ([...values.keys()].some((key) => key < 1 || key >= vocabulary / 2)) faults.push("a key out of range");
    if ([...values.values()].some((v) => v < vocabulary / 2 || v >= vocabulary)) faults.push("a value out of range");
    const asked = new Map([...values.keys()].map((key) => [key, 0]));
    for (let t = 2 * pairs; t < n; t++) {
      const query = weights[b * n + t] === 1;
      if (query !== values.has(row[t]!)) faults.push(query ? "a query of no key" : "a filler repeats a live key");
      if (query && targets[b * n + t] !== values.get(row[t]!)) faults.push("an answer that is not in the context");
      if (query) asked.set(row[t]!, (asked.get(row[t]!) ?? 0) + 1);
    }
    if ([...asked.values()].some((count) => count !== times)) faults.push(`a key is not asked ${times} times`);
    if (weights.slice(b * n, b * n + 2 * pairs).some((w) => w !== 0)) faults.push("a loss in the context");
  }
  return faults;
}

test("recall: every answer is in the context, every key is asked as often as it should, no filler repeats a live key", () => {
  for (const [pairs, vocabulary, n] of [[8, 8192, 128], [8, 8192, 512], [4, 16, 16], [1, 4, 4], [8, 18, 33]] as const) {
    const task = mqar({ vocabulary, pairs });
    assertEquals(mqarFaults(batchOf(task, n, 0, 50), pairs, vocabulary), []);
  }
  for (const [n, asked] of [[96, 5], [128, 3], [48, 2]] as const) {
    const batch = mqar().batch({ seed: 7, split: "train", index: 0, B: 50, n, asked });
    assertEquals(mqarFaults(batch, 8, 8192, asked), []);
    assertEquals(mqarFaults(batch, 8, 8192).every((fault) => fault === "a key is not asked 1 times"), true);
  }
  const batch = batchOf(mqar(), 128, 0, 1);
  const filler = batch.weights.findIndex((w, t) => t >= 16 && w === 0);
  batch.tokens[filler] = batch.tokens[0]!;
  assertEquals(mqarFaults(batch, 8, 8192), ["a filler repeats a live key"]);
  const other = batchOf(mqar(), 128, 0, 1);
  other.targets[other.weights.findIndex((w) => w === 1)]!++;
  assertEquals(mqarFaults(other, 8, 8192), ["an answer that is not in the context"]);
});

test("recall: queries lie anywhere in what follows the context", () => {
  const { B, n, weights } = batchOf(mqar(), 128, 0, 1000);
  const counts = new Float64Array(56);
  for (let b = 0; b < B; b++) for (let g = 0; g < 56; g++) counts[g]! += weights[b * n + 16 + 2 * g]!;
  // Binomial: 8/56 of 1000, standard deviation 11.1; six of them.
  assert(counts.every((count) => Math.abs(count - 1000 / 7) < 6 * 11.1));
  assertEquals(counts.reduce((sum, count) => sum + count, 0), 8000);
});

test("unusable sizes are said in one line", () => {
  const refused: [() => unknown, RegExp][] = [
    [() => cyclic(1), /^Cannot make a cyclic group: its order must be a whole number from 2 to 256, got 1$/],
    [() => mqar({ vocabulary: 16, pairs: 8 }), /^Cannot make pairs: .* got 8 pairs, vocabulary 16$/],
    [() => batchOf(textOf(byteTokeniser, "short"), 9, 0), /^Cannot cut the text: windows have from 1 to 4 .* got 9$/],
  ];
  for (const [body, pattern] of refused) assertMatch(assertThrows(body, InputError).message, pattern);
  assertMatch(mqar().refusal(31, "train")!, /at least 32 tokens, got 31$/);
  assertMatch(mqar().refusal(95, "train", 5)!, /^8 pairs and 5 queries of each take at least 96 tokens, got 95$/);
  assertMatch(mqar().refusal(95, "train", 0.5)!, /^asked must be a whole number ≥ 1, got 0.5$/);
  assertEquals([mqar().refusal(32, "train"), groupWords(s5()).refusal(1, "test")], [undefined, undefined]);
});

test("text: splits share no token, windows follow the text, an epoch takes each window once", () => {
  const tokens = tokenise(byteTokeniser, corpusText);
  const splits = splitTokens(tokens);
  assertEquals(joinTokens(byteTokeniser, [splits.train, splits.validation, splits.test]), tokens);
  const offsets = [splits.train, splits.validation, splits.test].map(({ byteOffset, length }) => [byteOffset, length]);
  assertEquals(offsets[1]![0], offsets[0]![0]! + offsets[0]![1]!);
  assertEquals(offsets[2]![0], offsets[1]![0]! + offsets[1]![1]!);

  // A text in which every token says where it is.
  const counting = { ...byteTokeniser, vocabulary: 65536 };
  const numbers = Uint16Array.from({ length: 20 * 1000 }, (_, i) => i);
  const task = textTask(counting, splitTokens(numbers));
  const n = 70;
  const count = Math.floor(17999 / n);
  const starts = (epoch: number): number[] => {
    const seen = Array.from({ length: count }, (_, i) => batchOf(task, n, epoch * count + i, 1));
    for (const { tokens, targets } of seen) {
      tokens.forEach((x, t) => assertEquals([x, targets[t]], [tokens[0]! + t, x + 1]));
    }
    return seen.map(({ tokens }) => tokens[0]!);
  };
  const [first, second] = [starts(0), starts(1)];
  for (const epoch of [first, second]) {
    const sorted = [...epoch].sort((a, b) => a - b);
    sorted.forEach((start, i) => assertEquals(start, sorted[0]! + i * n));
    assert(sorted.at(-1)! + n < 18000);
  }
  assertNotEquals(first, second);
  assertEquals([...batchOf(task, n, 0, 3, 7, "test").tokens], [...numbers.subarray(19000, 19000 + 3 * n)]);
});

test("text: bytes that a token of the test split stands for, from each token by itself", () => {
  const { test } = splitTokens(tokenise(gpt2, corpusText));
  // All of it is ASCII there, so no token is part of a character.
  const bytes = [...test].reduce((sum, token) => sum + gpt2.decode([token]).length, 0);
  assertEquals(textOf(gpt2).bytesPerToken, bytes / test.length);
  assert(bytes / test.length > 3);
  assertEquals(textOf(byteTokeniser).bytesPerToken, 1);
  assertEquals(groupWords(s5()).bytesPerToken, undefined);
});

test("GPT-2's tokens: those of the package, the whole text back, no token across a cut", () => {
  assertEquals(gpt2.encode("Hello world"), [15496, 995]);
  assertEquals(gpt2.decode(tokenise(gpt2, corpusText)), corpusText);
  const odd = "one\n\n\n two  three\t\n= Title = \n \n it's 12 a<|endoftext|>b é\u00a0 x   \n".repeat(40);
  for (const text of [odd, corpusText.slice(0, 5000)]) {
    for (const size of [1, 2, 7, 100]) {
      const parts = pieces(text, size);
      assertEquals(parts.join(""), text);
      assertEquals(parts.flatMap((part) => [...gpt2.encode(part)]), [...gpt2.encode(text)], `size ${size}`);
    }
  }
  // The control: cuts at any white space do change tokens.
  const cut = odd.split(/(?<=\s)/).flatMap((part) => [...gpt2.encode(part)]);
  assertNotEquals(cut, [...gpt2.encode(odd)]);
});
