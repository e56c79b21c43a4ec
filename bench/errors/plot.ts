/**
 * A plot with logarithmic axes as a self-contained SVG.
 *
 * @module
 */

/** One line of a plot. */
export interface Curve {
  readonly name: string;
  readonly points: readonly (readonly [number, number])[];
  /** Which colour, and which pattern: curves of one model have one colour, of one class of inputs one pattern. */
  readonly colour: number;
  readonly pattern: number;
  /** Drawn lightly, and not in the legend; default false. */
  readonly faint?: boolean;
}

/** What a plot says. */
export interface PlotText {
  readonly title: string;
  readonly x: string;
  readonly y: string;
}

const COLOURS = [
  "#0072b2",
  "#d55e00",
  "#009e73",
  "#cc79a7",
  "#e69f00",
  "#56b4e9",
  "#7f3c8d",
  "#a5aa00",
  "#b0003a",
  "#3d3d3d",
  "#11a579",
  "#80532d",
] as const;
const PATTERNS = ["", "7 4", "2 3"] as const;

const PLOT = { left: 70, top: 44, width: 560, height: 380 } as const;
const LEGEND = 310;
const LINE = 16;

/** Powers of `base` around all values: the first at or below the least, the last at or above the largest. */
function decades(values: readonly number[], base: number): readonly number[] {
  const exponents = values.map((value) => Math.log(value) / Math.log(base));
  const low = Math.floor(Math.min(...exponents) + 1e-9);
  const high = Math.max(Math.ceil(Math.max(...exponents) - 1e-9), low + 1);
  return Array.from({ length: high - low + 1 }, (_, n) => low + n);
}

const escaped = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

/** Curves over log₂ x and log₁₀ y; points whose y is not a positive finite number are left out. */
export function logPlot(text: PlotText, given: readonly Curve[]): string {
  const curves = given.map((curve) => ({
    ...curve,
    points: curve.points.filter(([x, y]) => x > 0 && y > 0 && Number.isFinite(y)),
  })).filter(({ points }) => points.length > 0);
  const all = curves.flatMap(({ points }) => points);
  const xs = decades(all.length === 0 ? [1] : all.map(([x]) => x), 2);
  const ys = decades(all.length === 0 ? [1] : all.map(([, y]) => y), 10);
  const along = (marks: readonly number[], exponent: number): number =>
    (exponent - marks[0]!) / (marks.at(-1)! - marks[0]!);
  const x = (exponent: number): string => (PLOT.left + PLOT.width * along(xs, exponent)).toFixed(1);
  const y = (exponent: number): string => (PLOT.top + PLOT.height * (1 - along(ys, exponent))).toFixed(1);
  const bottom = PLOT.top + PLOT.height;
  const right = PLOT.left + PLOT.width;
  const height = Math.max(bottom + 60, PLOT.top + LINE * curves.filter(({ faint }) => faint !== true).length + 20);
  const grid = [
    ...xs.map((n) =>
      `<line x1="${x(n)}" y1="${PLOT.top}" x2="${x(n)}" y2="${bottom}"/>` +
      `<text x="${x(n)}" y="${bottom + 18}" text-anchor="middle">2<tspan dy="-5" font-size="9">${n}</tspan></text>`
    ),
    ...ys.map((n) =>
      `<line x1="${PLOT.left}" y1="${y(n)}" x2="${right}" y2="${y(n)}"/>` +
      `<text x="${PLOT.left - 8}" y="${
        Number(y(n)) + 4
      }" text-anchor="end">10<tspan dy="-5" font-size="9">${n}</tspan></text>`
    ),
  ];
  const named = curves.filter(({ faint }) => faint !== true);
  const stroke = ({ colour, pattern, faint }: Curve): string => {
    const dashes = PATTERNS[pattern % PATTERNS.length]!;
    return `stroke="${COLOURS[colour % COLOURS.length]}"${dashes === "" ? "" : ` stroke-dasharray="${dashes}"`}${
      faint === true ? ' stroke-opacity="0.35"' : ""
    }`;
  };
  const lines = curves.map((curve) => {
    const path = curve.points.map(([px, py]) => `${x(Math.log2(px))},${y(Math.log10(py))}`).join(" ");
    return `<polyline points="${path}" ${stroke(curve)}><title>${escaped(curve.name)}</title></polyline>`;
  });
  const legend = named.map((curve, n) => {
    const at = PLOT.top + LINE * n + 6;
    return `<line x1="${right + 16}" y1="${at}" x2="${right + 44}" y2="${at}" ${stroke(curve)} stroke-width="1.8"/>` +
      `<text x="${right + 50}" y="${at + 4}">${escaped(curve.name)}</text>`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${
      right + LEGEND
    } ${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="100%" height="100%" fill="#fff"/>`,
    `<text x="${PLOT.left}" y="24" font-size="15">${escaped(text.title)}</text>`,
    `<g stroke="#ddd">${grid.join("").replaceAll("<text ", '<text stroke="none" fill="#333" ')}</g>`,
    `<text x="${(PLOT.left + right) / 2}" y="${bottom + 42}" text-anchor="middle">${escaped(text.x)}</text>`,
    `<text transform="translate(18 ${(PLOT.top + bottom) / 2}) rotate(-90)" text-anchor="middle">${
      escaped(text.y)
    }</text>`,
    `<g fill="none" stroke-width="1.8">${lines.join("\n")}</g>`,
    ...legend,
    "</svg>",
    "",
  ].join("\n");
}
