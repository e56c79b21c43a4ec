/**
 * The steps of a matrix action as a kernel of chunks takes them: `E_t = D_t + N_t`, a diagonal and what the keys do.
 *
 * D is E with every key at 0, and the keys are the inputs whose domain bounds a vector's norm (`unitVector`): those of the
 * delta rule, the removal key of RWKV-7.
 *
 * @module
 */
import type { Accuracy } from "../models/accuracy.ts";
import type { MatrixElement } from "../models/action.ts";
import { type AnyAffineModel, type Sizes, stateColumns, stateRows } from "../models/affine.ts";
import type { Analytic, Index } from "../models/arith.ts";
import { type Batch, inputEntries } from "../models/inputs.ts";
import { f64 } from "../models/number.ts";
import { activate, allSizes, type FieldValues, rawValues, tokenAccessors } from "../models/token.ts";
import { ballAlgebra } from "./ball.ts";
import { closed } from "./lane_gate.ts";
import { euclid, normBound } from "./defect.ts";

/** One step, in f64. */
export interface ChunkStep {
  /** `[K, K]`. */
  readonly E: Float64Array;
  readonly N: Float64Array;
  /** `[K, V]`. */
  readonly F: Float64Array;
  /** `[K]`: D's diagonal. */
  readonly D: Float64Array;
  /** `[K]`: relative error of the gate, its product and its addition; 0 where the model has none. */
  readonly gate: Float64Array;
  /** `[K]`: −log D ≥ 0, at most 104. */
  readonly decay: Float64Array;
  /** ≥ ‖E‖₂. */
  readonly norm: number;
  /** ≥ ‖N‖₂. */
  readonly keyNorm: number;
  /** `[K]`: the read-out of column v is `Σ_k q_k S[k, v]` and what does not depend on the state. */
  readonly q: Float64Array;
}

/** The largest entries of N, F and q with every field at its largest in a chunk. */
export interface Peak {
  readonly N: number;
  readonly F: number;
  readonly q: number;
}

/** The steps of one sequence. */
export interface ChunkSteps {
  readonly steps: readonly ChunkStep[];
  /** Of the steps `from … to − 1`. */
  peak(from: number, to: number): Peak;
}

/** A gate below is flushed in f32 products: its error is absolute. */
const TINY = 2 ** -100;

interface Dense<N> {
  readonly E: readonly N[];
  readonly F: readonly N[];
}

function lifted<N>(A: Analytic<N>, model: AnyAffineModel, sizes: Sizes, fields: FieldValues<N>): Dense<N> {
  const K = stateRows(model, sizes);
  const V = stateColumns(model, sizes);
  const { E, F } = model.lift(A, tokenAccessors(model, sizes, fields), 0, 0, allSizes(sizes)) as MatrixElement<N>;
  return {
    E: Array.from({ length: K * K }, (_, n) => E(Math.floor(n / K), n % K)),
    F: Array.from({ length: K * V }, (_, n) => F(Math.floor(n / V), n % V)),
  };
}

/** The activated fields of a step whose keys are 0. */
function keyless<N>(A: Analytic<N>, model: AnyAffineModel, sizes: Sizes, raw: FieldValues<N>): FieldValues<N> {
  const keys = inputEntries(model).filter(([, { domain }]) => domain.containsVector !== undefined);
  const zeros = Object.fromEntries(keys.map(([name]) => [name, raw[name]!.map(() => A.of(0))]));
  return activate(A, model, sizes, { ...raw, ...zeros });
}

/** The coefficients of a read-out that is linear in the state, from its first column. */
function readCoefficients(model: AnyAffineModel, sizes: Sizes, fields: FieldValues<number>): Float64Array {
  const K = stateRows(model, sizes);
  const accessors = tokenAccessors(model, sizes, fields);
  const at = (row: number): number =>
    model.read(f64, (k: Index) => k === row ? 1 : 0, accessors, 0, allSizes(sizes)) as number;
  const rest = at(-1);
  return Float64Array.from({ length: K }, (_, row) => at(row) - rest);
}

/** Prepares the steps of one sequence. */
export function chunkSteps(batch: Batch, b: number, h: number, machine: Accuracy): ChunkSteps {
  const { model, dims: { sizes } } = batch;
  const K = stateRows(model, sizes);
  const balls = ballAlgebra(machine);
  const all: FieldValues<number>[] = [];
  const allBare: FieldValues<number>[] = [];
  const steps = Array.from({ length: batch.steps }, (_, s): ChunkStep => {
    const raw = rawValues(f64, batch, b, s, h);
    const fields = activate(f64, model, sizes, raw);
    const bare = keyless(f64, model, sizes, raw);
    all.push(fields);
    allBare.push(bare);
    const { E, F } = lifted(f64, model, sizes, fields);
    const diagonal = lifted(f64, model, sizes, bare).E;
    const off = diagonal.findIndex((x, n) => x !== 0 && n % (K + 1) !== 0);
    if (off >= 0) {
      throw new TypeError(
        `Cannot judge ${model.name} by chunks: without its keys E must be diagonal, is not at ${off}`,
      );
    }
    const radii = lifted(balls, model, sizes, keyless(balls, model, sizes, rawValues(balls, batch, b, s, h))).E;
    const N = Float64Array.from(E, (x, n) => x - diagonal[n]!);
    const rows = Array.from({ length: K }, (_, k) => k * (K + 1));
    const dense = Float64Array.from(E);
    return {
      E: dense,
      N,
      F: Float64Array.from(F),
      D: Float64Array.from(rows, (n) => diagonal[n]!),
      gate: Float64Array.from(rows, (n) => {
        const { x, r } = radii[n]!;
        if (r === 0 && x === 1) return 0;
        const relative = Math.abs(x) > TINY
          ? r / Math.abs(x)
          : (machine.exp.units + machine.exp.perArgument * closed(0)) * machine.unit;
        return (1 + relative) * (1 + machine.unit) ** 2 - 1;
      }),
      decay: Float64Array.from(rows, (n) => closed(diagonal[n]!)),
      norm: normBound(dense, K),
      keyNorm: euclid(N),
      q: readCoefficients(model, sizes, fields),
    };
  });
  return {
    steps,
    peak(from, to) {
      if (to <= from) return { N: 0, F: 0, q: 0 };
      const { E, F } = lifted(f64, model, sizes, largestFields(all.slice(from, to)));
      const bare = lifted(f64, model, sizes, largestFields(allBare.slice(from, to))).E;
      return {
        N: largest(E.map((x, n) => x - bare[n]!)),
        F: largest(F),
        q: steps.slice(from, to).reduce((most, { q }) => Math.max(most, largest(q)), 0),
      };
    },
  };
}

/** The largest of absolute values. */
export function largest(values: ArrayLike<number>): number {
  let most = 0;
  for (let n = 0; n < values.length; n++) most = Math.max(most, Math.abs(values[n]!));
  return most;
}

/** Fields whose every entry is the largest of the field's in some steps. */
function largestFields(steps: readonly FieldValues<number>[]): FieldValues<number> {
  return Object.fromEntries(
    Object.entries(steps[0]!).map(([name, values]) => {
      const most = steps.reduce((x, fields) => Math.max(x, largest(fields[name]!)), 0);
      return [name, values.map(() => most)];
    }),
  );
}
