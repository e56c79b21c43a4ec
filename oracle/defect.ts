/**
 * The defect check, for matrix actions: how far each step of an execution is from `step` applied to the execution's
 * own previous state.
 *
 * Entry-wise majorants of products of matrices explode (1e208 at T = 1024), so no useful bound on the distance to the
 * truth exists for every length; but one step from a state that is *known* errs by a matrix–vector product's roundings:
 *
 *     |ŝ_t − (E_t ŝ_{t−1} + F_t)|_iv ≤ Σ_j (r_E + g_{K+1}(|E| + r_E))_ij |ŝ_{t−1}|_jv + r_F + g_K (|F| + r_F) + flush
 *
 * with g_n = (1 + u)^n − 1 (any order of summation, fused or not) and r_E, r_F the radii of the lifted entries.
 *
 * An execution that forms dense products of chunks of C tokens (`Rounding.denseChunk`) enters every chunk but the
 * first with a state that was carried by those products, not by the steps before it. Both ways start from the same
 * carried state, C steps back, and go through the same exact map; so at a chunk's first step the defect may also hold
 * their difference: the norm-wise error of C serial steps plus that of the chunk's product and its application,
 *
 *     serial:   e ← ν_t e + ‖local error‖₂           product: the same for every column of P = E_{t}…E_{t−C+1} and of F
 *
 * with ν_t ≥ ‖E_t‖₂ from powers of the Gram matrix (`normBound`).
 *
 * @module
 */
import type { Accuracy } from "../models/accuracy.ts";
import { type AnyAffineModel, type Sizes, stateColumns, stateRows } from "../models/affine.ts";
import type { MatrixElement } from "../models/action.ts";
import { allSizes, type FieldValues, tokenAccessors } from "../models/token.ts";
import { type Ball, ballAlgebra } from "./ball.ts";

/** `E` and `F` of one token with their radii, row-major. */
export interface MatrixStep {
  readonly E: Float64Array;
  readonly rE: Float64Array;
  readonly F: Float64Array;
  readonly rF: Float64Array;
  /** ≥ ‖E‖₂, radius included. */
  readonly norm: number;
}

/** Σ of squares, rooted. */
export function euclid(x: ArrayLike<number>, from: number = 0, to: number = x.length, stride: number = 1): number {
  let sum = 0;
  for (let i = from; i < to; i += stride) sum += x[i]! ** 2;
  return Math.sqrt(sum);
}

/**
 * An upper bound of ‖E‖₂ for a K×K matrix: with G = EᵀE, ‖E‖₂ = λ_max(G)^½ ≤ ‖G^16‖_F^(1/32), at most K^(1/64) times
 * too large.
 */
export function normBound(E: Float64Array, K: number): number {
  let G: Float64Array = new Float64Array(K * K);
  for (let i = 0; i < K; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = 0;
      for (let n = 0; n < K; n++) sum += E[n * K + i]! * E[n * K + j]!;
      G[i * K + j] = G[j * K + i] = sum;
    }
  }
  let logScale = 0;
  for (let power = 0; power < 4; power++) {
    const size = euclid(G);
    if (size === 0) return 0;
    logScale = 2 * (logScale + Math.log(size));
    const H = new Float64Array(K * K);
    for (let i = 0; i < K; i++) {
      for (let j = 0; j <= i; j++) {
        let sum = 0;
        for (let n = 0; n < K; n++) sum += (G[i * K + n]! / size) * (G[n * K + j]! / size);
        H[i * K + j] = H[j * K + i] = sum;
      }
    }
    G = H;
  }
  // The f64 roundings of these sums are some K·2^-53 each.
  return Math.exp((logScale + Math.log(euclid(G))) / 32) * (1 + 2 ** -40);
}

