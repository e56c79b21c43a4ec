/**
 * A plot as a self-contained SVG. By itself it is dark on white; a page may give its classes other colours.
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

/** How an axis is divided: powers of 2 or of 10, or evenly: from 0, or around the values alone. */
export type Division = "log2" | "log10" | "linear" | "fitted";

/** Colours of curves, in order; class `c0`, `c1` … of what is drawn in them. */
export const COLOURS: readonly string[] = [
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
];
const PATTERNS = ["", "7 4", "2 3"] as const;

const PLOT = { left: 70, top: 44, width: 560, height: 380 } as const;
/** Least width of the names; a letter takes about so much. */
const LEGEND = 250;
const LETTER = 6.6;
const LINE = 16;

/** Where values lie along an axis, from 0 to 1, and its marks. */
interface Scale {
  place(value: number): number;
  readonly marks: readonly (readonly [number, string])[];
}

/** Powers of `base` around all values: the first at or below the least, the last at or above the largest. */
function powers(values: readonly number[], base: number): Scale {
  const exponents = values.map((value) => Math.log(value) / Math.log(base));
  const low = Math.floor(Math.min(...exponents) + 1e-9);
  const high = Math.max(Math.ceil(Math.max(...exponents) - 1e-9), low + 1);
  const place = (exponent: number): number => (exponent - low) / (high - low);
  // Many powers are marked now and then.
  const every = Math.ceil((high - low + 1) / 22);
  return {
    place: (value) => place(base === 2 ? Math.log2(value) : Math.log10(value)),
    marks: Array.from({ length: Math.floor((high - low) / every) + 1 }, (_, n) => {
      const exponent = low + every * n;
      return [place(exponent), `${base}<tspan dy="-5" font-size="9">${exponent}</tspan>`];
    }),
  };
}

/** Even marks, a round distance apart, around all values. */
function even(values: readonly number[]): Scale {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const rough = (most - least || 1) / 6;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = unit * ([1, 2, 5, 10].find((factor) => factor * unit >= rough) ?? 10);
  const low = Math.floor(least / step + 1e-9);
  const high = Math.max(Math.ceil(most / step - 1e-9), low + 1);
  return {
    place: (value) => (value / step - low) / (high - low),
    marks: Array.from({ length: high - low + 1 }, (_, n) => [
      n / (high - low),
      `${Number(((low + n) * step).toPrecision(6))}`,
    ]),
  };
}

function scaleOf(values: readonly number[], division: Division): Scale {
  if (division === "linear") return even([0, ...values]);
  if (division === "fitted") return even(values.length === 0 ? [0] : values);
  return powers(values.length === 0 ? [1] : values, division === "log2" ? 2 : 10);
}

/** A text inside SVG or HTML. */
export const escaped = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

/** Curves over log₂ x and log₁₀ y; points whose y is not a positive finite number are left out. */
export function logPlot(text: PlotText, given: readonly Curve[]): string {
  return plot(text, given, { x: "log2", y: "log10" });
}

/** Curves; points that an axis has no place for are left out. */
export function plot(
  text: PlotText,
  given: readonly Curve[],
  axes: { readonly x: Division; readonly y: Division },
): string {
  const fits = (value: number, division: Division): boolean =>
    Number.isFinite(value) && (division === "linear" || division === "fitted" || value > 0);
  const curves = given.map((curve) => ({
    ...curve,
    points: curve.points.filter(([x, y]) => fits(x, axes.x) && fits(y, axes.y)),
  })).filter(({ points }) => points.length > 0);
  const named = curves.filter(({ faint }) => faint !== true);
  const all = curves.flatMap(({ points }) => points);
  const [xs, ys] = [scaleOf(all.map(([x]) => x), axes.x), scaleOf(all.map(([, y]) => y), axes.y)];
  const x = (share: number): string => (PLOT.left + PLOT.width * share).toFixed(1);
  const y = (share: number): string => (PLOT.top + PLOT.height * (1 - share)).toFixed(1);
  const bottom = PLOT.top + PLOT.height;
  const right = PLOT.left + PLOT.width;
  const legendWidth = Math.ceil(Math.max(LEGEND, ...named.map(({ name }) => 60 + LETTER * name.length)));
  const height = Math.max(bottom + 60, PLOT.top + LINE * named.length + 20);
  const grid = [
    ...xs.marks.map(([at, label]) =>
      `<line x1="${x(at)}" y1="${PLOT.top}" x2="${x(at)}" y2="${bottom}"/>` +
      `<text x="${x(at)}" y="${bottom + 18}" text-anchor="middle">${label}</text>`
    ),
    ...ys.marks.map(([at, label]) =>
      `<line x1="${PLOT.left}" y1="${y(at)}" x2="${right}" y2="${y(at)}"/>` +
      `<text x="${PLOT.left - 8}" y="${Number(y(at)) + 4}" text-anchor="end">${label}</text>`
    ),
  ];
  const ink = ({ colour, faint }: Curve): string =>
    `class="c${colour % COLOURS.length}" stroke="${COLOURS[colour % COLOURS.length]}"` +
    (faint === true ? ' stroke-opacity="0.35"' : "");
  const stroke = (curve: Curve): string => {
    const dashes = PATTERNS[curve.pattern % PATTERNS.length]!;
    return `${ink(curve)}${dashes === "" ? "" : ` stroke-dasharray="${dashes}"`}`;
  };
  const lines = curves.map((curve) => {
    const at = curve.points.map(([px, py]) => [x(xs.place(px)), y(ys.place(py))] as const);
    // A line of one point would not be seen.
    const dots = at.length > 12 || curve.faint === true
      ? ""
      : at.map(([px, py]) => `<circle cx="${px}" cy="${py}" r="2.5" ${ink(curve)}/>`);
    const title = `<title>${escaped(curve.name)}</title>`;
    const path = at.map((point) => point.join(",")).join(" ");
    return `<polyline points="${path}" ${stroke(curve)}>${title}</polyline>${dots === "" ? "" : dots.join("")}`;
  });
  const legend = named.map((curve, n) => {
    const at = PLOT.top + LINE * n + 6;
    return `<line x1="${right + 16}" y1="${at}" x2="${right + 44}" y2="${at}" ${stroke(curve)} stroke-width="1.8"/>` +
      `<text x="${right + 50}" y="${at + 4}">${escaped(curve.name)}</text>`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${
      right + legendWidth
    } ${height}" font-family="sans-serif" font-size="12">`,
    `<rect class="ground" width="100%" height="100%" fill="#fff"/>`,
    `<text x="${PLOT.left}" y="24" font-size="15">${escaped(text.title)}</text>`,
    `<g class="grid" stroke="#ddd">${
      grid.join("").replaceAll("<text ", '<text class="mark" stroke="none" fill="#333" ')
    }</g>`,
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
