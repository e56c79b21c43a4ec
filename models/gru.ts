/**
 * GRU, the negative control: its gates and its candidate see the state, so it is outside the class.
 *
 *     z_t = σ(a^z_t + U^z h_{t−1})        r_t = σ(a^r_t + U^r h_{t−1})
 *     h̃_t = tanh(a^h_t + U (r_t ⊙ h_{t−1}))
 *     h_t = (1 − z_t) ⊙ h_{t−1} + z_t ⊙ h̃_t
 *
 * Two ways to pretend otherwise, both of which the harness must reject (see oracle/checks/gru.ts):
 *
 * - {@link gru} states it as an affine model. `lift` is its linearisation at state 0, the best affine answer:
 *   `E = ∂h_t/∂h_{t−1}`, `f = h_t`, both at h_{t−1} = 0. The contract forbids it by type: `step` is given a ring, in
 *   which nothing can depend on the state through σ. So `step` here breaks the contract on purpose, and runs only where
 *   the ring it is given happens to have a σ.
 * - {@link gruAggregator} uses the cell as an aggregator. Its fold is a GRU; its tree is something else.
 *
 * | name | paper | shape per token |
 * |---|---|---|
 * | z, r, c (inputs, and as fields) | a^z, a^r, a^h: the input's part of each preactivation | `[K]` |
 * | Uz, Ur, Uc | U^z, U^r, U | `[K, K]`, parameters |
 * | z0, r0, c0 (fields) | z_t, r_t, h̃_t at h_{t−1} = 0 | `[K]` |
 * | S | h, one state per column | `[K, V]` |
 *
 * @module
 */
import { type Aggregator, aggregator } from "./aggregator.ts";
import { affineModel, type AnyAffineModel } from "./affine.ts";
import type { Analytic, Matrix, ScaledRing } from "./arith.ts";
import { between, normal, preactivation } from "./domain.ts";
import { InputError } from "./error.ts";
import { matMul } from "./linalg.ts";
import { seeded } from "./random.ts";

/** The recurrent weights. */
interface Weights<N> {
  readonly Uz: Matrix<N>;
  readonly Ur: Matrix<N>;
  readonly Uc: Matrix<N>;
}

/** `2 σ(2x) − 1`. */
function tanh<N>(A: Analytic<N>, x: N): N {
  const s = A.sigmoid(A.add(x, x));
  return A.sub(A.add(s, s), A.of(1));
}

/** `h_t` from `h_{t−1}` and the input's part of each preactivation. */
function cell<N>(
  A: Analytic<N>,
  { Uz, Ur, Uc }: Weights<N>,
  h: readonly N[],
  az: readonly N[],
  ar: readonly N[],
  ac: readonly N[],
): readonly N[] {
  const times = (U: Matrix<N>, x: readonly N[]): readonly N[] => matMul(A, U, x.map((xi) => [xi])).map(([y]) => y!);
  const [uz, ur] = [times(Uz, h), times(Ur, h)];
  const z = az.map((a, i) => A.sigmoid(A.add(a, uz[i]!)));
  const r = ar.map((a, i) => A.sigmoid(A.add(a, ur[i]!)));
  const uc = times(Uc, h.map((x, i) => A.mul(r[i]!, x)));
  return h.map((x, i) => {
    const candidate = tanh(A, A.add(ac[i]!, uc[i]!));
    return A.add(A.mul(A.sub(A.of(1), z[i]!), x), A.mul(z[i]!, candidate));
  });
}

/** What a GRU needs of the ring its step is given. */
function analytic<N>(A: ScaledRing<N>): Analytic<N> {
  if (!("sigmoid" in A)) {
    throw new InputError("Cannot step gru exactly: its gates see the state, so a step needs σ, got a ring without it");
  }
  return A as Analytic<N>;
}

/** A GRU that claims to be affine. Not among the models: nothing holds for it. */
export const gru: AnyAffineModel = affineModel({
  name: "gru",
  paper: {
    title: "Learning Phrase Representations using RNN Encoder-Decoder",
    arxiv: "1406.1078",
    where: "section 2.3",
  },
  action: "matrix",
  heads: true,
  state: ["K", "V"],
  inputs: {
    z: { axes: ["K"], domain: preactivation },
    r: { axes: ["K"], domain: preactivation },
    c: { axes: ["K"], domain: preactivation },
    Uz: { axes: ["K", "K"], domain: between(-1, 1), per: "parameter" },
    Ur: { axes: ["K", "K"], domain: between(-1, 1), per: "parameter" },
    Uc: { axes: ["K", "K"], domain: between(-1, 1), per: "parameter" },
  },
  fields: {
    z: ["K"],
    r: ["K"],
    c: ["K"],
    z0: ["K"],
    r0: ["K"],
    c0: ["K"],
    Uz: ["K", "K"],
    Ur: ["K", "K"],
    Uc: ["K", "K"],
  },
  gates: (A, x) => ({
    z: x.z,
    r: x.r,
    c: x.c,
    z0: (i) => A.sigmoid(x.z(i)),
    r0: (i) => A.sigmoid(x.r(i)),
    c0: (i) => tanh(A, x.c(i)),
    Uz: x.Uz,
    Ur: x.Ur,
    Uc: x.Uc,
  }),
  step(A, S, x) {
    const columns = (S[0] ?? []).map((_, v) => cell(analytic(A), x, S.map((row) => row[v]!), x.z, x.r, x.c));
    return S.map((_, i) => columns.map((h) => h[i]!));
  },
  lift: (A, x) => ({
    // The gate's own slope comes with h̃ − h, which is h̃ at 0; r's comes with h, which is 0 there.
    E: (i, j) => {
      const one = A.of(1);
      const [z, c] = [x.z0(i), x.c0(i)];
      const gateSlope = A.mul(A.mul(A.mul(z, A.sub(one, z)), c), x.Uz(i, j));
      const candidateSlope = A.mul(A.mul(z, A.sub(one, A.mul(c, c))), A.mul(x.Uc(i, j), x.r0(j)));
      return A.add(A.mul(A.sub(one, z), A.eye(i, j)), A.add(gateSlope, candidateSlope));
    },
    F: (i) => A.mul(x.z0(i), x.c0(i)),
  }),
  read: (A, S, _x, v, { K }) => A.sum(K, (k) => S(k, v)),
});

/** A GRU cell with seeded weights as an aggregator of `width` numbers: `Agg(h, x)` = the state after h on input x. */
export function gruAggregator(width: number = 4, seed: number = 1): Aggregator {
  const random = seeded(seed, "gru-aggregator");
  const matrix = (): Matrix<number> =>
    Array.from({ length: width }, () => Array.from({ length: width }, () => normal(random) / Math.sqrt(width)));
  const [Uz, Ur, Uc, Wz, Wr, Wc] = [matrix(), matrix(), matrix(), matrix(), matrix(), matrix()];
  return aggregator({
    name: "gru-aggregator",
    width,
    agg(A, h, x) {
      const of = (U: Matrix<number>): Matrix<ReturnType<typeof A.of>> => U.map((row) => row.map((u) => A.of(u)));
      const input = (W: Matrix<number>): typeof x => matMul(A, of(W), x.map((xi) => [xi])).map(([y]) => y!);
      return cell(A, { Uz: of(Uz), Ur: of(Ur), Uc: of(Uc) }, h, input(Wz), input(Wr), input(Wc));
    },
  });
}
