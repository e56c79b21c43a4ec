/**
 * The operations of a network (models/networks/ops.ts) recorded as GPU kernels.
 *
 * ```ts
 * const program = new Program(gpu, "step");
 * const ops = new GpuOps(program, { training: true });
 * const head = headOf(network, ops, parameters);
 * const loss = ops.crossEntropy(network.hidden(ops, parameters, tokens), head, targets, weights);
 * ops.backward(loss);
 * const gradient = ops.gradient(parameters.tokens);
 * ```
 *
 * Every operation is recorded, nothing is computed until the program runs. All sums have a fixed order: the same inputs give
 * the same bits at every run. Forward operations are *batch invariant*: what they make of one row does not depend, in any
 * bit, on the other rows or on how many there are.
 *
 * @module
 */
import type { AnyAffineModel } from "../../models/affine.ts";
import { InputError } from "../../models/error.ts";
import type { Activation, AttentionOptions, CachedAttention, Rows, TensorOps } from "../../models/networks/ops.ts";
import type { Gpu } from "../gpu.ts";
import type { MatrixMode } from "../matrix_unit.ts";
import { attention } from "./_attention.ts";
import { attentionNext } from "./_attention_next.ts";
import { add, affine, dropout, map, mul, repeat } from "./_entries.ts";
import { crossEntropy } from "./_loss.ts";
import { Operands } from "./_operands.ts";
import { concat, embedding, reshape, slice, type Sorted, take, transpose } from "./_moves.ts";
import { norm } from "./_norms.ts";
import { linear, matmul } from "./_products.ts";
import { scan, scanFrom } from "./_scan.ts";
import type { Ids } from "./ids.ts";
import type { Program } from "./program.ts";
import type { Recorder } from "./recorder.ts";
import { expectShape } from "./shapes.ts";
import type { Slot, Storage } from "./slot.ts";
import { Tape } from "./tape.ts";
import type { Value } from "./value.ts";

export interface GpuOpsOptions {
  /** Whether gradients are wanted; default false. */
  readonly training?: boolean;
  /** Whether dropout drops; default: where gradients are wanted. */
  readonly dropout?: boolean;
  /** How matrix products that are not small are computed on matrix units, f32 elsewhere; default: `split`. */
  readonly mode?: MatrixMode;
}

export class GpuOps implements TensorOps<Value, Ids>, Recorder {
  readonly gpu: Gpu;
  readonly program: Program;
  readonly tape: Tape | undefined;
  readonly mode: MatrixMode | undefined;
  readonly operands: Operands = new Operands();
  /** Caches that are brought up to date where they lie. */
  readonly updated: Set<Storage> = new Set<Storage>();
  readonly #sorted = new Map<Ids, Sorted>();
  readonly #dropout: boolean;
  #sites = 0;

  constructor(program: Program, { training = false, dropout = training, mode }: GpuOpsOptions = {}) {
    this.gpu = program.gpu;
    this.program = program;
    this.tape = training ? new Tape(program) : undefined;
    this.mode = mode;
    this.#dropout = dropout;
  }

  /**
   * Records the gradients with respect to all tracked values. Of a number; of an array where `gradient` is given, that with
   * respect to it.
   */
  backward(loss: Value, gradient?: Value): void {
    if (this.tape === undefined) throw new InputError("Cannot go backward: operations must be recorded for training");
    if (gradient === undefined && loss.slot.length !== 1) {
      throw new InputError(`Cannot go backward: the loss must be a number, got [${loss.shape.join(", ")}]`);
    }
    if (gradient !== undefined) expectShape("go backward", "the gradient", gradient.shape, loss.shape);
    this.tape.backward(loss, gradient?.slot);
  }

  /** After {@linkcode backward}; undefined if the loss does not depend on the value. */
  gradient(value: Value): Slot | undefined {
    return this.tape?.gradient(value);
  }

  shape(x: Value): readonly number[] {
    return x.shape;
  }
  idsShape(ids: Ids): readonly number[] {
    return ids.shape;
  }
  linear(x: Value, w: Value, bias?: Value): Value {
    return linear(this, x, w, bias);
  }
  matmul(a: Value, b: Value, { transposeB = false }: { readonly transposeB?: boolean } = {}): Value {
    return matmul(this, a, b, transposeB);
  }
  add(a: Value, b: Value): Value {
    return add(this, a, b);
  }
  mul(a: Value, b: Value): Value {
    return mul(this, a, b);
  }
  affine(x: Value, factor: number, offset = 0): Value {
    return affine(this, x, factor, offset);
  }
  map(activation: Activation, x: Value): Value {
    return map(this, activation, x);
  }
  layerNorm(x: Value, gain: Value, bias?: Value, epsilon = 1e-5): Value {
    return norm(this, "layer", x, { gain, bias, epsilon });
  }
  rmsNorm(x: Value, gain: Value, epsilon = 1e-5): Value {
    return norm(this, "rms", x, { gain, epsilon });
  }
  unitNorm(x: Value, epsilon = 1e-12): Value {
    return norm(this, "unit", x, { epsilon });
  }
  attention(q: Value, k: Value, v: Value, options: AttentionOptions): Value {
    return attention(this, q, k, v, options);
  }
  attentionNext(
    { q, k, v }: { readonly q: Value; readonly k: Value; readonly v: Value },
    { keys, values }: { readonly keys: Value; readonly values: Value },
    count: Ids,
    options: AttentionOptions,
  ): CachedAttention<Value> {
    for (const { slot } of [keys, values]) this.updated.add(slot.storage);
    return attentionNext(this, { q, k, v, keys, values, count }, options);
  }
  embedding(table: Value, ids: Ids): Value {
    return embedding(this, table, ids, this.#sorted);
  }
  dropout(x: Value, rate: number): Value {
    return dropout(this, x, rate, { site: this.#sites++, drops: this.#dropout });
  }
  reshape(x: Value, shape: readonly number[]): Value {
    return reshape(this, x, shape);
  }
  transpose(x: Value): Value {
    return transpose(this, x);
  }
  slice(x: Value, axis: number, from: number, to: number): Value {
    return slice(this, x, axis, from, to);
  }
  concat(parts: readonly Value[], axis: number): Value {
    return concat(this, parts, axis);
  }
  take(sources: readonly Value[], rows: readonly Rows[]): Value {
    return take(this, sources, rows);
  }
  repeat(x: Value, count: number): Value {
    return repeat(this, x, count);
  }
  scan(model: AnyAffineModel, inputs: { readonly [name: string]: Value }): Value {
    return scan(this, model, inputs);
  }
  scanFrom(
    model: AnyAffineModel,
    inputs: { readonly [name: string]: Value },
    state?: Value,
  ): { readonly outputs: Value; readonly state: Value } {
    return scanFrom(this, model, inputs, state);
  }
  crossEntropy(x: Value, head: Value, targets: Ids, weights: Value): Value {
    return crossEntropy(this, { x, head, targets, weights });
  }
}
