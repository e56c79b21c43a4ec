/**
 * Pieces of WGSL of kernels that multiply tiles: invocation (ty, tx) of `[rows / 4, 8]` has rows 4ty … 4ty + 3 and, of every 32
 * numbers of a head, the four from 4tx on.
 */

/** Vectors from one row of a tile to the next: one more than the eight it has, so that rows lie on other banks. */
export const STRIDE = 9;

export const four = [0, 1, 2, 3] as const;

/**
 * Variables that there are several of, and what is done with each of them: in registers, every statement written out; or in arrays
 * and loops, which a software adapter compiles in a third of the time, if it cannot unroll them: their ends are multiplied
 * by {@linkcode ONCE}.
 */
export interface Several {
  /** The end of a loop of so many turns. */
  end(count: number): string;
  /** Statement: declares `NAME`, `count` of them (default 4). */
  declare(name: string, type: string, initial: string, count?: number): string;
  /** The i-th of a name. */
  of(name: string, i: string): string;
  /** Statements for i = 0 … count − 1. */
  each(line: (i: string) => string, count?: number): string;
}

/** A 1 that is read at run time. */
const ONCE = "extent[1].w";

const plain: Several = {
  end: (count) => `${count}u`,
  declare: (name, type, initial, count = 4) =>
    Array.from({ length: count }, (_, i) => `var ${name}_${i}: ${type} = ${initial};`).join(" "),
  of: (name, i) => `${name}_${Number.parseInt(i)}`,
  each: (line, count = 4) => Array.from({ length: count }, (_, i) => `{ ${line(`${i}u`)} }`).join("\n"),
};

const rolled = (variable: string): Several => ({
  end: (count) => `${count}u * ${ONCE}`,
  declare: (name, type, initial, count = 4) =>
    `var ${name}: array<${type}, ${count}>; for (var e = 0u; e < ${count}u; e++) { ${name}[e] = ${initial}; }`,
  of: (name, i) => `${name}[${i}]`,
  each: (line, count = 4) =>
    `for (var ${variable} = 0u; ${variable} < ${count}u * ${ONCE}; ${variable}++) { ${line(variable)} }`,
});

/** Rows of an invocation, and blocks of 32 numbers of a head's width. */
export interface Unrolling {
  readonly rows: Several;
  readonly chunks: Several;
  /** The name of the sums of a row in a block, for {@linkcode Several.of}. */
  place(chunk: string, i: string): string;
}

export function unrolling(unrolled: boolean): Unrolling {
  return {
    rows: unrolled ? plain : rolled("i"),
    chunks: unrolled ? plain : rolled("chunk"),
    place: (chunk, i) => unrolled ? `${4 * Number.parseInt(chunk) + Number.parseInt(i)}u` : `4u * ${chunk} + ${i}`,
  };
}

/** Where row `r` of a tile lies: those that invocations read at the same time side by side. */
export const slot = (r: string, rows: number): string => `(${r} % 4u * ${rows / 4}u + ${r} / 4u)`;

/** Statement: fills a tile of `rows × 8` vectors with `value`, an expression of `r` and `c`, or 0 where `when` does not hold. */
export function loadTile(
  name: string,
  { rows, threads, slot, value, when }: {
    readonly rows: number;
    readonly threads: number;
    readonly slot: string;
    readonly value: string;
    readonly when: string;
  },
): string {
  return /* wgsl */ `
    for (var at = lid; at < ${8 * rows}u; at += ${threads}u) {
      let r = at / 8u;
      let c = at % 8u;
      var value = vec4f();
      if (${when}) { value = ${value}; }
      ${name}[${slot} * ${STRIDE}u + c] = value;
    }`;
}

/** Statement: `NAME_i += row 4ty + i of left · rows 4tx … 4tx + 3 of right`, both laid out by {@linkcode slot}, over `columns` vectors. */
export function addScores(
  { each, of }: Several,
  name: string,
  { left, right, rows, columns }: {
    readonly left: string;
    readonly right: string;
    readonly rows: number;
    readonly columns: string;
  },
): string {
  return /* wgsl */ `
    for (var c = 0u; c < ${columns}; c++) {
      ${four.map((j) => `let b_${j} = ${right}[(${8 * j}u + tx) * ${STRIDE}u + c];`).join("\n")}
      ${[..."xyzw"].map((e) => `let b_${e} = vec4f(b_0.${e}, b_1.${e}, b_2.${e}, b_3.${e});`).join("\n")}
      ${
    each((i) => /* wgsl */ `
      let a = ${left}[(${rows / 4}u * ${i} + ty) * ${STRIDE}u + c];
      var sum = ${of(name, i)};
      ${[..."xyzw"].map((e) => `sum = fma(vec4f(a.${e}), b_${e}, sum);`).join(" ")}
      ${of(name, i)} = sum;`)
  }
    }`;
}

/** Statement: `OUT += Σ_j shares[4ty + i, j] · values[j, tx]`, j = 0 … 31 in order; `also` is done with every vector `share`. */
export function addRows(
  { each, end }: Several,
  out: (i: string) => string,
  { shares, values, rows }: { readonly shares: string; readonly values: string; readonly rows: number },
  also: (i: string) => string = () => "",
): string {
  return /* wgsl */ `
    for (var j = 0u; j < ${end(8)}; j++) {
      ${four.map((e) => `let value_${e} = ${values}[(4u * j + ${e}u) * ${STRIDE}u + tx];`).join("\n")}
      ${
    each((i) => /* wgsl */ `
      let share = ${shares}[(${rows / 4}u * ${i} + ty) * ${STRIDE}u + j];
      var sum = ${out(i)};
      ${four.map((e) => `sum = fma(vec4f(share.${"xyzw"[e]}), value_${e}, sum);`).join(" ")}
      ${out(i)} = sum;
      ${also(i)}`)
  }
    }`;
}
