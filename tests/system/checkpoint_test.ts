/** Checkpoints and text on the disk: whole whenever the process ends, refused when they are not. */

import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { assert, assertEquals, assertGreater, assertMatch, assertThrows } from "@std/assert";
import { InputError } from "../../models/error.ts";
import type { NamedArrays } from "../../models/networks/training.ts";
import { groupWords } from "../../tasks/group_words.ts";
import { cyclic } from "../../tasks/groups.ts";
import { fileKinds, namedSplit, readText, textFiles } from "../../tasks/text_files.ts";
import { splitTokens } from "../../tasks/text.ts";
import { byteTokeniser, gpt2Tokeniser, joinTokens, tokenise } from "../../tasks/tokenisers.ts";
import { type Checkpoint, lastCheckpoint, loadCheckpoint, saveCheckpoint } from "../../tasks/train/checkpoint.ts";
import { cutLog, readLog } from "../../tasks/train/log.ts";
import { presets } from "../../tasks/train/presets.ts";
import { checkCheckpoint, checkShards } from "../../tasks/train/session.ts";
import type { Setup } from "../../tasks/train/setup.ts";

const root = mkdtempSync(join(tmpdir(), "dualscan-train-"));
after(() => rmSync(root, { recursive: true }));
let folders = 0;
const folder = (): string => {
  const path = join(root, `${folders++}`);
  mkdirSync(path);
  return path;
};

const tiny = presets.find(({ name }) => name === "z5-tiny")!;
const setup: Setup = {
  preset: tiny.name,
  task: tiny.task,
  model: { ...tiny.model, name: "bigram" },
  optimiser: tiny.optimiser,
  plan: tiny.plan,
  seed: 1,
  evaluate: tiny.evaluate,
};
const task = groupWords(cyclic(5, "modular"));

function checkpoint(steps: number, count = 25): Checkpoint {
  const arrays: Record<string, NamedArrays[string]> = {};
  for (const [n, kind] of ["parameter", "first", "second"].entries()) {
    const data = Float32Array.from({ length: count }, (_, i) => Math.fround(steps + n / 7 + i / 11));
    arrays[`${kind}.table`] = { shape: count === 25 ? [5, 5] : [count], data };
  }
  return { steps, arrays, setup, task: task.identity, position: { stage: 1, begun: steps } };
}

test("a checkpoint comes back as it was; the one before it goes", () => {
  const path = folder();
  for (const steps of [10, 20]) {
    saveCheckpoint(path, checkpoint(steps));
    assertEquals(loadCheckpoint(path), checkpoint(steps));
    assertEquals(readdirSync(path), [`step-000000${steps}`]);
  }
  checkCheckpoint(loadCheckpoint(path), task, path);
});

test("a checkpoint cut into files: each small enough, the index names them, all of it comes back", () => {
  const path = folder();
  const mib = 2 ** 20;
  const large = checkpoint(5, 200_000);
  saveCheckpoint(path, large, { shardBytes: mib });
  assertEquals(loadCheckpoint(path), large);
  const inside = lastCheckpoint(path)!;
  const names = readdirSync(inside).sort();
  assertEquals(
    names,
    [1, 2, 3].map((n) => `model-0000${n}-of-00003.safetensors`).concat("model.safetensors.index.json"),
  );
  for (const name of names) assert(statSync(join(inside, name)).size <= mib, name);
  const index = JSON.parse(readFileSync(join(inside, names[3]!), "utf8"));
  assertEquals(index.weight_map["first.table"], names[1]);
  // Two of three arrays fit into a file.
  const two = folder();
  saveCheckpoint(two, large, { shardBytes: 2 * mib });
  assertEquals(readdirSync(lastCheckpoint(two)!).length, 3);
  assertEquals(loadCheckpoint(two), large);
  assertMatch(
    assertThrows(() => saveCheckpoint(folder(), checkpoint(5, 300_000), { shardBytes: mib }), InputError).message,
    /^Cannot cut a checkpoint: its files must hold parameter.table, 2 MiB, got 1 MiB$/,
  );
});

