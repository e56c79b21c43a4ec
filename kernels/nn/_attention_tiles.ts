/** Pieces of WGSL of kernels that multiply tiles of at most 32 columns; invocation (ty, tx) of `[rows / 4, 8]` has rows 4ty … 4ty + 3. */

/** Vectors from one row of a tile to the next: one more than the eight it has, so that rows lie on other banks. */
export const STRIDE = 9;

export const four = [0, 1, 2, 3] as const;

export const each = (line: (i: number) => string): string => four.map(line).join("\n");

/** Where row `r` of a tile lies: those that invocations read at the same time side by side. */
export const slot = (r: string, rows: number): string => `(${r} % 4u * ${rows / 4}u + ${r} / 4u)`;

/** Statement: fills a tile with `value`, an expression of `r` and `c`, or 0 where `when` does not hold. */
export function loadTile(
  name: string,
  { rows, columns, threads, slot, value, when }: {
    readonly rows: number;
    readonly columns: number;
    readonly threads: number;
    readonly slot: string;
    readonly value: string;
    readonly when: string;
  },
): string {
  return /* wgsl */ `
    for (var at = lid; at < ${rows * columns}u; at += ${threads}u) {
      let r = at / ${columns}u;
      let c = at % ${columns}u;
      var value = vec4f();
      if (${when}) { value = ${value}; }
      ${name}[${slot} * ${STRIDE}u + c] = value;
    }`;
}

/** Statement: `NAME_i += row 4ty + i of left · rows 4tx … 4tx + 3 of right`, both laid out by {@linkcode slot}. */
export function scores(
  name: string,
  { left, right, rows, columns }: {
    readonly left: string;
    readonly right: string;
    readonly rows: number;
    readonly columns: number;
  },
): string {
  return /* wgsl */ `
    for (var c = 0u; c < ${columns}u; c++) {
      ${each((j) => `let b_${j} = ${right}[(${8 * j}u + tx) * ${STRIDE}u + c];`)}
      ${[..."xyzw"].map((e) => `let b_${e} = vec4f(b_0.${e}, b_1.${e}, b_2.${e}, b_3.${e});`).join("\n")}
      ${
    each((i) => /* wgsl */ `
      let a_${i} = ${left}[(${rows / 4 * i}u + ty) * ${STRIDE}u + c];
      ${[..."xyzw"].map((e) => `${name}_${i} = fma(vec4f(a_${i}.${e}), b_${e}, ${name}_${i});`).join(" ")}`)
  }
    }`;
}

/** Statement: `OUT_i += Σ_j shares[4ty + i, j] · values[j, tx]`, j in order; `also` is done with every `share_i`. */
export function multiply(
  out: string,
  { shares, values, rows }: { readonly shares: string; readonly values: string; readonly rows: number },
  also: (i: number) => string = () => "",
): string {
  return /* wgsl */ `
    for (var j = 0u; j < 8u; j++) {
      ${each((e) => `let value_${e} = ${values}[(4u * j + ${e}u) * ${STRIDE}u + tx];`)}
      ${
    each((i) => /* wgsl */ `
      let share_${i} = ${shares}[(${rows / 4 * i}u + ty) * ${STRIDE}u + j];
      ${four.map((e) => `${out}_${i} = fma(vec4f(share_${i}.${"xyzw"[e]}), value_${e}, ${out}_${i});`).join(" ")}
      ${also(i)}`)
  }
    }`;
}
