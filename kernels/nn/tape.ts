/**
 * Reverse mode over a program: while a network is recorded, every operation leaves a function that records its gradient;
 * {@linkcode Tape.backward} calls them in reverse.
 *
 * A value used several times gets several gradients: the first is written, later ones are added to it in place, unless the
 * array is at that time another value's gradient as well (a sum hands its own on to both of its terms without a copy).
 */
import { recordEach } from "./each.ts";
import type { Program } from "./program.ts";
import type { Slot, Storage } from "./slot.ts";
import type { Value } from "./value.ts";

/** Where a step writes a gradient. */
export interface Target {
  readonly slot: Slot;
  /** Whether it is to be added to what is there. */
  readonly accumulate: boolean;
}

export type Targets = { readonly [name: string]: Target };

interface Entry {
  readonly result: Value;
  readonly pull: (gradient: Slot) => void;
}

/** Arrays of so many rows, `[rows, width]` each, whatever their shapes are. */
export interface RowArrays {
  readonly rows: number;
  readonly arrays: readonly Slot[];
}

interface Waiting {
  readonly values: readonly (Value | undefined)[];
  readonly parts: RowArrays[];
  readonly finish: (parts: readonly RowArrays[]) => void;
}

export class Tape {
  readonly #program: Program;
  readonly #entries: Entry[] = [];
  readonly #gradients = new Map<Value, Slot>();
  /** How many values have an array as their gradient. */
  readonly #holders = new Map<Storage, number>();
  readonly #waiting: Waiting[] = [];

  constructor(program: Program) {
    this.#program = program;
  }

  /** Leaves a function that, given the gradient with respect to the result, contributes those of what it was made of. */
  record(result: Value, pull: (gradient: Slot) => void): void {
    if (result.tracked) this.#entries.push({ result, pull });
  }

  /**
   * Records the gradient with respect to all tracked values that the result depends on, from that with respect to the
   * result; default: ones.
   */
  backward(result: Value, given?: Slot): void {
    const gradient = given ?? this.#program.slot(result.shape);
    if (!given) recordEach(this.#program, "ones", { inputs: [], output: gradient, value: "p", constants: [1] });
    this.pass(result, gradient);
    // A given array is its giver's: another holder keeps it from being added to.
    if (given) this.#holders.set(given.storage, 2);
    for (const { result, pull } of this.#entries.reverse()) {
      const gradient = this.#gradients.get(result);
      if (gradient === undefined) continue;
      pull(gradient);
      this.#drop(result, gradient);
    }
    this.#entries.length = 0;
    for (const { parts, finish } of this.#waiting.splice(0)) {
      finish(parts);
      this.#keep(parts, -1);
    }
  }

  /** Keeps a part of the gradients of parameters until all parts are there, which the first call's `finish` then gets. */
  later(values: readonly (Value | undefined)[], part: RowArrays, finish: (parts: readonly RowArrays[]) => void): void {
    const same = (other: readonly (Value | undefined)[]): boolean =>
      other.length === values.length && other.every((value, i) => value === values[i]);
    const waiting = this.#waiting.find(({ values }) => same(values));
    if (waiting === undefined) this.#waiting.push({ values, parts: [part], finish });
    else waiting.parts.push(part);
    this.#keep([part], 1);
  }

  /** What {@linkcode backward} found for a parameter or an input; undefined if the loss does not depend on it. */
  gradient(value: Value): Slot | undefined {
    return this.#gradients.get(value);
  }

  /** A gradient that `write` records into an array: to be replaced, or added to. */
  contribute(value: Value, write: (target: Slot, accumulate: boolean) => void): void {
    if (!value.tracked) return;
    const current = this.#gradients.get(value);
    if (current === undefined) {
      const target = this.#program.slot(value.shape);
      this.#hold(value, target);
      return write(target, false);
    }
    if (this.#holders.get(current.storage) === 1) return write(current, true);
    const target = this.#program.slot(value.shape);
    recordEach(this.#program, "unshare gradient", { inputs: [current], output: target, value: "a" });
    this.#drop(value, current);
    this.#hold(value, target);
    write(target, true);
  }

  /**
   * Gradients of several values that one step writes; of tracked ones only. A value that occurs twice gets an array for each
   * occurrence, summed afterwards.
   */
  contributeAll(values: { readonly [name: string]: Value }, write: (targets: Targets) => void): void {
    const targets: { [name: string]: Target } = {};
    const extra: (readonly [Value, Slot])[] = [];
    const seen = new Set<Value>();
    for (const [name, value] of Object.entries(values)) {
      if (!value.tracked) continue;
      if (seen.has(value)) {
        const slot = this.#program.slot(value.shape);
        extra.push([value, slot]);
        targets[name] = { slot, accumulate: false };
      } else this.contribute(value, (slot, accumulate) => targets[name] = { slot, accumulate });
      seen.add(value);
    }
    if (seen.size === 0) return;
    write(targets);
    for (const [value, slot] of extra) this.pass(value, slot);
  }

  /** A gradient that is an array as it is. */
  pass(value: Value, gradient: Slot): void {
    if (!value.tracked) return;
    const current = this.#gradients.get(value);
    if (current === undefined) return this.#hold(value, gradient.view(value.shape));
    if (this.#holders.get(current.storage) === 1) {
      return recordEach(this.#program, "add to gradient", {
        inputs: [gradient],
        output: current,
        value: "a",
        accumulate: true,
      });
    }
    const target = this.#program.slot(value.shape);
    recordEach(this.#program, "sum of gradients", { inputs: [current, gradient], output: target, value: "a + b" });
    this.#drop(value, current);
    this.#hold(value, target);
  }

  #hold(value: Value, gradient: Slot): void {
    this.#gradients.set(value, gradient);
    this.#holders.set(gradient.storage, (this.#holders.get(gradient.storage) ?? 0) + 1);
  }

  /** Holders of gradients that are parts: while they wait, nothing may be added to them. */
  #keep(parts: readonly RowArrays[], holders: 1 | -1): void {
    for (const { storage } of parts.flatMap(({ arrays }) => arrays)) {
      const others = this.#holders.get(storage);
      if (others !== undefined) this.#holders.set(storage, others + holders);
    }
  }

  #drop(value: Value, { storage }: Slot): void {
    this.#gradients.delete(value);
    this.#holders.set(storage, this.#holders.get(storage)! - 1);
  }
}
