/**
 * DeltaProduct: n_h delta steps a token, so that a token's transition is a product of n_h generalised Householder
 * matrices; the gated form decays once, before the first.
 *
 *     S ← e^{g_t} S_{t−1};   S ← (I − β_{t,j} k_{t,j} k_{t,j}ᵀ) S + β_{t,j} k_{t,j} v_{t,j}ᵀ  for j = 1 … n_h
 *     o_t = (scale · q_t)ᵀ S_t
 *
 * A micro-step is one (decay and) delta step. g is given once a token and used at the first; elsewhere its log is 0,
 * no decay. q is given once a token and reads after the last.
 *
 * | name | paper | shape per head |
 * |---|---|---|
 * | q | q_t | `[K]` per token |
 * | k | k_{t,j} | `[K]` per micro-step (`[B, T·n_h, H, K]`), norm ≤ 1 |
 * | v | v_{t,j} | `[V]` per micro-step |
 * | beta | β_{t,j} | scalar in [0, 2] per micro-step |
 * | g | log α_t | scalar ≤ 0 per token |
 * | a | α_t = e^g, or 1 | scalar |
 *
 * @module
 */
import { affineModel, type AnyAffineModel, queryScale } from "./affine.ts";
import { minus, outer, plus, scale, scaleVector, vecMat } from "./linalg.ts";
import { beta, logGate, real, unitVector } from "./domain.ts";
import { InputError } from "./error.ts";

/** DeltaProduct with n_h = `steps` delta steps a token, a whole number ≥ 1; throws an {@link InputError} otherwise. */
export function deltaProductOf(steps: number): AnyAffineModel {
  if (!Number.isSafeInteger(steps) || steps < 1) {
    throw new InputError(`Cannot define delta-product: n_h must be a whole number ≥ 1, got ${steps}`);
  }
  return affineModel({
    name: steps === 2 ? "delta-product" : `delta-product-${steps}`,
    paper: {
      title: "DeltaProduct: Improving State-Tracking in Linear RNNs via Householder Products",
      arxiv: "2502.10297",
      where: "section 3; the gated variant",
    },
    action: "matrix",
    heads: true,
    state: ["K", "V"],
    microSteps: steps,
    inputs: {
      q: { axes: ["K"], domain: real, micro: "last" },
      k: { axes: ["K"], domain: unitVector, micro: "every" },
      v: { axes: ["V"], domain: real, micro: "every" },
      g: { axes: [], domain: logGate, micro: "first" },
      beta: { axes: [], domain: beta, micro: "every" },
    },
    fields: { q: ["K"], k: ["K"], v: ["V"], a: [], beta: [] },
    gates: (A, x, { K }) => ({
      q: (k) => A.mul(A.of(queryScale(K)), x.q(k)),
      k: x.k,
      v: x.v,
      a: A.exp(x.g),
      beta: x.beta,
    }),
    step(A, S, x) {
      const decayed = scale(A, x.a, S);
      const written = scaleVector(A, x.beta, x.k);
      return plus(A, minus(A, decayed, outer(A, written, vecMat(A, x.k, decayed))), outer(A, written, x.v));
    },
    lift: (A, x) => ({
      E: (i, j) => A.mul(x.a, A.sub(A.eye(i, j), A.mul(x.beta, A.mul(x.k(i), x.k(j))))),
      F: (i, v) => A.mul(x.beta, A.mul(x.k(i), x.v(v))),
    }),
    read: (A, S, x, v, { K }) => A.sum(K, (k) => A.mul(x.q(k), S(k, v))),
  });
}

export const deltaProduct: AnyAffineModel = deltaProductOf(2);
