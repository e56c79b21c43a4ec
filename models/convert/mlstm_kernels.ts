/**
 * Calls of NX-AI/mlstm_kernels.
 *
 * @module
 */
import { InputError } from "../error.ts";
import { mlstm as mlstmModel } from "../mlstm.ts";
import type { Call } from "./call.ts";
import { expectShape, type NdArray, swapHeadsAndTime } from "./layout.ts";

/** log σ(x). */
function logSigmoid(x: number): number {
  return Math.min(x, 0) - Math.log1p(Math.exp(-Math.abs(x)));
}

/**
 * `mlstm`: q, k `[B, H, T, K]`, v `[B, H, T, V]`, raw preactivations i, f `[B, H, T]` (or with T before H:
 * `layout: "BTHD"`); initial state C0 `[B, H, K, V]`, n0 `[B, H, K]`, m0 `[B, H, 1]`, zero where absent; q is multiplied
 * by K^−1/2 inside. Results `o` in the same layout, and C, n, m.
 *
 * Upstream's state is stabilised by a real exponent, (C, n)·e^m with m = max(log f + m, i); this kit's by a power of two.
 * Both stand for the same numbers, and the results are brought to upstream's m. Upstream adds an ε (1e-6) to the divisor
 * max(|qᵀn|, e^−m); here that floor is the paper's alone.
 */
export function mlstm(
  given: {
    readonly q: NdArray;
    readonly k: NdArray;
    readonly v: NdArray;
    readonly i: NdArray;
    readonly f: NdArray;
    readonly C0?: NdArray;
    readonly n0?: NdArray;
    readonly m0?: NdArray;
    readonly layout?: "BHTD" | "BTHD";
  },
): Call {
  const op = "mlstm";
  const headFirst = given.layout !== "BTHD";
  const arranged = (x: NdArray): NdArray => headFirst ? swapHeadsAndTime(x) : x;
  const [q, k, v, i, f] = [given.q, given.k, given.v, given.i, given.f].map(arranged) as [
    NdArray,
    NdArray,
    NdArray,
    NdArray,
    NdArray,
  ];
  const [B, T, H, K] = q.shape;
  const V = v.shape.at(-1);
  if (q.shape.length !== 4 || B === undefined || T === undefined || H === undefined || !K || !V) {
    throw new InputError(`Cannot convert ${op}: q must have 4 axes, got [${given.q.shape.join(", ")}]`);
  }
  expectShape(op, "k", k, [B, T, H, K]);
  expectShape(op, "v", v, [B, T, H, V]);
  expectShape(op, "i", i, [B, T, H]);
  expectShape(op, "f", f, [B, T, H]);
  const { C0, n0, m0 } = given;
  if (C0 !== undefined) expectShape(op, "C0", C0, [B, H, K, V]);
  if (n0 !== undefined) expectShape(op, "n0", n0, [B, H, K]);
  if (m0 !== undefined) expectShape(op, "m0", m0, [B, H, 1]);

  const columns = V + 1;
  const initialState = new Float64Array(B * H * K * columns * 2);
  for (let lane = 0; lane < B * H * K * columns; lane++) {
    const [row, column] = [Math.floor(lane / columns), lane % columns];
    const m = m0?.data[Math.floor(row / K)] ?? 0;
    // The kit's exponents are integers ≥ 0; what is left of e^m goes into the value.
    const exponent = Math.max(0, Math.floor(m / Math.LN2));
    const value = column < V ? C0?.data[row * V + column] ?? 0 : n0?.data[row] ?? 0;
    initialState[lane * 2] = value * Math.exp(m - exponent * Math.LN2);
    initialState[lane * 2 + 1] = exponent;
  }

  const m = Float64Array.from({ length: B * H }, (_, bh) => {
    const [b, h] = [Math.floor(bh / H), bh % H];
    let running = m0?.data[bh] ?? 0;
    for (let t = 0; t < T; t++) {
      const at = (b * T + t) * H + h;
      running = Math.max(logSigmoid(f.data[at]!) + running, i.data[at]!);
    }
    return running;
  });

  return {
    model: mlstmModel,
    dims: { B, T, H, sizes: { K, V } },
    inputs: { q: q.data, k: k.data, v: v.data, i: i.data, f: f.data },
    ...(C0 === undefined && n0 === undefined ? {} : { initialState }),
    results: ({ outputs, finalState }) => {
      const stabilised = (row: number, column: number): number => {
        const lane = (row * columns + column) * 2;
        return finalState[lane]! * Math.exp(finalState[lane + 1]! * Math.LN2 - m[Math.floor(row / K)]!);
      };
      return {
        o: arranged({ shape: [B, T, H, V], data: outputs }),
        C: {
          shape: [B, H, K, V],
          data: Float64Array.from({ length: B * H * K * V }, (_, n) => stabilised(Math.floor(n / V), n % V)),
        },
        n: { shape: [B, H, K], data: Float64Array.from({ length: B * H * K }, (_, row) => stabilised(row, V)) },
        m: { shape: [B, H, 1], data: m },
      };
    },
  };
}
