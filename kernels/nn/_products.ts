/**
 * Matrix products of a network, with their gradients.
 *
 * Forward products are invariant: a row of the result does not depend on how many rows there are, so that a token streamed
 * alone gets the very bits it gets among others. How they are computed depends on the matrix they meet, their order of
 * summation on their terms, not on the tiling. Gradients may be computed as their sizes suggest.
 */
import { InputError } from "../../models/error.ts";
import { type MatmulOptions, planMatmul } from "../matmul.ts";
import type { MatrixMode } from "../matrix_unit.ts";
import { lengthOf } from "../tensor.ts";
import { contributeRows } from "./_row_gradients.ts";
import { contributeColumns } from "./column_sums.ts";
import { type Recorder, result, step } from "./recorder.ts";
import { expectShape, rowsOf, shown } from "./shapes.ts";
import type { Slot } from "./slot.ts";
import type { Value } from "./value.ts";

/** Terms that matrix units add up at a time: fewer passes than with 256, and an error still far below that of halves. */
const CHUNK = 1024;

/** How a network's products are computed, large ones in `mode`. */
export const chosenProducts = (mode: MatrixMode | undefined): MatmulOptions => ({
  ...(mode && { large: mode }),
  ...(mode === "f16" ? {} : { chunk: CHUNK }),
});

interface Factors {
  readonly a: Slot;
  readonly b: Slot;
  readonly c: Slot;
  readonly bias?: Slot | undefined;
  /** Which of them other products may read as well: what nobody writes any more. */
  readonly shared?: readonly ("a" | "b")[];
}

function product(recorder: Recorder, { a, b, c, bias, shared = [] }: Factors, options: MatmulOptions): void {
  const { gpu, mode, operands } = recorder;
  const layouts = { a: `a ${options.transposeA ?? false}`, b: `b ${options.transposeB ?? false}` };
  const announced = shared.map((side) => ({ side, open: operands.announce({ a, b }[side].storage, layouts[side]) }));
  step(recorder, "product", [a, b, bias], [c], (at) => {
    const opened = announced.map(({ side, open }) => ({ side, ...open(at) }));
    const plan = planMatmul(gpu, {
      a: at.tensor(a),
      b: at.tensor(b),
      c: at.tensor(c),
      ...(bias && { bias: at.tensor(bias) }),
    }, {
      ...options,
      ...chosenProducts(mode),
      scratch: (bytes) => at.scratch(bytes),
      uniform: (words) => at.uniform(words),
      shared: Object.fromEntries(opened.map(({ side, shared }) => [side, shared])),
    });
    opened.forEach(({ close }) => close());
    return plan;
  });
}

export function linear(recorder: Recorder, x: Value, w: Value, bias?: Value): Value {
  const { rows: M, width: K } = rowsOf("apply a linear map", x.shape);
  const N = w.shape.at(-1) ?? 0;
  expectShape("apply a linear map", "w", w.shape, [K, N]);
  if (bias) expectShape("apply a linear map", "bias", bias.shape, [N]);
  const y = result(recorder, [...x.shape.slice(0, -1), N], [x, w, bias]);
  const [flatX, flatY] = [x.slot.view([M, K]), y.slot.view([M, N])];
  product(recorder, { a: flatX, b: w.slot, c: flatY, bias: bias?.slot, shared: ["a", "b"] }, {
    invariant: true,
  });
  recorder.tape?.record(y, (g) => {
    const flat = g.view([M, N]);
    recorder.tape!.contribute(x, (dx, accumulate) => {
      product(recorder, { a: flat, b: w.slot, c: dx.view([M, K]), shared: ["b"] }, { transposeB: true, accumulate });
    });
    contributeRows(recorder, [w, bias], { rows: M, arrays: [flatX, flat] }, ({ rows, arrays: [x, g] }) => {
      recorder.tape!.contribute(w, (dw, accumulate) => {
        product(recorder, { a: x!.view([rows, K]), b: g!.view([rows, N]), c: dw }, { transposeA: true, accumulate });
      });
      if (bias) contributeColumns(recorder, "bias", bias, { rows, inputs: [g!], value: "a_of[at]" });
    });
  });
  return y;
}

export function matmul(recorder: Recorder, a: Value, b: Value, transposeB: boolean): Value {
  if (a.shape.length < 2 || b.shape.length !== a.shape.length) {
    throw new InputError(
      `Cannot multiply: both arrays must have the same number of axes, at least 2, got ${shown(a.shape)} and ${
        shown(b.shape)
      }`,
    );
  }
  const batch = a.shape.slice(0, -2);
  const [n, d] = a.shape.slice(-2) as [number, number];
  const e = b.shape.at(transposeB ? -2 : -1)!;
  expectShape("multiply", "b", b.shape, [...batch, ...(transposeB ? [e, d] : [d, e])]);
  const y = result(recorder, [...batch, n, e], [a, b]);
  const batches = lengthOf(batch);
  const flat = (slot: Slot): Slot => slot.view([batches, ...slot.shape.slice(-2)]);
  product(recorder, { a: flat(a.slot), b: flat(b.slot), c: flat(y.slot) }, { transposeB, invariant: true });
  recorder.tape?.record(y, (g) => {
    recorder.tape!.contribute(a, (da, accumulate) => {
      product(recorder, { a: flat(g), b: flat(b.slot), c: flat(da) }, { transposeB: !transposeB, accumulate });
    });
    recorder.tape!.contribute(b, (db, accumulate) => {
      const [left, right] = transposeB ? [g, a.slot] : [a.slot, g];
      product(recorder, { a: flat(left), b: flat(right), c: flat(db) }, { transposeA: true, accumulate });
    });
  });
  return y;
}