for (const [kind, shardBytes] of [["whole", undefined], ["cut", 1300]] as const) {
  test(`however far a save comes, a ${kind} checkpoint can be loaded: the old one or the new`, () => {
    const options = shardBytes === undefined ? {} : { shardBytes };
    const seen = new Set<number>();
    let changes = 0;
    for (let most = 0;; most++) {
      const path = folder();
      saveCheckpoint(path, checkpoint(10, 200), options);
      let left = most;
      try {
        saveCheckpoint(path, checkpoint(20, 200), {
          ...options,
          onChange: () => {
            if (left-- === 0) throw new Error("the process ends here");
          },
        });
      } catch (error) {
        assertEquals((error as Error).message, "the process ends here");
        changes++;
      }
      const { steps } = loadCheckpoint(path);
      assertEquals(loadCheckpoint(path), checkpoint(steps, 200));
      seen.add(steps);
      // And the next save clears up what was left.
      saveCheckpoint(path, checkpoint(30, 200), options);
      assertEquals(readdirSync(path), ["step-00000030"]);
      if (left >= 0) break;
    }
    assertGreater(changes, 3);
    assertEquals([...seen].sort(), [10, 20]);
  });
}

test("a checkpoint that is not whole is refused in one line, naming the file", () => {
  const path = folder();
  saveCheckpoint(path, checkpoint(10));
  const file = join(lastCheckpoint(path)!, "model.safetensors");
  const bytes = readFileSync(file);
  const refused = (pattern: RegExp): void => {
    const { message } = assertThrows(() => loadCheckpoint(path), InputError);
    assertMatch(message, pattern);
    assert(!message.includes("\n"));
  };
  truncateSync(file, bytes.length - 4);
  refused(/^Cannot read .*model\.safetensors: second\.table ends at byte \d+, the file at \d+$/);
  truncateSync(file, 5);
  refused(/a safetensors file has at least 8 bytes, got 5$/);
  writeFileSync(file, "not at all a file of arrays");
  refused(/its header takes \d+ bytes, the file has 19 more$/);
  // One bit of the numbers, and one letter of the metadata.
  const flipped = new Uint8Array(bytes);
  flipped[bytes.length - 9]! ^= 1;
  writeFileSync(file, flipped);
  refused(/^Cannot resume .*step-00000010: its digest must be [0-9a-f]{16}…, got [0-9a-f]{16}…: it was damaged$/);
  const seed = bytes.indexOf('"seed":"1"') + 8;
  const reseeded = new Uint8Array(bytes);
  reseeded[seed] = "2".charCodeAt(0);
  writeFileSync(file, reseeded);
  refused(/its digest must be/);
  writeFileSync(file, Uint8Array.from([...new Uint8Array(8), ...[]]));
  refused(/its header must be a JSON object/);
  rmSync(file);
  refused(/^Cannot read .*model\.safetensors: ENOENT$/);
  rmSync(join(path, "step-00000010"), { recursive: true });
  refused(/^Cannot resume .*: it must hold a checkpoint step-N, got none$/);

  const cut = folder();
  saveCheckpoint(cut, checkpoint(10, 200), { shardBytes: 1300 });
  const inside = lastCheckpoint(cut)!;
  const copy = (): string => {
    const to = folder();
    cpSync(inside, join(to, "step-00000010"), { recursive: true });
    return to;
  };
  const indexOf = (at: string): string => join(at, "step-00000010", "model.safetensors.index.json");
  const without = copy();
  rmSync(join(without, "step-00000010", "model-00002-of-00003.safetensors"));
  assertMatch(assertThrows(() => loadCheckpoint(without), InputError).message, /model-00002-of-00003.*: ENOENT$/);
  for (
    const [text, pattern] of [
      ["{", /index\.json: it must be JSON, got other bytes$/],
      ["{}", /it must have metadata and a weight_map$/],
      ['{"metadata":{},"weight_map":{"a":"../../secret"}}', /files are named model-N-of-N, got \.\.\/\.\.\/secret$/],
      ['{"metadata":{},"weight_map":{"a":"model-00001-of-00003.safetensors"}}', /its files lack a$/],
    ] as const
  ) {
    const bad = copy();
    writeFileSync(indexOf(bad), text);
    assertMatch(assertThrows(() => loadCheckpoint(bad), InputError).message, pattern);
  }
});

