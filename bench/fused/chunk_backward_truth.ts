/**
 * Gradients of one sequence of the chunked linear attention family in f64, token by token, and how far f32 may be off.
 *
 *     S_t = diag(a_t) S_{t−1} + k_t v_tᵀ        o_t = q_tᵀ S_t (or S_{t−1} + diag(u) k_t v_tᵀ)
 *     Λ_t = a_{t+1} Λ_{t+1} + q_t dO_tᵀ (or that of t + 1 first)
 *     dq_t = S_t dO_t     dk_t = Λ_t v_t     dv_t = Λ_tᵀ k_t     dg_t = rowsum(a_t S_{t−1} ⊙ Λ_t)
 *
 * *Bound.* Every gradient is a sum of products, each term of which meets on its way: an error of its own for every gate
 * between (the exponential's, one product, and one addition: a state is added to at most once a token), and a fixed number
 * `c` of roundings else (operands, and additions within a chunk, over keys, over values). So the recurrences are run once more with
 * absolute values: `h̄` the sum of |terms|, and `e ← a (e + ρ h̄)`, ρ the gate's error; the bound is `e + c u h̄`, for a
 * product of two states `ē h̄′ + h̄ ē′ + c u h̄ h̄′`. Operands in halves add an absolute error, a share of their largest.
 *
 * @module
 */

/** One sequence of one head. */
export interface Sequence {
  readonly T: number;
  readonly K: number;
  readonly V: number;
  /** `[T, K]`; q times its scale already. */
  readonly q: ArrayLike<number>;
  readonly k: ArrayLike<number>;
  /** `[T, V]`. */
  readonly v: ArrayLike<number>;
  readonly dO: ArrayLike<number>;
  /** The gate of token t and key k, and its relative error in units of u, the product and the addition included. */
  readonly gate: (t: number, k: number) => number;
  readonly gateUnits: (t: number, k: number) => number;
  /** `[K]`: the bonus of a model that reads before its update. */
  readonly u?: ArrayLike<number>;
  /** `[K, V]`; zero where not given. */
  readonly initial?: ArrayLike<number>;
  readonly dFinal?: ArrayLike<number>;
}

/** What is known of the kernel's arithmetic. */
export interface Machine {
  /** Roundings of a term besides its gates, in units of 2^−24. */
  readonly roundings: number;
  /** Absolute error of an operand as a share of the largest: 2^−40 for split halves, 0 for f32. */
  readonly floor: number;
}

/** Numbers and what they may be off by. */
export interface Bounded {
  readonly x: Float64Array;
  readonly r: Float64Array;
}

export interface SequenceTruth {
  readonly dq: Bounded;
  readonly dk: Bounded;
  readonly dv: Bounded;
  /** `[T, K]`, of log gates. */
  readonly dg: Bounded;
  /** `[K, V]`. */
  readonly dInitial: Bounded;
  /** `[K, V]`: S_T. */
  readonly final: Bounded;
}

const U = 2 ** -24;
/** Tokens whose states are kept at a time. */
const RUN = 64;
/** Flushed subnormals, times anything of ordinary size. */
const TINY = 2 ** -100;

/** A matrix state: numbers, sums of |terms|, errors. */
interface State {
  readonly x: Float64Array;
  readonly h: Float64Array;
  readonly e: Float64Array;
}

function stateFrom(from: ArrayLike<number> | undefined, n: number): State {
  const x = Float64Array.from({ length: n }, (_, i) => from?.[i] ?? 0);
  return { x, h: x.map(Math.abs), e: new Float64Array(n) };
}

const copied = ({ x, h, e }: State): State => ({ x: x.slice(), h: h.slice(), e: e.slice() });

const bounded = (n: number): Bounded => ({ x: new Float64Array(n), r: new Float64Array(n) });

const largest = (x: ArrayLike<number> | undefined): number => {
  let most = 0;
  for (let i = 0; i < (x?.length ?? 0); i++) most = Math.max(most, Math.abs(x![i]!));
  return most;
};

