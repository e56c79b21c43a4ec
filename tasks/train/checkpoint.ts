/**
 * Checkpoints: a session's arrays, its setup and its position, in the safetensors format.
 *
 * A run's folder holds one folder `step-00001000` for its last checkpoint. In it is `model.safetensors`, or, where that
 * would be too large, `model-00001-of-00003.safetensors` … and `model.safetensors.index.json`. It is written under another
 * name, brought to the disk and renamed, and only then is the one before it removed: whenever the process ends, a whole
 * checkpoint is there. A digest over everything is checked when it is read.
 *
 * @module
 */
import { createHash } from "node:crypto";
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { InputError } from "../../models/error.ts";
import type { NamedArrays } from "../../models/networks/training.ts";
import type { Position } from "./plan.ts";
import { bytesOf, type Metadata, readSafetensors, safetensors, type StoredArrays } from "./safetensors.ts";
import type { Setup } from "./setup.ts";

export interface Checkpoint {
  readonly steps: number;
  readonly arrays: NamedArrays;
  readonly setup: Setup;
  /** The task's {@linkcode Task.identity}. */
  readonly task: string;
  readonly position: Position;
}

/** Of the format; another is refused. */
const VERSION = "1";
const FILE = "model.safetensors";
const INDEX = `${FILE}.index.json`;
const TEMPORARY = "saving-";
const MIB = 2 ** 20;
/** Files are read whole, which the largest buffers of the runtimes bound. */
export const LARGEST_SHARD: number = 1024 * MIB;

export interface SaveOptions {
  /** Largest file in bytes, headers included; default 1 GiB. */
  readonly shardBytes?: number;
  /** For tests: called between any two changes on the disk. */
  readonly onChange?: () => void;
}

/** SHA-256 over names, shapes and numbers, and over the metadata but for the digest itself. */
function digestOf(arrays: StoredArrays, metadata: Metadata): string {
  const hash = createHash("sha256");
  const part = (text: string): void => void hash.update(`${text.length}:${text}`);
  for (const key of Object.keys(metadata).filter((key) => key !== "digest").sort()) {
    part(key);
    part(metadata[key]!);
  }
  for (const name of Object.keys(arrays).sort()) {
    part(`${name} [${arrays[name]!.shape.join(",")}]`);
    hash.update(bytesOf(arrays[name]!));
  }
  return hash.digest("hex");
}

/** Room for a shard's header: its own words, and for every array its name, shape and offsets. */
const headerBytes = (name: string): number => name.length + 160;
const FRAME = 256;

/**
 * Arrays by file, in order, each file at most `shardBytes`. Throws an {@link InputError} where one array alone is larger:
 * the format does not cut arrays.
 */
export function shards(
  sizes: { readonly [name: string]: number },
  shardBytes: number,
): readonly (readonly string[])[] {
  const out: string[][] = [];
  let room = 0;
  for (const [name, bytes] of Object.entries(sizes)) {
    const needed = bytes + headerBytes(name);
    if (needed + FRAME > shardBytes) {
      throw new InputError(
        `Cannot cut a checkpoint: its files must hold ${name}, ${Math.ceil((needed + FRAME) / MIB)} MiB, got ${
          Math.floor(shardBytes / MIB)
        } MiB`,
      );
    }
    if (out.length === 0 || needed > room) {
      out.push([]);
      room = shardBytes - FRAME;
    }
    out.at(-1)!.push(name);
    room -= needed;
  }
  return out;
}

