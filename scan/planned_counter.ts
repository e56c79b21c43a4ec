/**
 * The online counter over combines that take time (a network on a device). It is {@linkcode Counter} itself, run over
 * handles: what it combines is written down as a plan, and the plan is then carried out in its order.
 *
 * @module
 */
import { Counter, type CounterState } from "./counter.ts";

/** A binary operation whose result comes later. */
export interface AsyncOperator<M> {
  /** Joins two neighbouring spans, the earlier first; changes neither. */
  combine(earlier: M, later: M): Promise<M>;
  /** Called once for every element that the counter took in or made and keeps no longer. */
  release?(x: M): void;
}

/** An element, or the promise of one: empty until its combine has been carried out. */
interface Handle<M> {
  value?: M;
}

interface Planned<M> {
  readonly earlier: Handle<M>;
  readonly later: Handle<M>;
  readonly result: Handle<M>;
}

/** The counter with cached folds, over an {@link AsyncOperator}. One call at a time: the next after the last has settled. */
export class PlannedCounter<M> {
  readonly #op: AsyncOperator<M>;
  readonly #counter: Counter<Handle<M>>;
  #plan: Planned<M>[] = [];
  #busy = false;

  constructor(op: AsyncOperator<M>) {
    this.#op = op;
    this.#counter = new Counter<Handle<M>>({
      combine: (earlier, later) => {
        const result: Handle<M> = {};
        this.#plan.push({ earlier, later, result });
        return result;
      },
    });
  }

  /** Elements taken in so far. */
  get size(): number {
    return this.#counter.size;
  }

  /** Takes in the next element. Where a combine fails the counter is as it was, and the element still the caller's. */
  async push(x: M): Promise<void> {
    const taken: Handle<M> = { value: x };
    await this.#run(() => this.#counter.push(taken), [taken]);
  }

  /** The prefix of all elements so far, or `undefined` before the first. It is the counter's, until the next push. */
  async prefix(): Promise<M | undefined> {
    return (await this.#run(() => this.#counter.prefix()))?.value;
  }

  /** All elements kept, each once. */
  held(): M[] {
    return this.#counter.held().map((handle) => handle.value as M);
  }

  /** The state as of now: the counter's own elements, so copy what must outlive the next push. */
  save(): CounterState<M> {
    const { count, roots, folds = [] } = this.#counter.save();
    return {
      count,
      roots: roots.map(({ level, value }) => ({ level, value: value.value as M })),
      folds: folds.map((handle) => handle.value as M),
    };
  }

  /**
   * Continues from a saved state, whose elements are the counter's from here on; its own are released. The first fold must
   * be the first root itself.
   *
   * @throws {RangeError} as {@linkcode Counter.restore} does; the counter is then unchanged.
   */
  restore({ count, roots, folds = [] }: CounterState<M>): void {
    if (folds.length > 0 && folds[0] !== roots[0]?.value) {
      throw new RangeError("Cannot restore counter: the first fold must be the first root, got another element");
    }
    const before = this.held();
    this.#counter.restore({
      count,
      roots: roots.map(({ level, value }) => ({ level, value: { value } })),
      folds: folds.map((value) => ({ value })),
    });
    for (const x of before) this.#op.release?.(x);
  }

  async #run<R>(act: () => R, taken: readonly Handle<M>[] = []): Promise<R> {
    if (this.#busy) throw new RangeError("Cannot use counter: its last call must have settled, got another at once");
    this.#busy = true;
    const state = this.#counter.save();
    const before = this.#counter.held();
    const made: Handle<M>[] = [];
    try {
      const result = act();
      for (const { earlier, later, result: handle } of this.#plan) {
        handle.value = await this.#op.combine(earlier.value as M, later.value as M);
        made.push(handle);
      }
      this.#release([...before, ...taken, ...made]);
      return result;
    } catch (error) {
      this.#counter.restore(state);
      this.#release(made);
      throw error;
    } finally {
      this.#plan = [];
      this.#busy = false;
    }
  }

  /** Releases those of the handles that the counter does not keep. */
  #release(handles: readonly Handle<M>[]): void {
    const kept = new Set(this.#counter.held());
    for (const handle of handles) if (!kept.has(handle)) this.#op.release?.(handle.value as M);
  }
}
