/**
 * The bonus of a walk that reads a state before its token is added: `o_t = z_tᵀ (S_{t−1} + diag(u) x_t y_tᵀ)`.
 *
 * The bonus is b y, with one number b = Σ_r (x_r u_r) z_r a token. An invocation that stages x and z has the same four rows of
 * both in registers, and of u the same in every block: it keeps their share of b beside them, once for all columns. At the token
 * an invocation of the group reads as many shares as it has fours of rows, whichever they are: outputs are added up over the group
 * anyway. With 8 rows of 4 columns these are two reads, an addition and four multiply-adds, beside the 96 products and multiply-adds
 * of a token with a decay a row; 20 it would be from x, u and z of the invocation's own rows.
 *
 * *Error.* Of R rows a share of the state meets its product with z, R − 1 additions and the one of the bonus: R + 1 roundings. The bonus
 * meets three products, R − 1 additions and one to the state's share: R + 3. A model's own read-out, Σ z (S + u (x y)), allows as
 * much: an addition is charged twice there (oracle/ball.ts), which makes R + 2 and R + 4.
 *
 * *Range.* b comes before y: |x u z| must be below 2^127 / R where y is small, and counts as zero below 2^−126 however large y is.
 */
import type { Tile } from "../delta/tile.ts";
import type { Binding } from "../wgsl.ts";

/** WGSL of a bonus. */
export interface Bonus {
  readonly binding: Binding;
  /** For module scope: the sums of fours, and a read of the parameter. */
  readonly functions: string;
  /** Statements before the first token. */
  readonly start: string;
  /** Statements beside what is kept of x, and after it of z: `beside` in _staging.ts. */
  readonly beside: { readonly [name in "x" | "z"]: (kept: string, unit: number, at: string) => string };
  /** b of the invocation, of token `i + token` of the block. */
  sum(token: number): string;
}

/** Of the parameter `in_u` `[H, K]`. */
export function bonusText(K: number, { rows, group, threads, block }: Tile): Bonus {
  const perToken = rows * group / 4;
  const units = Array.from({ length: Math.ceil(block * perToken / threads) }, (_, n) => n);
  const firstRow = (n: number): number => n * threads % perToken;
  /** The first unit whose rows are those of unit n. */
  const alike = (n: number): number => units.findIndex((other) => firstRow(other) === firstRow(n));
  return {
    binding: { name: "in_u", access: "read", type: "array<f32>" },
    functions: /* wgsl */ `
var<workgroup> s_bonus: array<f32, ${2 * block * perToken}>;
fn load_u(four: u32) -> vec4f {
  var u = vec4f();
  for (var c = 0u; c < 4u; c++) {
    if (4u * four + c < ${K}u) { u[c] = in_u[head * ${K}u + 4u * four + c]; }
  }
  return u;
}`,
    start: units.map((n) =>
      `var own${n} = vec4f();${alike(n) === n ? ` let u${n} = load_u((lid + ${firstRow(n)}u) % ${perToken}u);` : ""}`
    ).join("\n"),
    beside: {
      x: (kept, unit) => `own${unit} = ${kept} * u${alike(unit)};`,
      z: (kept, unit, at) => `s_bonus[${at}] = dot(own${unit}, ${kept});`,
    },
    sum(token) {
      const first = `(half * ${block}u + i + ${token}u) * ${perToken}u + lane * ${rows / 4}u`;
      return Array.from({ length: rows / 4 }, (_, four) => `s_bonus[${first} + ${four}u]`).join(" + ");
    },
  };
}
