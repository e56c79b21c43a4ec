/**
 * Operands that several products of a program read alike: matrix units have them packed, once for all of them. A weight that
 * every level of a tree meets is such an operand, and so is what goes into queries, keys and values.
 *
 * Products are announced while a program is recorded, so that when they are made ready it is known which is the last: what
 * was packed lies in the program's pool from the first to there.
 */
import type { Shared } from "../matmul.ts";
import type { Placement } from "./program.ts";
import type { Storage } from "./slot.ts";

interface Uses {
  announced: number;
  begun: number;
  readonly packed: Map<string, readonly GPUBuffer[]>;
}

/** An operand of a product that is being made ready. */
export interface OpenOperand {
  /** Undefined if no other product reads it. */
  readonly shared: Shared | undefined;
  /** To be called once the product has asked for its buffers, and before it waits. */
  close(): void;
}

export class Operands {
  readonly #uses = new Map<Storage, Map<string, Uses>>();

  /** A product that is being recorded reads an array, which nobody writes from now on, laid out in a way that has a name. */
  announce(array: Storage, layout: string): (at: Placement) => OpenOperand {
    let layouts = this.#uses.get(array);
    if (layouts === undefined) this.#uses.set(array, layouts = new Map<string, Uses>());
    let uses = layouts.get(layout);
    if (uses === undefined) layouts.set(layout, uses = { announced: 0, begun: 0, packed: new Map() });
    uses.announced++;
    return (at) => open(uses, at);
  }
}

function open(uses: Uses, at: Placement): OpenOperand {
  const { packed } = uses;
  const last = ++uses.begun === uses.announced;
  return {
    shared: uses.announced === 1 ? undefined : (key, wanted) => {
      const found = packed.get(key);
      if (found !== undefined) return { buffers: found, filled: true };
      const buffers = wanted.map(({ bytes }) => at.lasting(bytes));
      packed.set(key, buffers);
      return { buffers, filled: false };
    },
    close() {
      if (last) { for (const buffers of packed.values()) buffers.forEach((buffer) => at.release(buffer)); }
    },
  };
}