test("a checkpoint of another network, task or program is refused", () => {
  const path = folder();
  const own = checkpoint(10);
  const refuse = (other: Checkpoint, pattern: RegExp): void => {
    assertMatch(assertThrows(() => checkCheckpoint(other, task, path), InputError).message, pattern);
  };
  refuse({ ...own, task: "parity of order 2" }, /its task must be modular of order 5, got parity of order 2$/);
  const { "parameter.table": table, ...rest } = own.arrays;
  refuse({ ...own, arrays: rest }, /parameter\.table of bigram must be \[5, 5\], got none$/);
  refuse({ ...own, arrays: { ...own.arrays, extra: table! } }, /extra of bigram must be none, got \[5, 5\]$/);
  const wide = { ...table!, shape: [25] };
  refuse({ ...own, arrays: { ...own.arrays, "parameter.table": wide } }, /must be \[5, 5\], got \[25\]$/);
  const foreign = join(folder(), "step-00000001");
  mkdirSync(foreign);
  const header = new TextEncoder().encode('{"__metadata__":{"format":"pt"}}');
  writeFileSync(join(foreign, "model.safetensors"), Uint8Array.from([header.length, 0, 0, 0, 0, 0, 0, 0, ...header]));
  assertMatch(
    assertThrows(() => loadCheckpoint(join(foreign, "..")), InputError).message,
    /its format must be 1 of this program, got pt$/,
  );
  assertThrows(() => checkShards(setup, groupWords(cyclic(200)), 2 ** 16), InputError, "Cannot cut a checkpoint");
});

test("a log is cut back to a step, whatever a kill left at its end", () => {
  const path = join(folder(), "log.jsonl");
  const line = (step: number): string => `${JSON.stringify({ kind: "step", step })}\n`;
  writeFileSync(path, `${line(1)}${line(2)}${line(3)}{"kind":"st`);
  cutLog(path, 2);
  assertEquals(readFileSync(path, "utf8"), line(1) + line(2));
  writeFileSync(path, `${line(1)}nonsense\n${line(3)}`);
  assertThrows(() => readLog(path), InputError, "line 2 must be a JSON object, got nonsense");
});

test("text: files and folders in the order of their paths, split by name or by twentieths", async () => {
  const path = folder();
  mkdirSync(join(path, "b"));
  for (
    const [name, text] of [["b/2.txt", "two"], ["a.txt", "one é"], ["B.txt", "zero"], [".hidden", "no"], ["b/1", ""]]
  ) {
    writeFileSync(join(path, name!), text!);
  }
  assertEquals(textFiles(path).map((file) => file.slice(path.length + 1)), ["B.txt", "a.txt", "b/1", "b/2.txt"]);
  const all = new TextEncoder().encode("zero\none é\n\ntwo");
  assertEquals(readText(byteTokeniser, path), splitTokens(all));
  assertEquals(fileKinds(path), "3 .txt, 1 without an ending");
  assertEquals(fileKinds(join(path, "a.txt")), undefined);
  const gpt2 = await gpt2Tokeniser();
  const parts = ["zero", "one é", "", "two"].flatMap((
    text,
    n,
  ) => [...(n === 0 ? [] : [[50256]]), tokenise(gpt2, text)]);
  assertEquals(readText(gpt2, path), splitTokens(joinTokens(gpt2, parts)));

  const wiki = folder();
  for (const split of ["train", "valid", "test"]) writeFileSync(join(wiki, `wiki.${split}.raw`), ` = ${split} = \n`);
  const { train, validation, test } = readText(byteTokeniser, wiki);
  assertEquals([train, validation, test].map((tokens) => byteTokeniser.decode(tokens)), [
    " = train = \n",
    " = valid = \n",
    " = test = \n",
  ]);
  assertEquals(["training.txt", "contest.txt", "my-test.md"].map(namedSplit), [undefined, undefined, "test"]);

  writeFileSync(join(wiki, "wiki.train.raw"), Uint8Array.from([0x41, 0xff]));
  for (const tokeniser of [byteTokeniser, gpt2]) {
    assertMatch(
      assertThrows(() => readText(tokeniser, wiki), InputError).message,
      /^Cannot use the text .*wiki\.train\.raw: it must be UTF-8, got other bytes$/,
    );
  }
  assertMatch(
    assertThrows(() => readText(byteTokeniser, join(wiki, "none")), InputError).message,
    /^Cannot read the text .*none: ENOENT$/,
  );
});
