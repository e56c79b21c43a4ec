/**
 * minGRU: a GRU whose gate and candidate see the input only.
 *
 *     h_t = (1 − z_t) ⊙ h_{t−1} + z_t ⊙ h̃_t        z_t = σ(Linear(x_t)),  h̃_t = Linear(x_t)
 *
 * The candidate is the plain linear one of the paper's definition, in every form of execution. The paper's log-space
 * variant passes it through g(x) = x + 1/2 (x ≥ 0), σ(x) (x < 0); whoever wants that applies g before calling. Code
 * that applies g in the parallel form and not in the step form computes two different models.
 *
 * | name | paper | shape per token |
 * |---|---|---|
 * | z (input) | preactivation of z_t | `[D]` |
 * | candidate | h̃_t | `[D]` |
 * | z, keep (fields) | z_t = σ(·), 1 − z_t = σ(−·) | `[D]` |
 *
 * @module
 */
import { affineModel, type AnyAffineModel } from "./affine.ts";
import { hadamard, plus } from "./linalg.ts";
import { real, updatePreactivation } from "./domain.ts";

export const minGru: AnyAffineModel = affineModel({
  name: "min-gru",
  paper: { title: "Were RNNs All We Needed?", arxiv: "2410.01201", where: "section 3.1" },
  action: "diagonal",
  heads: false,
  state: ["D"],
  inputs: {
    z: { axes: ["D"], domain: updatePreactivation },
    candidate: { axes: ["D"], domain: real },
  },
  fields: { z: ["D"], keep: ["D"], candidate: ["D"] },
  gates: (A, x) => ({
    z: (d) => A.sigmoid(x.z(d)),
    keep: (d) => A.sigmoid(A.neg(x.z(d))),
    candidate: x.candidate,
  }),
  step: (A, h, x) => plus(A, hadamard(A, [x.keep], h), hadamard(A, [x.z], [x.candidate])),
  lift: (A, x, _, d) => ({ a: x.keep(d), b: A.mul(x.z(d), x.candidate(d)) }),
  read: (_A, h, _x, d) => h(0, d),
});
