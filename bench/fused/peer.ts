/**
 * Peers: other libraries' timings of the same work, as `bench/peers.py` prints them, one JSON object per line.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { InputError } from "../../models/error.ts";

/** One peer's timing. */
export interface PeerResult {
  readonly kernel: string;
  /** As our lines': `B=8 T=4096 H=16 K=64 V=64`. */
  readonly shape: string;
  readonly dtype: "f32" | "f16" | "bf16";
  readonly adapter: string;
  /** `fla chunk_gla` */
  readonly peer: string;
  readonly ms: number;
  readonly maxError?: number | null;
  readonly rmsError?: number | null;
  readonly date: string;
}

/** What a peer's timing adds to ours. */
export interface PeerFigures {
  readonly peer: string;
  readonly peerMs: number;
  /** Our time over the peer's: below 1 we are faster. */
  readonly ratio: number;
  /** The peer's type, where it is not ours. */
  readonly peerDtype?: string;
  readonly peerMaxError?: number;
}

/** The objects of a file, one to a line; empty lines are left out. Throws an {@link InputError} in one line. */
export function jsonLines(path: string): readonly { readonly [key: string]: unknown }[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    const code = (error as { code?: string }).code ?? (error as Error).message.split("\n")[0];
    throw new InputError(`Cannot read ${path}: ${code}`);
  }
  return text.split("\n").flatMap((line, n) => {
    if (line.trim() === "") return [];
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      // Said below, with what is there.
    }
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      return [value as { readonly [key: string]: unknown }];
    }
    throw new InputError(`Cannot read ${path}: line ${n + 1} must be one JSON object, got ${line.slice(0, 60)}`);
  });
}

const texts = ["kernel", "shape", "dtype", "adapter"] as const;

/**
 * The timings in a file, of ours or of peers; objects that say why something was not timed are left out. Throws an
 * {@link InputError} in one line.
 */
export function timings<R>(path: string, more: readonly string[] = []): readonly R[] {
  return jsonLines(path).filter((object) => object["error"] === undefined).map((object, n) => {
    const bad = [...texts, ...more].find((key) => typeof object[key] !== "string");
    const { ms } = object;
    if (bad !== undefined || typeof ms !== "number" || !(ms > 0)) {
      const [key, wanted] = bad === undefined ? ["ms", "a number > 0"] : [bad, "text"];
      throw new InputError(
        `Cannot compare ${path}: ${key} of timing ${n + 1} must be ${wanted}, got ${JSON.stringify(object[key])}`,
      );
    }
    return object as R;
  });
}

/** The peers' timings in a file. Throws an {@link InputError}. */
export function peerTimings(path: string): readonly PeerResult[] {
  return timings<PeerResult>(path, ["peer"]);
}

const half = (dtype: string): boolean => dtype === "f16" || dtype === "bf16";

/** The work of a kernel that has several designs. */
const workOf = (kernel: string): string => kernel.replace(/ (?:on tiles|by walks)$/, "");

/**
 * The peers of a timing: same work and shape, and the same type; else the other type of 16 bits; else, where the peer
 * does the work in no such type, the one it does it in.
 */
export function peersOf(
  peers: readonly PeerResult[],
  { kernel, shape, dtype }: { readonly kernel: string; readonly shape: string; readonly dtype: string },
): readonly PeerResult[] {
  const same = peers.filter((peer) => peer.kernel === workOf(kernel) && canonical(peer.shape) === canonical(shape));
  const rank = (peer: PeerResult): number => peer.dtype === dtype ? 0 : half(peer.dtype) && half(dtype) ? 1 : 2;
  return [...new Set(same.map(({ peer }) => peer))].map((name) => {
    const own = same.filter(({ peer }) => peer === name);
    const best = Math.min(...own.map(rank));
    return own.findLast((peer) => rank(peer) === best)!;
  });
}

/** A shape whatever the order of its axes. */
function canonical(shape: string): string {
  return shape.trim().split(/\s+/).sort().join(" ");
}

/** What the peer's timing adds to ours. */
export function peerFigures(ours: { readonly ms: number; readonly dtype: string }, peer: PeerResult): PeerFigures {
  return {
    peer: peer.peer,
    peerMs: peer.ms,
    ratio: ours.ms / peer.ms,
    ...(peer.dtype === ours.dtype ? {} : { peerDtype: peer.dtype }),
    ...(typeof peer.maxError === "number" ? { peerMaxError: peer.maxError } : {}),
  };
}
