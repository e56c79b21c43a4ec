/**
 * A part of a report: a plot, and below it the numbers.
 *
 * @module
 */
import { type Curve, type Division, plot } from "../plot.ts";

/** Numbers are shown as they are; texts as they are. */
export interface Table {
  readonly head: readonly string[];
  readonly rows: readonly (readonly (string | number)[])[];
}

export interface Section {
  readonly title: string;
  /** SVG; absent where a table says all. */
  readonly plot?: string;
  readonly table: Table;
}

/** A curve before it has a colour: curves of one `hue` share one. */
export interface NamedCurve {
  readonly name: string;
  readonly hue: string;
  readonly points: readonly (readonly [number, number])[];
}

/** A section with a plot of curves. */
export function plotted(
  title: string,
  axes: { readonly x: string; readonly y: string; readonly along: Division; readonly up: Division },
  named: readonly NamedCurve[],
  table: Table,
): Section {
  const hues = [...new Set(named.map(({ hue }) => hue))];
  const curves = named.map(({ name, hue, points }): Curve => ({
    name,
    points,
    colour: hues.indexOf(hue),
    pattern: named.filter((curve) => curve.hue === hue).findIndex((curve) => curve.name === name),
  }));
  return { title, plot: plot({ title: "", x: axes.x, y: axes.y }, curves, { x: axes.along, y: axes.up }), table };
}
