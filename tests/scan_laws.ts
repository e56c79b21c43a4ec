/**
 * The laws of scan/. A law takes a schedule and returns a description of the first
 * place where it fails, or `undefined`: so that controls can assert that a planted fault turns it red.
 */
import { foldInclusive, type Schedule } from "../scan/mod.ts";
import { type Algebra, elements } from "./scan_algebras.ts";
import { leaves, referenceTerms, TERMS, termText } from "./scan_terms.ts";

export type Law = (schedule: Schedule) => string | undefined;

/** Every schedule of the counter's kind builds the static tree's terms, for every length in `lengths`. */
export function sameTree(lengths: Iterable<number>): Law {
  return (schedule) => {
    for (const n of lengths) {
      const want = referenceTerms(n).slice(1);
      const got = schedule.inclusive(TERMS, leaves(n));
      if (got.length !== n) return `${schedule.name}, length ${n}: ${got.length} prefixes`;
      const bad = got.findIndex((term, i) => term !== want[i]);
      if (bad >= 0) {
        return `${schedule.name}, length ${n}, index ${bad}: got ${termText(got[bad])}, want ${termText(want[bad])}`;
      }
    }
    return undefined;
  };
}

export function equalsFold<M>(algebra: Algebra<M>, lengths: Iterable<number>): Law {
  return (schedule) => {
    for (const n of lengths) {
      const xs = elements(algebra, n);
      const want = foldInclusive(algebra.op, xs).map(algebra.text);
      const got = schedule.inclusive(algebra.op, xs).map(algebra.text);
      if (got.length !== n) return `${schedule.name}, ${algebra.name}, length ${n}: ${got.length} prefixes`;
      const bad = got.findIndex((x, i) => x !== want[i]);
      if (bad >= 0) return `${schedule.name}, ${algebra.name}, length ${n}, index ${bad}: ${got[bad]} ≠ ${want[bad]}`;
    }
    return undefined;
  };
}
