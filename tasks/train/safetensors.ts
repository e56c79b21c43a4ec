/**
 * The safetensors format: a length, a JSON header, the arrays' bytes, little-endian.
 *
 *     u64 N · N bytes of JSON {"__metadata__": {key: text, …}, name: {dtype, shape, data_offsets: [from, to]}, …} · data
 *
 * Written and read here are F32, U32 and I64. The header is padded with spaces to a multiple of 8 bytes.
 *
 * @module
 */
import { InputError } from "../../models/error.ts";

/** Numbers with a shape, row-major. */
export interface StoredArray {
  readonly shape: readonly number[];
  readonly data: Float32Array | Uint32Array | BigInt64Array;
}

export type StoredArrays = { readonly [name: string]: StoredArray };
export type Metadata = { readonly [key: string]: string };

const widths = { F32: 4, U32: 4, I64: 8 } as const;
type Dtype = keyof typeof widths;

const dtypeOf = (data: StoredArray["data"]): Dtype =>
  data instanceof Float32Array ? "F32" : data instanceof Uint32Array ? "U32" : "I64";

/** The bytes of an array, without a copy. */
export function bytesOf({ data }: StoredArray): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** A file's bytes in parts: the length and header, then every array in the order given. */
export function safetensors(arrays: StoredArrays, metadata: Metadata = {}): readonly Uint8Array[] {
  let offset = 0;
  const entries = Object.entries(arrays).map(([name, array]) => {
    const from = offset;
    offset += array.data.byteLength;
    return [name, { dtype: dtypeOf(array.data), shape: array.shape, data_offsets: [from, offset] }];
  });
  const text = JSON.stringify({ __metadata__: metadata, ...Object.fromEntries(entries) });
  const header = new TextEncoder().encode(text);
  const padded = new Uint8Array(8 + Math.ceil(header.length / 8) * 8).fill(0x20);
  new DataView(padded.buffer).setBigUint64(0, BigInt(padded.length - 8), true);
  padded.set(header, 8);
  return [padded, ...Object.values(arrays).map(bytesOf)];
}

interface Entry {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

function isEntry(value: unknown): value is Entry {
  const { dtype, shape, data_offsets: offsets } = (value ?? {}) as Partial<Record<keyof Entry, unknown>>;
  const whole = (x: unknown): boolean => Number.isSafeInteger(x) && (x as number) >= 0;
  return typeof dtype === "string" && dtype in widths && Array.isArray(shape) && shape.every(whole) &&
    Array.isArray(offsets) && offsets.length === 2 && offsets.every(whole);
}

/**
 * The metadata and arrays of a file's bytes. `what` names it in errors: every {@link InputError} is one line that says what
 * is wrong with it.
 */
export function readSafetensors(
  bytes: Uint8Array,
  what: string,
): { readonly metadata: Metadata; readonly arrays: StoredArrays } {
  const refuse = (constraint: string): never => {
    throw new InputError(`Cannot read ${what}: ${constraint}`);
  };
  if (bytes.length < 8) refuse(`a safetensors file has at least 8 bytes, got ${bytes.length}`);
  const length = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  if (length > BigInt(bytes.length - 8)) {
    refuse(`its header takes ${length} bytes, the file has ${bytes.length - 8} more`);
  }
  const begin = 8 + Number(length);
  const header = parsedHeader(bytes.subarray(8, begin)) ?? refuse("its header must be a JSON object, got other bytes");
  const { __metadata__: metadata = {}, ...entries } = header;
  if (typeof metadata !== "object" || Object.values(metadata as object).some((text) => typeof text !== "string")) {
    refuse("its metadata must be texts by name");
  }
  const arrays: { [name: string]: StoredArray } = {};
  let end = 0;
  const named = Object.entries(entries).map(([name, entry]): readonly [string, Entry] =>
    isEntry(entry)
      ? [name, entry]
      : refuse(`${name} must have a dtype of ${Object.keys(widths).join(", ")}, a shape, offsets`)
  ).sort(([, a], [, b]) => a.data_offsets[0] - b.data_offsets[0] || a.data_offsets[1] - b.data_offsets[1]);
  for (const [name, { dtype, shape, data_offsets: [from, to] }] of named) {
    const size = shape.reduce((product, extent) => product * extent, widths[dtype]);
    if (from !== end || to - from !== size) {
      refuse(`${name} [${shape.join(", ")}] takes bytes ${end} to ${end + size}, got ${from} to ${to}`);
    }
    if (begin + to > bytes.length) refuse(`${name} ends at byte ${begin + to}, the file at ${bytes.length}`);
    // A copy, as a view has to begin at a multiple of its width.
    const { buffer } = new Uint8Array(bytes.subarray(begin + from, begin + to));
    const data = dtype === "F32"
      ? new Float32Array(buffer)
      : dtype === "U32"
      ? new Uint32Array(buffer)
      : new BigInt64Array(buffer);
    arrays[name] = { shape, data };
    end = to;
  }
  if (begin + end !== bytes.length) refuse(`its arrays end at byte ${begin + end}, the file at ${bytes.length}`);
  return { metadata: metadata as Metadata, arrays };
}

function parsedHeader(bytes: Uint8Array): { readonly [key: string]: unknown } | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? value as { readonly [key: string]: unknown }
      : undefined;
  } catch {
    return undefined;
  }
}
