/**
 * The domains of inputs: which values a model's contract allows, and what seeded inputs are drawn from in each of
 * the three classes of the harness. A domain is a value; a model of one's own may bring another.
 *
 * @module
 */

/** Seeded random; gates within 1/T of 1; exact zeros and ones, denormals, infinities where allowed, large values. */
export type InputClass = "random" | "long-memory" | "adversarial";

/** Uniform numbers in [0, 1), seeded. */
export type Random = () => number;

/** How a network brings any number x into a domain (see domain_map.ts). */
export type DomainMap =
  | { readonly kind: "linear" }
  /** log σ(x) / divisor: a log gate that begins near 1. */
  | { readonly kind: "log-sigmoid"; readonly divisor: number }
  /** low + (high − low) σ(x) */
  | { readonly kind: "interval"; readonly low: number; readonly high: number }
  /** size · tanh(x / size): x itself where it is small. */
  | { readonly kind: "capped"; readonly size: number }
  /** softplus(x) + 2^−20 */
  | { readonly kind: "positive" }
  /** −e^x */
  | { readonly kind: "negative" }
  /** x / ‖x‖ */
  | { readonly kind: "unit" };

/** The values an input may take. */
export interface Domain {
  /** As it reads in an error message: `a log gate, ≤ 0`. */
  readonly description: string;
  /** Whether one value is allowed. NaN never is; infinities only where the domain says so. */
  contains(x: number): boolean;
  /** Value that stands for one outside f32's reach (a log gate of −∞), applied before anything is computed. */
  clamp?(x: number): number;
  /** Whether one vector (the input at one token and head) is allowed; for constraints between its entries. */
  containsVector?(x: ArrayLike<number>): boolean;
  /** Fills one vector of the input for one token and head. `T` is the longest sequence it will be part of. */
  sample(kind: InputClass, random: Random, out: Float64Array, T: number): void;
  /** Brings a vector of ordinary numbers (standard normal in size) into the domain, entry by entry: for real text. */
  squash?(vector: Float64Array): void;
  /** The same of a network's own numbers; a domain without one takes them as they are. */
  readonly map?: DomainMap;
}

