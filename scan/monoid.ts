/**
 * What is scanned. The meaning of every schedule in this folder is three sequential lines:
 *
 * ```
 * state = nothing
 * for each x: state = state is nothing ? x : combine(state, x)
 *             emit state
 * ```
 *
 * and the law that lets a schedule group the combines differently is associativity:
 * `combine(combine(a, b), c) = combine(a, combine(b, c))`. Order is never changed, so no schedule asks for
 * `combine(a, b) = combine(b, a)`.
 *
 * @module
 */

/**
 * A binary operation on elements of type `M`, its operands in order of time.
 *
 * - The identity is a flag held by the schedule ("nothing yet", shown to callers as `undefined`), never an element:
 *   `combine` is not called with one, and an aggregator without an identity, such as a neural network, needs none.
 * - Operands are shared between the nodes of a tree and must not be changed; return a fresh element.
 * - The operation may break the associative law. Then the parenthesisation is part of the model: the static tree
 *   (`blelloch`) and the online counter (`counter`) still agree exactly, because they build the same tree, while
 *   `sequential` and `chunked` compute something else.
 */
export interface Operator<M> {
  /** Joins two neighbouring spans of the sequence; `earlier` ends where `later` begins. */
  combine(earlier: M, later: M): M;
  /**
   * Joins many independent pairs in one call: result `i` equals `combine(earlier[i], later[i])`. Optional; the static
   * tree calls it once per level, so that an aggregator on an accelerator is launched 2·log2 n times, not 2n times.
   */
  combineLevel?(earlier: readonly M[], later: readonly M[]): M[];
}

/** Three elements on which the associative law fails, with both sides of it (their distance is the associator). */
export interface AssociativityViolation<M> {
  readonly a: M;
  readonly b: M;
  readonly c: M;
  /** `combine(combine(a, b), c)` */
  readonly leftFirst: M;
  /** `combine(a, combine(b, c))` */
  readonly rightFirst: M;
}

/**
 * Tries the associative law on every ordered triple of `samples` and returns the first that breaks it (in the order of
 * the samples, last operand fastest), or `undefined` when all k³ triples hold. A sample check, not a proof.
 *
 * `equals` defaults to `Object.is`, which calls any two fresh objects different: give one for structured elements.
 */
export function checkAssociativity<M>(
  op: Operator<M>,
  samples: readonly M[],
  equals: (x: M, y: M) => boolean = Object.is,
): AssociativityViolation<M> | undefined {
  for (const a of samples) {
    for (const b of samples) {
      const ab = op.combine(a, b);
      for (const c of samples) {
        const leftFirst = op.combine(ab, c);
        const rightFirst = op.combine(a, op.combine(b, c));
        if (!equals(leftFirst, rightFirst)) return { a, b, c, leftFirst, rightFirst };
      }
    }
  }
  return undefined;
}
