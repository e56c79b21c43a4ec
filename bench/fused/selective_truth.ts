/**
 * One channel of a selective scan in f64, with radii: how far a right kernel's numbers may be from it.
 *
 * Gates err relatively by (7 + 7.1|x|)u at x = ΔA (kernels/selective/rounding.ts), and by |x| times the relative error of x:
 * 1u for the product and what Δ has, 20u after softplus (14 units of its own, and the rounding of δ + bias, at most 5u
 * here). Products and sums then err by u each; a product's radius is that of either factor times the other.
 *
 * @module
 */
import type { Gpu } from "../../kernels/device.ts";
import type { SelectiveInputs } from "../../kernels/selective/tensors.ts";
import type { Tensor } from "../../kernels/tensor.ts";

const U = 2 ** -24;
/** Roundings of silu(z), or of its derivative, and of the products it is in. */
const GATE = 20;

/** The inputs of one channel; absent ones as the forward pass takes them. */
export interface ChannelRow {
  readonly L: number;
  readonly N: number;
  readonly softplus: boolean;
  readonly u: Float32Array;
  readonly delta: Float32Array;
  /** `[N]` */
  readonly A: Float64Array;
  /** `[N, L]` */
  readonly B: Float32Array;
  readonly C: Float32Array;
  readonly z: Float32Array | undefined;
  readonly D: number;
  readonly bias: number;
}

/** Numbers with the radii they may be off by. */
export interface Bounded {
  readonly truth: Float64Array;
  readonly radius: Float64Array;
}