function writeDurably(path: string, parts: readonly Uint8Array[]): void {
  const file = openSync(path, "w");
  try {
    for (const part of parts) {
      for (let from = 0; from < part.length;) from += writeSync(file, part, from, part.length - from);
    }
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** Brings a folder's entries to the disk, where the system lets folders be opened. */
function syncFolder(path: string): void {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch {
    return;
  }
  try {
    fsyncSync(file);
  } catch {
    // Some systems refuse: then the rename is as durable as they make it.
  } finally {
    closeSync(file);
  }
}

const folderOf = (steps: number): string => `step-${String(steps).padStart(8, "0")}`;

/** Saves a checkpoint into a run's folder. A step that is already there is left as it is. */
export function saveCheckpoint(
  folder: string,
  { steps, arrays, setup, task, position }: Checkpoint,
  { shardBytes = LARGEST_SHARD, onChange = () => {} }: SaveOptions = {},
): void {
  const target = join(folder, folderOf(steps));
  if (existsSync(target)) return;
  const temporary = join(folder, `${TEMPORARY}${folderOf(steps)}`);
  rmSync(temporary, { recursive: true, force: true });
  mkdirSync(temporary, { recursive: true });
  onChange();
  const plain: Metadata = {
    format: VERSION,
    network: setup.model.name,
    task,
    seed: String(setup.seed),
    step: String(steps),
    position: JSON.stringify(position),
    setup: JSON.stringify(setup),
  };
  const metadata = { ...plain, digest: digestOf(arrays, plain) };
  const total = Object.entries(arrays).reduce((sum, [name, { data }]) => sum + data.byteLength + headerBytes(name), 0);
  // JSON escapes double quotes, and the metadata is JSON in JSON.
  const frame = 2 * JSON.stringify(metadata).length + FRAME;
  if (total + frame <= shardBytes) {
    writeDurably(join(temporary, FILE), safetensors(arrays, metadata));
    onChange();
  } else {
    const files = shards(
      Object.fromEntries(Object.entries(arrays).map(([n, { data }]) => [n, data.byteLength])),
      shardBytes,
    );
    const names = files.map((_, n) => {
      const [number, of] = [n + 1, files.length].map((count) => String(count).padStart(5, "0"));
      return `model-${number}-of-${of}.safetensors`;
    });
    files.forEach((some, n) => {
      const held = Object.fromEntries(some.map((name) => [name, arrays[name]!]));
      writeDurably(join(temporary, names[n]!), safetensors(held, { format: VERSION }));
      onChange();
    });
    const map = Object.fromEntries(files.flatMap((some, n) => some.map((name) => [name, names[n]!])));
    const index = JSON.stringify({ metadata: { ...metadata, total_size: total }, weight_map: map }, null, 2);
    writeDurably(join(temporary, INDEX), [new TextEncoder().encode(`${index}\n`)]);
    onChange();
  }
  syncFolder(temporary);
  renameSync(temporary, target);
  syncFolder(folder);
  onChange();
  for (const name of readdirSync(folder)) {
    if (name !== folderOf(steps) && (isCheckpoint(name) || name.startsWith(TEMPORARY))) {
      rmSync(join(folder, name), { recursive: true, force: true });
      onChange();
    }
  }
}

const isCheckpoint = (name: string): boolean => /^step-\d{8,}$/.test(name);

/** The folder of a run's last checkpoint; undefined if there is none. */
export function lastCheckpoint(folder: string): string | undefined {
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) return undefined;
  const steps = readdirSync(folder).filter(isCheckpoint).map((name) => Number(name.slice(5)));
  return steps.length === 0 ? undefined : join(folder, folderOf(Math.max(...steps)));
}

function read(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new InputError(`Cannot read ${path}: ${(error as { code?: string }).code ?? (error as Error).message}`);
  }
}

/** The index of a cut checkpoint. */
function parsedIndex(path: string): { readonly metadata: Metadata; readonly map: Readonly<Record<string, string>> } {
  let index: { readonly metadata?: unknown; readonly weight_map?: unknown };
  try {
    index = JSON.parse(new TextDecoder().decode(read(path)));
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError(`Cannot read ${path}: it must be JSON, got other bytes`);
  }
  const texts = (value: unknown): Record<string, string> | undefined =>
    typeof value === "object" && value !== null
      ? Object.fromEntries(Object.entries(value).filter(([, text]) => typeof text === "string"))
      : undefined;
  const [metadata, map] = [texts(index?.metadata), texts(index?.weight_map)];
  if (metadata === undefined || map === undefined) {
    throw new InputError(`Cannot read ${path}: it must have metadata and a weight_map`);
  }
  const outside = Object.values(map).find((name) => !/^model-\d{5,}-of-\d{5,}\.safetensors$/.test(name));
  if (outside !== undefined) throw new InputError(`Cannot read ${path}: files are named model-N-of-N, got ${outside}`);
  return { metadata, map };
}

function readArrays(folder: string): { readonly metadata: Metadata; readonly arrays: StoredArrays } {
  const [whole, index] = [join(folder, FILE), join(folder, INDEX)];
  if (!existsSync(index)) return readSafetensors(read(whole), whole);
  const { metadata, map } = parsedIndex(index);
  const arrays: Record<string, StoredArrays[string]> = {};
  for (const file of new Set(Object.values(map))) {
    const path = join(folder, file);
    Object.entries(readSafetensors(read(path), path).arrays).forEach(([name, array]) => arrays[name] = array);
  }
  const missing = Object.keys(map).find((name) => arrays[name] === undefined);
  if (missing !== undefined) throw new InputError(`Cannot read ${index}: its files lack ${missing}`);
  return { metadata, arrays };
}

/**
 * A run's last checkpoint. Throws an {@link InputError} in one line where there is none, or it is not whole; `purpose` says what
 * it was wanted for.
 */
export function loadCheckpoint(folder: string, purpose: "resume" | "begin with" = "resume"): Checkpoint {
  const last = lastCheckpoint(folder);
  const refuse = (constraint: string): never => {
    throw new InputError(`Cannot ${purpose} ${last ?? folder}: ${constraint}`);
  };
  if (last === undefined) return refuse("it must hold a checkpoint step-N, got none");
  const { metadata, arrays } = readArrays(last);
  if (metadata["format"] !== VERSION || metadata["setup"] === undefined) {
    refuse(`its format must be ${VERSION} of this program, got ${metadata["format"] ?? "a foreign file"}`);
  }
  const { digest = "none", ...own } = metadata;
  const found = digestOf(arrays, own);
  if (digest !== found) {
    refuse(`its digest must be ${digest.slice(0, 16)}…, got ${found.slice(0, 16)}…: it was damaged`);
  }
  const named: Record<string, NamedArrays[string]> = {};
  for (const [name, { shape, data }] of Object.entries(arrays)) {
    named[name] = data instanceof Float32Array ? { shape, data } : refuse(`${name} must be F32`);
  }
  return {
    steps: Number(metadata["step"]),
    arrays: named,
    setup: JSON.parse(metadata["setup"]!) as Setup,
    task: metadata["task"]!,
    position: JSON.parse(metadata["position"]!) as Position,
  };
}