/** The gradients of Σ dO·o + Σ dFinal·S_T by q (times its scale), k, v, log gates and the initial state. */
export function sequenceTruth(sequence: Sequence, { roundings, floor }: Machine): SequenceTruth {
  const { T, K, V, q, k, v, dO, gate, gateUnits, u, initial, dFinal } = sequence;
  const n = K * V;
  const c = roundings * U;
  const pre = u !== undefined;
  const dq = bounded(T * K);
  const dk = bounded(T * K);
  const dv = bounded(T * V);
  const dg = bounded(T * K);
  const state = stateFrom(initial, n);
  const mostBonus = Math.max(1, largest(u));
  const [mostQ, mostK, mostV, mostO] = [largest(q) * mostBonus, largest(k) * mostBonus, largest(v), largest(dO)];
  let mostState = largest(initial);
  let mostLambda = largest(dFinal);

  const decay = ({ x, h, e }: State, t: number): void => {
    for (let row = 0; row < K; row++) {
      const a = gate(t, row);
      const rho = gateUnits(t, row) * U;
      for (let i = row * V; i < (row + 1) * V; i++) {
        e[i] = a * (e[i]! + rho * h[i]!) * (1 + rho);
        x[i]! *= a;
        h[i]! *= a;
      }
    }
  };
  const addOuter = ({ x, h }: State, left: ArrayLike<number>, right: ArrayLike<number>, t: number): void => {
    for (let row = 0; row < K; row++) {
      const l = left[t * K + row]!;
      for (let col = 0; col < V; col++) {
        const term = l * right[t * V + col]!;
        x[row * V + col]! += term;
        h[row * V + col]! += Math.abs(term);
      }
    }
  };
  /** rows: out[row] += Σ_v state·right; columns: out[col] += Σ_k state·left. */
  const rowSums = ({ x, h, e }: State, right: ArrayLike<number>, t: number, out: Bounded): void => {
    for (let row = 0; row < K; row++) {
      let [sum, size, error] = [0, 0, 0];
      for (let col = 0; col < V; col++) {
        const y = right[t * V + col]!;
        const i = row * V + col;
        sum += x[i]! * y;
        size += h[i]! * Math.abs(y);
        error += e[i]! * Math.abs(y);
      }
      out.x[t * K + row]! += sum;
      out.r[t * K + row]! += error + c * size;
    }
  };
  const columnSums = ({ x, h, e }: State, left: ArrayLike<number>, t: number, out: Bounded): void => {
    for (let row = 0; row < K; row++) {
      const y = left[t * K + row]!;
      for (let col = 0; col < V; col++) {
        const i = row * V + col;
        out.x[t * V + col]! += x[i]! * y;
        out.r[t * V + col]! += (e[i]! + c * h[i]!) * Math.abs(y);
      }
    }
  };
  const step = (t: number): void => {
    decay(state, t);
    addOuter(state, k, v, t);
  };

  const starts: State[] = [];
  for (let t = 0; t < T; t++) {
    if (t % RUN === 0) starts.push(copied(state));
    if (pre) rowSums(state, dO, t, dq);
    step(t);
    if (!pre) rowSums(state, dO, t, dq);
    for (let i = 0; i < n; i++) mostState = Math.max(mostState, state.h[i]!);
  }
  const final = copied(state);
  const lambda = stateFrom(dFinal, n);
  for (let run = starts.length - 1; run >= 0; run--) {
    const from = run * RUN;
    const to = Math.min(T, from + RUN);
    const before: State[] = [];
    state.x.set(starts[run]!.x);
    state.h.set(starts[run]!.h);
    state.e.set(starts[run]!.e);
    for (let t = from; t < to; t++) {
      before.push(copied(state));
      step(t);
    }
    for (let t = to - 1; t >= from; t--) {
      if (!pre) addOuter(lambda, q, dO, t);
      rowSums(lambda, v, t, dk);
      columnSums(lambda, k, t, dv);
      const { x, h, e } = before[t - from]!;
      for (let row = 0; row < K; row++) {
        const a = gate(t, row);
        let [sum, size, error] = [0, 0, 0];
        for (let i = row * V; i < (row + 1) * V; i++) {
          sum += x[i]! * lambda.x[i]!;
          size += h[i]! * lambda.h[i]!;
          error += e[i]! * lambda.h[i]! + h[i]! * lambda.e[i]!;
        }
        dg.x[t * K + row] = a * sum;
        dg.r[t * K + row] = a * (error + (2 * c + gateUnits(t, row) * U) * size);
      }
      decay(lambda, t);
      if (pre) addOuter(lambda, q, dO, t);
      for (let i = 0; i < n; i++) mostLambda = Math.max(mostLambda, lambda.h[i]!);
    }
  }
  if (pre) {
    for (let t = 0; t < T; t++) {
      let [pair, size] = [0, 0];
      for (let col = 0; col < V; col++) {
        pair += dO[t * V + col]! * v[t * V + col]!;
        size += Math.abs(dO[t * V + col]! * v[t * V + col]!);
      }
      let [own, ownSize] = [0, 0];
      for (let row = 0; row < K; row++) {
        const i = t * K + row;
        dq.x[i]! += pair * u[row]! * k[i]!;
        dq.r[i]! += c * size * Math.abs(u[row]! * k[i]!);
        dk.x[i]! += pair * u[row]! * q[i]!;
        dk.r[i]! += c * size * Math.abs(u[row]! * q[i]!);
        own += u[row]! * q[i]! * k[i]!;
        ownSize += Math.abs(u[row]! * q[i]! * k[i]!);
      }
      for (let col = 0; col < V; col++) {
        dv.x[t * V + col]! += own * dO[t * V + col]!;
        dv.r[t * V + col]! += c * ownSize * Math.abs(dO[t * V + col]!);
      }
    }
  }
  // Two operands are off at every product, and there are two products, each of at most so many terms.
  const terms = 4 * floor * Math.max(K, V, RUN);
  const scores = K * mostQ * mostK;
  const pairs = V * mostO * mostV;
  const most = {
    dq: V * mostO * mostState + RUN * pairs * mostK,
    dk: V * mostV * mostLambda + RUN * pairs * mostQ,
    dv: K * mostK * mostLambda + RUN * scores * mostO,
    dg: 2 * V * mostState * mostLambda + RUN * RUN * pairs * mostQ * mostK +
      RUN * (mostQ * V * mostO * mostState + mostK * V * mostV * mostLambda),
    dInitial: RUN * mostQ * mostO,
    final: RUN * mostK * mostV,
  };
  const ofState = ({ x, h, e }: State): Bounded => ({ x, r: h.map((size, i) => e[i]! + c * size) });
  const settled = ({ x, r }: Bounded, size: number): Bounded => ({ x, r: r.map((y) => y + terms * size + TINY) });
  return {
    dq: settled(dq, most.dq),
    dk: settled(dk, most.dk),
    dv: settled(dv, most.dv),
    dg: settled(dg, most.dg),
    dInitial: settled(ofState(lambda), most.dInitial),
    final: settled(ofState(final), most.final),
  };
}
