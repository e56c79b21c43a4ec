/**
 * The defect of a chunk, for kernels of matrix actions that keep states at chunk starts only: how far outputs and the
 * next chunk's start are from `step`, run over the chunk from the kernel's own start.
 *
 * Such a kernel computes the updates `U_t = N_t S_{t−1} + F_t`, with `N_t = E_t − D_t` what the keys do and D_t the
 * diagonal that is left of E_t without them, by solving a triangular system (models/rounding.ts: ChunkRounding). Whatever the
 * order in which it does so, let Ũ_t be the updates that it got, in exact arithmetic from there on:
 *
 *     S̃_t = D_t S̃_{t−1} + Ũ_t,  S̃_0 = S_0        Ũ_t = N_t S̃_{t−1} + F_t + Δ_t
 *
 * Then `S̃_t − S_t = Σ_{i≤t} M_{t,i} Δ_i` with `M_{t,i} = E_t … E_{i+1}`: errors of updates are carried by the transitions
 * themselves, so they are bounded with the actual M, row by row of what is read (`|qᵀ M_{t,i}|`), and nothing explodes.
 *
 * Δ_t is a backward error. The kernel's sum for U_t has the terms `N_t D_{1…t−1} S_0` and `N_t D_{i+1…t−1} Ũ_i`, written out to
 * products, and F_t; each is off by its roundings, at most m (`ChunkRounding.roundings`), and by its decay. With
 *
 *     H_t = D_t H_{t−1} + |Ũ_t|,  H_0 = |S_0|        no cancellation
 *     W_t = D_t W_{t−1} + ρ_t D_t (H_{t−1} + W_{t−1})        ρ_t: the gate's own relative error, and (1 + u)²
 *
 * W bounds what errors of decays do to H. Where decays are exponentials of sums (`LogSums`), a decay within a chunk of sums is
 * off by twice the error of the sum, (m_g + 2) u |G|, more: x_t = e^{2 (m_g + 2) u |G_t|} − 1, once for what stays inside, and
 * into W where the sum ends. So with θ = (1 + u)^m
 *
 *     |Δ_t| ≤ |N_t| (θ (1 + ρ_t)(1 + x_t)(H_{t−1} + W_{t−1}) − H_{t−1}) + (θ − 1)|F_t|
 *
 * The same holds for the read-out and for the state at the chunk's end, whose own roundings are `θ (1 + x_t)(H_t + W_t) − H_t`
 * per entry. |Ũ_t| is |U_t| of the exact run and what |Δ| up to then may add: ‖S̃ − S‖ ≤ ν ‖·‖ + ‖Δ‖ per column.
 *
 * Inverses: a block of p steps that is solved by Û = X̂ R, X̂ the computed inverse of its unit triangular matrix A, has the
 * residual |A Û − R| ≤ 2 (θ − 1) |A||X̂||R|, as A X̂ − I is at most (θ − 1) |A||X̂|. So within the block |Ũ_i| is replaced by
 * `|R_i| + Σ_{j<i} |X_ij||R_j|`, R what the block starts from, and m counts twice. X_ij is the response of update i to update j:
 * the sum is at most `‖N_i‖ Σ_j Π ν ‖R_j‖` per column.
 *
 * Floors (`Rounding.tiles`, φ): an operand's entry is off by φ of the operand's largest. With every field at its largest
 * in the sequence, N* and F*, an update and any term of it is at most `Z = F* + K N* max H`; products of C tokens and K keys
 * err by at most `4 φ C K (1 + N*)(Z + max H)`, those of a read-out by as much with the largest q (of the token where
 * `rows`, else of the chunk) for 1 + N*.
 *
 * @module
 */
import type { Accuracy } from "../models/accuracy.ts";
import type { ChunkRounding, LogSums, Tiles } from "../models/rounding.ts";
import { type ChunkStep, largest, type Peak } from "./chunk_step.ts";
import { euclid } from "./defect.ts";

/** What a kernel of chunks promises, see `Rounding`. */
export interface ChunkPromise {
  readonly machine: Accuracy;
  readonly chunk: ChunkRounding;
  readonly logSums: LogSums | undefined;
  readonly tiles: Tiles | undefined;
}

/** What a step does beside its own numbers. */
export interface StepPlace {
  /** Whether running sums of log gates start with this step, and end with it. */
  readonly sumsStart: boolean;
  readonly sumsEnd: boolean;
  /** Whether a block that is solved by its inverse starts with this step. */
  readonly blockStart: boolean;
}

/** Where step t of a chunk, in the order of time, is. */
export function placeOf(t: number, { chunk: { inverse = 1 }, logSums }: ChunkPromise): StepPlace {
  const length = logSums?.chunk ?? Infinity;
  return { sumsStart: t % length === 0, sumsEnd: (t + 1) % length === 0, blockStart: t % inverse === 0 };
}

/** Walks through a chunk and keeps its majorants. */
export interface ChunkWalk {
  /** `[K·V]`: what an entry may be off by where it is read now, next to what S̃ itself is off by. */
  entries(): Float64Array;
  /** A transition from the exact state `before`; returns |Δ|, what the update may be off by. */
  advance(step: ChunkStep, before: ArrayLike<number>, place: StepPlace): Float64Array;
  /**
   * Adds an exact `F` known up to `radius` (for cotangents, which get what read-outs give between transitions); returns what
   * the sum may be off by for it.
   */
  add(F: ArrayLike<number>, radius: ArrayLike<number>): Float64Array;
  /** What floors of tiles add to a read-out with coefficients of at most `q`. */
  floor(q: number): number;
}

