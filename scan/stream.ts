/** A scan that is fed one element at a time and keeps only what later prefixes need. */
export interface Stream<M> {
  /** Elements taken in so far. */
  readonly size: number;
  /** Takes in the next element. */
  push(x: M): void;
  /** The prefix of everything pushed, or `undefined` before the first push. */
  prefix(): M | undefined;
  /** The elements kept between calls, each once: what a memory measurement has to count. */
  held(): M[];
}
