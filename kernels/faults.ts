/**
 * Faults that tests plant into the generic kernel, to show that a check would see them.
 *
 * @module
 */

/**
 * - `dropped-carry`: every chunk but the first starts from zero instead of its incoming state;
 * - `swapped-operands`: the scan over chunks combines `(later, earlier)`;
 * - `relative`: states and outputs are stored times `1 + relative` (f32 only).
 */
export type Fault = "dropped-carry" | "swapped-operands" | { readonly relative: number };

/** The factor of a relative fault as WGSL to append to an expression; empty without one. */
export function relativeFactor(fault: Fault | undefined): string {
  return typeof fault === "object" ? ` * ${Math.fround(1 + fault.relative)}f` : "";
}