/** Reads channel d of batch row b back. */
export async function readChannel(
  gpu: Gpu,
  { D, L, N }: { readonly D: number; readonly L: number; readonly N: number },
  inputs: SelectiveInputs,
  b: number,
  d: number,
  softplus: boolean,
): Promise<ChannelRow> {
  const part = (tensor: Tensor, offset: number, length: number): Promise<Float32Array> =>
    gpu.read(tensor.buffer, Float32Array, { offset, length });
  const one = async (tensor: Tensor | undefined): Promise<number> =>
    tensor === undefined ? 0 : (await part(tensor, d, 1))[0]!;
  const row = (b * D + d) * L;
  const A = await inputs.A.read();
  return {
    L,
    N,
    softplus,
    u: await part(inputs.u, row, L),
    delta: await part(inputs.delta, row, L),
    A: Float64Array.from({ length: N }, (_, n) => A[n * D + d]!),
    B: await part(inputs.B, b * N * L, N * L),
    C: await part(inputs.C, b * N * L, N * L),
    z: inputs.z === undefined ? undefined : await part(inputs.z, row, L),
    D: await one(inputs.D),
    bias: await one(inputs.deltaBias),
  };
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

function stepOf({ delta, bias, softplus }: ChannelRow, t: number): number {
  return softplus ? Math.log1p(Math.exp(delta[t]! + bias)) : delta[t]!;
}

/** The gate at x = ΔA and the relative error of it. */
function gateOf(row: ChannelRow, x: number): { readonly a: number; readonly error: number } {
  const size = Math.abs(x);
  return { a: Math.exp(x), error: (7 + (8.1 + (row.softplus ? 20 : 0)) * size) * U };
}

/** States before every token, `[L + 1, N]`. */
function statesOf(row: ChannelRow): Bounded {
  const { L, N, A, B, u } = row;
  const truth = new Float64Array((L + 1) * N);
  const radius = new Float64Array((L + 1) * N);
  const majorant = new Float64Array(N);
  for (let t = 0; t < L; t++) {
    const dt = stepOf(row, t);
    for (let n = 0; n < N; n++) {
      const { a, error } = gateOf(row, dt * A[n]!);
      const input = dt * u[t]! * B[n * L + t]!;
      const at = t * N + n;
      truth[at + N] = a * truth[at]! + input;
      radius[at + N] = a * radius[at]! + (error + 2 * U) * a * majorant[n]! +
        (row.softplus ? 23 : 3) * U * Math.abs(input);
      majorant[n] = a * (1 + error + 2 * U) * majorant[n]! + Math.abs(input);
    }
  }
  return { truth, radius };
}

/** y of every token. */
export function channelOutputs(row: ChannelRow): Bounded {
  const { L, N, C, D, u, z } = row;
  const h = statesOf(row);
  const truth = new Float64Array(L);
  const radius = new Float64Array(L);
  for (let t = 0; t < L; t++) {
    let [sum, size, error] = [D * u[t]!, Math.abs(D * u[t]!), 0];
    for (let n = 0; n < N; n++) {
      const [c, at] = [C[n * L + t]!, (t + 1) * N + n];
      sum += c * h.truth[at]!;
      size += Math.abs(c * h.truth[at]!);
      error += Math.abs(c) * h.radius[at]!;
    }
    const gate = z === undefined ? 1 : z[t]! * sigmoid(z[t]!);
    truth[t] = sum * gate;
    radius[t] = Math.abs(gate) * (error + (N + 2 + (z === undefined ? 0 : GATE)) * U * (size + error));
  }
  return { truth, radius };
}

/** du, dδ and dz of every token, from the cotangents of y and none of the final state. */
export function channelGradients(
  row: ChannelRow,
  dy: Float32Array,
): { readonly [name in "du" | "ddelta" | "dz"]: Bounded } {
  const { L, N, A, B, C, D, u, z, delta, bias, softplus } = row;
  const h = statesOf(row);
  const room = (): Bounded => ({ truth: new Float64Array(L), radius: new Float64Array(L) });
  const out = { du: room(), ddelta: room(), dz: room() };
  const put = ({ truth, radius }: Bounded, t: number, x: number, r: number): void => {
    truth[t] = x;
    radius[t] = r;
  };
  const carry = new Float64Array(N);
  const carryRadius = new Float64Array(N);
  const majorant = new Float64Array(N);
  const step = softplus ? 20 * U : 0;
  for (let t = L - 1; t >= 0; t--) {
    const dt = stepOf(row, t);
    const s = z === undefined ? 1 : sigmoid(z[t]!);
    const gate = z === undefined ? 1 : z[t]! * s;
    const back = dy[t]! * gate;
    const backRadius = z === undefined ? 0 : GATE * U * Math.abs(back);
    // Sums over modes: value, size, inherited radius.
    const through = [0, 0, 0];
    const rates = [0, 0, 0];
    const read = [D * u[t]!, Math.abs(D * u[t]!), 0];
    const add = (sum: number[], x: number, r: number): void => {
      sum[0]! += x;
      sum[1]! += Math.abs(x);
      sum[2]! += r;
    };
    for (let n = 0; n < N; n++) {
      const [b, c] = [B[n * L + t]!, C[n * L + t]!];
      const { a, error } = gateOf(row, dt * A[n]!);
      const lambda = c * back + carry[n]!;
      const radius = carryRadius[n]! + Math.abs(c) * backRadius + 2 * U * (Math.abs(c * back) + majorant[n]!);
      const size = Math.abs(c * back) + majorant[n]!;
      carry[n] = a * lambda;
      carryRadius[n] = a * radius + (error + 2 * U) * a * size;
      majorant[n] = a * (1 + error + 2 * U) * size;
      const [before, beforeRadius] = [h.truth[t * N + n]!, h.radius[t * N + n]!];
      add(read, c * h.truth[(t + 1) * N + n]!, Math.abs(c) * h.radius[(t + 1) * N + n]!);
      add(through, lambda * b, radius * Math.abs(b));
      const product = Math.abs(carry[n]!) * beforeRadius + carryRadius[n]! * (Math.abs(before) + beforeRadius);
      add(rates, A[n]! * carry[n]! * before, Math.abs(A[n]!) * product);
    }
    const total = ([, size, inherited]: readonly number[]): number => inherited! + (N + 4) * U * (size! + inherited!);
    const du = dt * through[0]! + D * back;
    put(
      out.du,
      t,
      du,
      dt * (total(through) + step * Math.abs(through[0]!)) + Math.abs(D) * backRadius +
        4 * U * (Math.abs(dt * through[0]!) + Math.abs(D * back)),
    );
    const slope = softplus ? sigmoid(delta[t]! + bias) : 1;
    const change = u[t]! * through[0]! + rates[0]!;
    const changeSize = Math.abs(u[t]! * through[0]!) + Math.abs(rates[0]!);
    put(
      out.ddelta,
      t,
      change * slope,
      slope * (Math.abs(u[t]!) * total(through) + total(rates) + (softplus ? 24 : 4) * U * changeSize),
    );
    const turn = z === undefined ? 0 : dy[t]! * s * (1 + z[t]! * (1 - s));
    // 1 + z (1 − σ) may cancel: its own size is at most 1 + |z|.
    const turnSize = z === undefined ? 0 : Math.abs(dy[t]! * s) * (1 + Math.abs(z[t]!));
    put(out.dz, t, turn * read[0]!, Math.abs(turn) * total(read) + GATE * U * turnSize * (read[1]! + total(read)));
  }
  return out;
}
