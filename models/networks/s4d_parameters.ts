/**
 * S4D's parameters as a network learns them: `ā = σ(m) · p / ‖p‖`, p a pair of numbers, so that |ā| ≤ 1 whatever they are.
 * They begin as S4D-Lin's: `ā = e^{ΔA}` with `A = −1/2 + iπn` and Δ between 0.001 and 0.1 over the channels.
 *
 * @module
 */
import type { ParameterSpec, TensorOps } from "./ops.ts";
import { parameter } from "./parameters.ts";
import type { OwnParameters } from "./layer_inputs.ts";

/** Parameters `[1, N, D]` of the model. */
export function s4dParameters({ D, N }: { readonly D: number; readonly N: number }): OwnParameters {
  const step = (c: number): number => 0.001 * 100 ** (D === 1 ? 0.5 : c / (D - 1));
  const entries = Array.from({ length: N * D }, (_, i) => ({ n: Math.floor(i / D), delta: step(i % D) }));
  const spec = (values: readonly number[], ...more: number[]): ParameterSpec => ({
    shape: [1, N, D, ...more],
    initial: { kind: "values", values },
    decay: false,
  });
  // b̄ = A⁻¹(e^{ΔA} − 1) is near Δ, and C of order 1.
  const matrices: { readonly [name: string]: ParameterSpec } = {
    bRe: spec(entries.map(({ delta }) => delta)),
    bIm: spec([0]),
    cRe: { shape: [1, N, D], initial: { kind: "normal", std: 1 }, decay: false },
    cIm: { shape: [1, N, D], initial: { kind: "normal", std: 1 }, decay: false },
  };
  return {
    parameters: {
      direction: spec(
        entries.flatMap(({ n, delta }) => [Math.cos(Math.PI * n * delta), Math.sin(Math.PI * n * delta)]),
        2,
      ),
      modulus: spec(entries.map(({ delta }) => -Math.log(Math.expm1(delta / 2)))),
      ...matrices,
      D: { shape: [1, D], initial: { kind: "ones" }, decay: false },
    },
    make<T, I>(ops: TensorOps<T, I>, p: { readonly [name: string]: T }): { readonly [input: string]: T } {
      const unit = ops.unitNorm(parameter(p, "direction"));
      const modulus = ops.map("sigmoid", parameter(p, "modulus"));
      const part = (i: 0 | 1): T => ops.mul(modulus, ops.reshape(ops.slice(unit, -1, i, i + 1), [1, N, D]));
      const plain = Object.fromEntries([...Object.keys(matrices), "D"].map((name) => [name, parameter(p, name)]));
      return { ...plain, aRe: part(0), aIm: part(1) };
    },
  };
}