/** A {@link Domain.squash} that maps every entry by itself. */
function squash(one: (x: number) => number): (vector: Float64Array) => void {
  return (vector) => {
    for (let i = 0; i < vector.length; i++) vector[i] = one(vector[i]!);
  };
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** A standard normal number. */
function normal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

function pick(values: readonly number[], random: Random): number {
  return values[Math.floor(random() * values.length)]!;
}

/** Fills every entry by itself. */
function each(one: (kind: InputClass, random: Random, T: number) => number): Domain["sample"] {
  return (kind, random, out, T) => {
    for (let i = 0; i < out.length; i++) out[i] = one(kind, random, T);
  };
}

/** Half special values, half ordinary ones. */
function mixed(special: readonly number[], ordinary: (random: Random) => number): (random: Random) => number {
  return (random) => random() < 0.5 ? pick(special, random) : ordinary(random);
}

const hostileReals = mixed([0, -0, 1, -1, 1e-40, -1e-42, 2 ** -149, 2 ** -126, 4096, -65504, 1e-20], normal);

/** Any finite f32; the adversarial class has denormals and magnitudes to 2^16. */
export const real: Domain = {
  map: { kind: "linear" },
  description: "a finite number",
  contains: (x) => Number.isFinite(x),
  sample: each((kind, random) => kind === "adversarial" ? hostileReals(random) : normal(random)),
  squash: squash((x) => x),
};

const hostileLogGates = mixed([-Infinity, -0, 0, -1e-30, -1e-7, -104, -50, -1], (random) => -4 * random());

/** `g ≤ 0`; −∞ stands for a gate of 0 and is clamped to −104, below f32's smallest: e^−104 < 2^−149. */
export const logGate: Domain = {
  map: { kind: "log-sigmoid", divisor: 1 },
  description: "a log gate, ≤ 0",
  contains: (x) => x <= 0,
  clamp: (x) => Math.max(x, -104),
  sample: each((kind, random, T) =>
    kind === "adversarial"
      ? hostileLogGates(random)
      : kind === "long-memory"
      ? -random() / Math.max(T, 1)
      : Math.log(1 - random() * 0.95)
  ),
  squash: squash((x) => -Math.log1p(Math.exp(-x - 1))),
};

const hostileGates = mixed([0, 1, 1 - 2 ** -24, 2 ** -149, 1e-40, 0.5], (random) => random());

/** A plain gate in [0, 1]. */
export const gate: Domain = {
  map: { kind: "interval", low: 0, high: 1 },
  description: "a gate in [0, 1]",
  contains: (x) => x >= 0 && x <= 1,
  sample: each((kind, random, T) =>
    kind === "adversarial"
      ? hostileGates(random)
      : kind === "long-memory"
      ? 1 - random() / Math.max(T, 1)
      : 0.05 + 0.95 * random()
  ),
  squash: squash(sigmoid),
};

/** A finite number > 0. */
export const positive: Domain = {
  map: { kind: "positive" },
  description: "a finite number > 0",
  contains: (x) => x > 0 && Number.isFinite(x),
  sample: each((kind, random) =>
    kind === "adversarial" ? pick([1e-20, 2 ** -20, 1, 1024, 0.5], random) : 0.01 + Math.abs(normal(random))
  ),
  squash: squash((x) => 0.01 + Math.log1p(Math.exp(x))),
};

/** A finite number ≥ 0. */
export const nonNegative: Domain = {
  map: { kind: "positive" },
  description: "a finite number ≥ 0",
  contains: (x) => x >= 0 && Number.isFinite(x),
  sample: each((kind, random) =>
    kind === "adversarial"
      ? mixed([0, 1e-40, 2 ** -149, 4096], (r) => Math.abs(normal(r)))(random)
      : Math.abs(normal(random))
  ),
  squash: squash(Math.abs),
};

/** The strength of a delta step, in [0, 2]: beyond 1 its eigenvalue 1 − β is negative. */
export const beta: Domain = {
  map: { kind: "interval", low: 0, high: 2 },
  description: "a delta strength in [0, 2]",
  contains: (x) => x >= 0 && x <= 2,
  sample: each((kind, random, T) => {
    if (kind === "adversarial") return mixed([0, 1, 2, 2 ** -30], (r) => 2 * r())(random);
    // Only an eigenvalue 1 − β near ±1 keeps what the state holds: a step that hardly writes, or one that reflects.
    if (kind === "long-memory") return random() < 0.5 ? random() / Math.max(T, 1) : 2 - random() / Math.max(T, 1);
    return 2 * random();
  }),
  squash: squash((x) => 2 * sigmoid(x)),
};

/** A vector of Euclidean norm at most 1, up to the rounding of a normalised f32 vector; 0 is allowed. */
export const unitVector: Domain = {
  map: { kind: "unit" },
  description: "a vector of norm ≤ 1",
  contains: (x) => Number.isFinite(x),
  containsVector(x) {
    let square = 0;
    for (let i = 0; i < x.length; i++) square += x[i]! * x[i]!;
    // Each entry of a normalised f32 vector is off by at most 2^-24 relative, and its norm was rounded too.
    return square <= 1 + 2 ** -21;
  },
  sample(kind, random, out) {
    const special = kind === "adversarial" ? random() : 1;
    let square = 0;
    for (let i = 0; i < out.length; i++) {
      out[i] = normal(random);
      square += out[i]! ** 2;
    }
    const norm = Math.sqrt(square) || 1;
    const axis = Math.floor(random() * out.length);
    for (let i = 0; i < out.length; i++) {
      out[i] = special < 0.25 ? 0 : special < 0.5 ? (i === axis ? 1 : 0) : Math.fround(out[i]! / norm);
    }
  },
  squash: (vector) => {
    const norm = Math.hypot(...vector) || 1;
    for (let i = 0; i < vector.length; i++) vector[i] = Math.fround(vector[i]! / norm);
  },
};

/** A number between `low` and `high`, both allowed. The adversarial class takes the ends, 0 and values between. */
export function between(low: number, high: number, description = `a number in [${low}, ${high}]`): Domain {
  const special = [low, high, Math.min(Math.max(0, low), high)];
  const size = Math.min(-low, high);
  return {
    map: size > 0 ? { kind: "capped", size } : { kind: "interval", low, high },
    description,
    contains: (x) => x >= low && x <= high,
    sample: each((kind, random) =>
      kind === "adversarial" && random() < 0.5 ? pick(special, random) : low + (high - low) * random()
    ),
    squash: squash((x) => Math.min(Math.max(x, low), high)),
  };
}

/** A domain like `base` whose samples of some classes are drawn otherwise. */
export function sampled(
  base: Domain,
  classes: { readonly [P in InputClass]?: (random: Random, T: number) => number },
): Domain {
  return {
    ...base,
    sample(kind, random, out, T) {
      const draw = classes[kind];
      if (draw === undefined) return base.sample(kind, random, out, T);
      for (let i = 0; i < out.length; i++) out[i] = draw(random, T);
    },
  };
}

const hostilePreactivations = mixed([0, -0, 500, -500, 104, -104, 17, -17, 1e-40, -(2 ** -149)], normal);

/**
 * What a sigmoid or a tanh is applied to. Beyond ±104 a sigmoid is 0 or 1 to f32's last subnormal (e^−104 < 2^−149),
 * so larger values are brought there.
 */
export const preactivation: Domain = {
  map: { kind: "linear" },
  description: "a preactivation (a number; brought to [−104, 104], beyond which σ is saturated)",
  contains: (x) => x === x,
  clamp: (x) => Math.min(Math.max(x, -104), 104),
  sample: each((kind, random) => kind === "adversarial" ? hostilePreactivations(random) : 2 * normal(random)),
  squash: squash((x) => 2 * x),
};

/** A preactivation x with σ(x) ≥ 1 − 1/T: 1 − σ(x) = σ(−x) < e^−x ≤ 1/T for x ≥ ln T; 2^−10 more than rounding takes. */
export function nearlyOpen(random: Random, T: number): number {
  return Math.log(Math.max(T, 1)) + 2 ** -10 + random();
}

/** A preactivation x with σ(x) ≤ 1/T: σ(x) < e^x ≤ 1/T for x ≤ −ln T. */
export function nearlyShut(random: Random, T: number): number {
  return -nearlyOpen(random, T);
}

/** The preactivation of a gate that multiplies the state. */
export const forgetPreactivation: Domain = sampled(preactivation, { "long-memory": nearlyOpen });

/** The preactivation of a gate whose complement multiplies the state. */
export const updatePreactivation: Domain = sampled(preactivation, { "long-memory": nearlyShut });

/** A finite number < 0, such as a continuous-time A. */
export const negative: Domain = {
  map: { kind: "negative" },
  description: "a finite number < 0",
  contains: (x) => x < 0 && Number.isFinite(x),
  // Moderate in the long-memory class, so that a step size alone can bring the gate to 1 − 1/T.
  sample: each((kind, random) =>
    kind === "adversarial" ? pick([-1e-20, -(2 ** -20), -1, -16, -1e4], random) : -0.1 - 1.9 * random()
  ),
  squash: squash((x) => -0.01 - Math.log1p(Math.exp(x))),
};

/** A step size Δ > 0; with |A| ≤ 2, as {@link negative} samples it, long-memory gates have 1 − e^ΔA ≤ Δ|A| ≤ 1/T. */
export const stepSize: Domain = sampled(positive, { "long-memory": (r, T) => (0.1 + 0.3 * r()) / Math.max(T, 1) });

export { normal };