/**
 * Starts a chunk.
 *
 * @param start the exact state `[K·V]`, which the kernel's own differs from by at most `drifted` per column
 * @param peak the largest entries of N and F
 */
export function chunkWalk(
  start: ArrayLike<number>,
  drifted: Float64Array,
  peak: Pick<Peak, "N" | "F">,
  K: number,
  { machine: { unit, flush }, chunk, logSums, tiles }: ChunkPromise,
): ChunkWalk {
  const { inverse = 1 } = chunk;
  const floor = tiles?.floor ?? 0;
  const V = drifted.length;
  const lanes = K * V;
  const theta = (1 + unit) ** (inverse > 1 ? 2 * chunk.roundings : chunk.roundings);
  const perSum = logSums === undefined ? 0 : 2 * (logSums.additions + 2) * unit;
  const count = chunk.steps + K;
  let H: Float64Array = Float64Array.from(start, (x, n) => Math.abs(x) + drifted[n % V]!);
  let W: Float64Array = new Float64Array(lanes);
  let drift = drifted;
  let high = largest(H);
  let block: Block | undefined;
  const G = new Float64Array(K);
  const x = new Float64Array(K);
  const lost = (): number => 4 * flush * count * (1 + high + peak.F);
  const update = (): number => peak.F + K * peak.N * high;
  return {
    entries: () =>
      H.map((size, n) => (theta - 1) * size + theta * (x[Math.floor(n / V)]! * (size + W[n]!) + W[n]!) + lost()),
    floor: (q) => 4 * floor * chunk.steps * K * q * (update() + high),
    add(F, radius) {
      const off = Float64Array.from(F, (f, n) => (theta - 1) * Math.abs(f) + radius[n]! + lost());
      H = H.map((size, n) => size + Math.abs(F[n]!) + off[n]!);
      high = Math.max(high, largest(H));
      drift = drift.map((e, v) => e + euclid(off, v, lanes, V));
      return off;
    },
    advance(step, before, { sumsStart, sumsEnd, blockStart }) {
      const { N, D, F, gate, decay, norm } = step;
      for (let k = 0; k < K; k++) {
        G[k] = (sumsStart ? 0 : G[k]!) + decay[k]!;
        x[k] = Math.expm1(perSum * G[k]!);
      }
      if (inverse > 1 && (blockStart || block === undefined)) block = newBlock(H, V);
      const sizes = block?.sizes ?? H;
      const least = lost() + 4 * floor * chunk.steps * K * (1 + peak.N) * (update() + high);
      const read = new Float64Array(lanes);
      for (let n = 0; n < lanes; n++) {
        const k = Math.floor(n / V);
        const wide = (gate[k]! + x[k]! + gate[k]! * x[k]!) * (sizes[n]! + W[n]!) + W[n]!;
        read[n] = (theta - 1) * sizes[n]! + theta * wide;
      }
      const delta = new Float64Array(lanes);
      const nextH = new Float64Array(lanes);
      const nextW = new Float64Array(lanes);
      for (let p = 0; p < K; p++) {
        const row = euclid(N, p * K, (p + 1) * K);
        for (let v = 0; v < V; v++) {
          const n = p * V + v;
          let exact = F[n]!;
          let off = (theta - 1) * Math.abs(exact) + least;
          for (let k = 0; k < K; k++) {
            const key = N[p * K + k]!;
            if (key === 0) continue;
            exact += key * before[k * V + v]!;
            off += Math.abs(key) * read[k * V + v]!;
          }
          delta[n] = off;
          // |Ũ|: the exact update, what the drift adds through this row of N, and Δ.
          const size = Math.abs(exact) + row * drift[v]! + off;
          const kept = D[p]! * H[n]!;
          nextH[n] = kept + size;
          nextW[n] = D[p]! * W[n]! * (1 + gate[p]!) + gate[p]! * kept;
          if (sumsEnd) nextW[n]! += x[p]! * (nextH[n]! + nextW[n]!);
        }
      }
      if (sumsEnd) x.fill(0);
      if (block !== undefined) widen(block, step, K);
      drift = drift.map((e, v) => norm * e + euclid(delta, v, lanes, V));
      [H, W] = [nextH, nextW];
      high = Math.max(high, largest(H));
      return delta;
    },
  };
}

/** A block that is solved by its inverse. */
interface Block {
  /** `[K·V]`: the majorant at its start, decayed: what right-hand sides are made of. */
  readonly start: Float64Array;
  /** `[K·V]`: that, and what the sums for its updates are made of. */
  readonly sizes: Float64Array;
  /** Per column: Σ_j Π ν ‖R_j‖₂. */
  readonly response: Float64Array;
}

function newBlock(H: Float64Array, V: number): Block {
  return { start: H.slice(), sizes: H.slice(), response: new Float64Array(V) };
}

/** Moves a block on by a step: its update counts as `|R_i| + Σ_{j<i} |X_ij||R_j|`. */
function widen({ start, sizes, response }: Block, { N, D, F, norm, keyNorm }: ChunkStep, K: number): void {
  const V = response.length;
  const R = Float64Array.from(F, (f, n) => {
    const [p, v] = [Math.floor(n / V), n % V];
    let sum = Math.abs(f);
    for (let k = 0; k < K; k++) sum += Math.abs(N[p * K + k]!) * start[k * V + v]!;
    return sum;
  });
  for (let n = 0; n < R.length; n++) {
    const kept = D[Math.floor(n / V)]!;
    start[n]! *= kept;
    sizes[n] = kept * sizes[n]! + R[n]! + keyNorm * response[n % V]!;
  }
  for (let v = 0; v < V; v++) response[v] = norm * response[v]! + euclid(R, v, R.length, V);
}