/** Lifts every token over balls. */
export function matrixSteps(
  model: AnyAffineModel,
  sizes: Sizes,
  tokens: readonly FieldValues<Ball>[],
  machine: Accuracy,
): MatrixStep[] {
  const A = ballAlgebra(machine);
  const K = stateRows(model, sizes);
  const V = stateColumns(model, sizes);
  const full = allSizes(sizes);
  return tokens.map((token) => {
    const { E, F } = model.lift(A, tokenAccessors(model, sizes, token), 0, 0, full) as MatrixElement<Ball>;
    const step = {
      E: new Float64Array(K * K),
      rE: new Float64Array(K * K),
      F: new Float64Array(K * V),
      rF: new Float64Array(K * V),
    };
    for (let i = 0; i < K; i++) {
      for (let j = 0; j < K; j++) {
        const { x, r } = E(i, j);
        step.E[i * K + j] = x;
        step.rE[i * K + j] = r;
      }
      for (let v = 0; v < V; v++) {
        const { x, r } = F(i, v);
        step.F[i * V + v] = x;
        step.rF[i * V + v] = r;
      }
    }
    return { ...step, norm: normBound(step.E, K) + euclid(step.rE) };
  });
}

/** One column of a product, and a norm-wise bound of its error. */
export interface Column {
  value: Float64Array;
  error: number;
}

/** The product over one chunk: the columns of P, and of F per column of the state. */
export interface ChunkProduct {
  readonly P: readonly Column[];
  readonly F: readonly Column[];
}

/** The error of a serial step `E x + F` on one column known up to `error`, and its value. */
function advance(
  step: MatrixStep,
  K: number,
  V: number,
  column: Column,
  v: number | undefined,
  machine: Accuracy,
): Column {
  const { E, rE, F, rF, norm } = step;
  const many = (1 + machine.unit) ** (K + 1) - 1;
  const few = (1 + machine.unit) ** K - 1;
  const value = new Float64Array(K);
  let square = 0;
  for (let i = 0; i < K; i++) {
    const f = v === undefined ? 0 : F[i * V + v]!;
    const r = v === undefined ? 0 : rF[i * V + v]!;
    let sum = f;
    let local = r + few * (Math.abs(f) + r) + 2 * (K + 1) * machine.flush;
    for (let j = 0; j < K; j++) {
      const e = E[i * K + j]!;
      const x = column.value[j]!;
      sum += e * x;
      local += (rE[i * K + j]! + many * (Math.abs(e) + rE[i * K + j]!)) * (Math.abs(x) + column.error) +
        machine.flush * (Math.abs(e) + Math.abs(x));
    }
    value[i] = sum;
    square += local ** 2;
  }
  return { value, error: norm * column.error + Math.sqrt(square) };
}

/** The steps of a sequence, and what its chunks add, computed once for all lengths. */
export interface DefectBound {
  readonly steps: readonly MatrixStep[];
  /** Tokens a chunk; 1 where nothing is carried by products. */
  readonly chunk: number;
  /** Per chunk boundary c ≥ 1 (tokens c·chunk): the product over chunk c − 1. */
  readonly chunks: readonly ChunkProduct[];
}

/** Prepares the bound of one sequence. */
export function defectBound(
  model: AnyAffineModel,
  sizes: Sizes,
  steps: readonly MatrixStep[],
  chunk: number,
  machine: Accuracy,
): DefectBound {
  const K = stateRows(model, sizes);
  const V = stateColumns(model, sizes);
  const chunks: ChunkProduct[] = [];
  if (chunk > 1) {
    for (let from = 0; from + chunk < steps.length; from += chunk) {
      let P: Column[] = Array.from(
        { length: K },
        (_, j) => ({ value: Float64Array.from({ length: K }, (_, i) => i === j ? 1 : 0), error: 0 }),
      );
      let F: Column[] = Array.from({ length: V }, () => ({ value: new Float64Array(K), error: 0 }));
      for (let t = from; t < from + chunk; t++) {
        P = P.map((column) => advance(steps[t]!, K, V, column, undefined, machine));
        F = F.map((column, v) => advance(steps[t]!, K, V, column, v, machine));
      }
      chunks.push({ P, F });
    }
  }
  return { steps, chunk, chunks };
}

/**
 * Checks of one sequence: what every state entry should be, given the one before, and the radius allowed.
 *
 * @param states the execution's own states `[steps][K·V]`, and the initial one
 */
export function defects(
  model: AnyAffineModel,
  sizes: Sizes,
  bound: DefectBound,
  states: readonly ArrayLike<number>[],
  initial: ArrayLike<number>,
  machine: Accuracy,
): { readonly want: Float64Array[]; readonly allowed: Float64Array[] } {
  const K = stateRows(model, sizes);
  const V = stateColumns(model, sizes);
  const many = (1 + machine.unit) ** (K + 1) - 1;
  const few = (1 + machine.unit) ** K - 1;
  const want: Float64Array[] = [];
  const allowed: Float64Array[] = [];
  // Per column: what the carried state at the current chunk's start may differ by from the serial state before it.
  let carried: Float64Array = new Float64Array(V);
  let serial: Float64Array = new Float64Array(V);
  const reach = new Float64Array(K * V);
  states.forEach((_, t) => {
    const before = t === 0 ? initial : states[t - 1]!;
    const { E, rE, F, rF, norm } = bound.steps[t]!;
    const boundary = bound.chunk > 1 && t > 0 && t % bound.chunk === 0;
    if (boundary) {
      const start = t === bound.chunk ? initial : states[t - bound.chunk - 1]!;
      carried = carriedDifference(bound.chunks[t / bound.chunk - 1]!, start, carried, serial, machine);
      serial = new Float64Array(V);
    }
    for (let n = 0; n < K * V; n++) reach[n] = Math.abs(before[n]!) + (boundary ? carried[n % V]! : 0);
    const expected = new Float64Array(K * V);
    const radius = new Float64Array(K * V);
    const squares = new Float64Array(V);
    for (let i = 0; i < K; i++) {
      const row = boundary ? euclid(E, i * K, (i + 1) * K) + euclid(rE, i * K, (i + 1) * K) : 0;
      // Row by row of the state before, all columns at once.
      let flushed = 2 * (K + 1) * machine.flush;
      for (let v = 0; v < V; v++) {
        const n = i * V + v;
        expected[n] = F[n]!;
        radius[n] = rF[n]! + few * (Math.abs(F[n]!) + rF[n]!);
      }
      for (let j = 0; j < K; j++) {
        const e = E[i * K + j]!;
        const r = rE[i * K + j]!;
        const size = Math.abs(e);
        const weight = r + many * (size + r) + machine.flush;
        flushed += machine.flush * size;
        for (let v = 0; v < V; v++) {
          expected[i * V + v]! += e * before[j * V + v]!;
          radius[i * V + v]! += weight * reach[j * V + v]!;
        }
      }
      for (let v = 0; v < V; v++) {
        const n = i * V + v;
        const local = radius[n]! + flushed;
        squares[v]! += local ** 2;
        radius[n] = local + row * (boundary ? carried[v]! : 0);
      }
    }
    for (let v = 0; v < V; v++) serial[v] = norm * serial[v]! + Math.sqrt(squares[v]!);
    want.push(expected);
    allowed.push(radius);
  });
  return { want, allowed };
}

/**
 * Per column, a bound of ‖fl(P̂ ĉ + F̂) − (the serial state after the same C tokens)‖₂, where ĉ is the carried state at
 * the chunk's start, known as the serial state before it up to `carried`.
 */
function carriedDifference(
  { P, F }: ChunkProduct,
  start: ArrayLike<number>,
  carried: Float64Array,
  serial: Float64Array,
  machine: Accuracy,
): Float64Array {
  const K = P.length;
  const V = F.length;
  const many = (1 + machine.unit) ** (K + 1) - 1;
  const wrong = euclid(P.map(({ error }) => error));
  const product = euclid(P.map(({ value, error }) => euclid(value) + error));
  return Float64Array.from({ length: V }, (_, v) => {
    const size = euclid(start, v, K * V, V) + carried[v]!;
    const added = euclid(F[v]!.value) + F[v]!.error;
    const rounding = many * (product * size + added) + 2 * (K + 1) * machine.flush * (1 + product + size);
    return wrong * size + F[v]!.error + rounding + serial[v]!;
  });
}
