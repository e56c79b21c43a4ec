/**
 * Rows of a prefix-scannable model: both its drivers against its definition, run token by token with the tree written
 * out; causality inside a chunk; resumption; what a stream holds; and the controls of these.
 *
 * @module
 */
import { parallel, type Psm, type PsmState, stream } from "../../models/psm.ts";
import { type CounterMode, meter, type Operator } from "../../scan/mod.ts";
import type { Row } from "../report.ts";
import { definedPrefixes } from "../tree.ts";

/** What to check a model on. */
export interface PsmContext<C, M, Y> {
  readonly psm: Psm<C, M, Y>;
  /** Numbers of tokens, ascending, without repeats. */
  readonly lengths: readonly number[];
  readonly seed: number;
  /** As many tokens as are asked for: those of a shorter sequence first. */
  readonly tokens: (n: number) => readonly C[];
  readonly same: (x: Y, y: Y) => boolean;
}

const MODES: readonly CounterMode[] = ["cached", "refolding"];

function rowOf<C, M, Y>(
  { psm: { name }, seed }: PsmContext<C, M, Y>,
  row: Pick<Row, "check" | "execution" | "length" | "ok"> & Partial<Row>,
): Row {
  return {
    model: name,
    inputs: "tokens",
    seed,
    maxUlp: row.ok && row.check !== "control" ? 0 : null,
    bound: row.check === "control" ? null : 0,
    ratio: null,
    liveElements: null,
    combines: null,
    depth: null,
    ...row,
    ...(row.ok ? {} : { replay: `checkPsm(${name}, { lengths: [${row.length}], seed: ${seed} })` }),
  };
}

function aggOf<C, M, Y>(psm: Psm<C, M, Y>): Operator<M> {
  return { combine: (earlier, later) => psm.agg(earlier, later) };
}

/** The outputs as the model is defined: whole chunks through `enc`, the tree written out, `inf` on every chunk. */
function definition<C, M, Y>(psm: Psm<C, M, Y>, tokens: readonly C[]): Y[] {
  const chunks: (readonly C[])[] = [];
  for (let from = 0; from < tokens.length; from += psm.chunk) chunks.push(tokens.slice(from, from + psm.chunk));
  const whole = chunks.filter(({ length }) => length === psm.chunk);
  const prefixes = definedPrefixes(aggOf(psm), whole.map((chunk) => psm.enc(chunk)));
  return chunks.flatMap((chunk, i) => psm.inf(i === 0 ? undefined : prefixes[i - 1]!, chunk));
}

function streamed<C, M, Y>(
  psm: Psm<C, M, Y>,
  tokens: readonly C[],
  mode: CounterMode = "cached",
  from?: PsmState<C, M>,
): Y[] {
  const running = stream(psm, { mode });
  if (from !== undefined) running.restore(from);
  return tokens.map((token) => running.push(token));
}

function difference<Y>(same: (x: Y, y: Y) => boolean, got: readonly Y[], want: readonly Y[]): string | undefined {
  if (got.length !== want.length) return `got ${got.length} outputs, want ${want.length}`;
  const bad = want.findIndex((y, i) => !same(got[i]!, y));
  return bad < 0 ? undefined : `first bad token ${bad}: got ${text(got[bad])}, want ${text(want[bad])}`;
}

function text(x: unknown): string {
  const all = typeof x === "object" && x !== null ? JSON.stringify(x) : String(x);
  return all.length > 60 ? `${all.slice(0, 60)}…` : all;
}

/** Work and depth of the aggregations of a run. */
function cost<C, M, Y>(
  psm: Psm<C, M, Y>,
  run: (counted: Psm<C, unknown, null>) => void,
): Pick<Row, "combines" | "depth"> {
  const counting = meter<null>({ combine: () => null });
  run({
    name: psm.name,
    chunk: psm.chunk,
    enc: () => counting.lift(null),
    agg: (earlier, later) =>
      counting.combine(earlier as ReturnType<typeof counting.lift>, later as ReturnType<typeof counting.lift>),
    inf: (_prefix, chunk) => chunk.map(() => null),
  });
  return { combines: counting.combines, depth: counting.depth };
}

/** The parallel form and both streams against the definition, every output of every length. */
export function* driverRows<C, M, Y>(context: PsmContext<C, M, Y>): Generator<Row> {
  const { psm, lengths, same } = context;
  for (const n of lengths) {
    const tokens = context.tokens(n);
    const truth = definition(psm, tokens);
    const runs = [
      ["parallel", <D, E, Z>(model: Psm<D, E, Z>, xs: readonly D[]): Z[] => parallel(model, xs).outputs],
      ...MODES.map((mode) =>
        [`stream, ${mode}`, <D, E, Z>(model: Psm<D, E, Z>, xs: readonly D[]): Z[] => streamed(model, xs, mode)] as const
      ),
    ] as const;
    for (const [execution, run] of runs) {
      const bad = difference(same, run(psm, tokens), truth);
      yield rowOf(context, {
        check: "exact",
        execution,
        length: n,
        ok: bad === undefined,
        ...cost(psm, (counted) => run(counted, tokens)),
        ...(bad === undefined ? {} : { detail: bad }),
      });
    }
  }
}

/** Prefixes to hand to `inf`: none, a summary, and an aggregate. */
function somePrefixes<C, M, Y>({ psm, tokens }: PsmContext<C, M, Y>): (M | undefined)[] {
  const all = tokens(3 * psm.chunk);
  const summaries = [0, 1, 2].map((i) => psm.enc(all.slice(i * psm.chunk, (i + 1) * psm.chunk)));
  return [undefined, ...definedPrefixes(aggOf(psm), summaries)];
}

/** Where outputs of a chunk begun are not those of the whole chunk, cut off. */
function acausal<C, M, Y>(context: PsmContext<C, M, Y>, inf: Psm<C, M, Y>["inf"]): string | undefined {
  const { psm, tokens, same } = context;
  const chunk = tokens(4 * psm.chunk).slice(3 * psm.chunk);
  for (const prefix of somePrefixes(context)) {
    const whole = inf(prefix, chunk);
    for (let begun = 1; begun <= chunk.length; begun++) {
      const bad = difference(same, inf(prefix, chunk.slice(0, begun)), whole.slice(0, begun));
      if (bad !== undefined) return `inf on ${begun} of ${chunk.length} tokens: ${bad}`;
    }
  }
  return undefined;
}

/** `inf` is causal inside a chunk; and `open`, where the model has one, is `inf` one token at a time. */
export function* chunkRows<C, M, Y>(context: PsmContext<C, M, Y>): Generator<Row> {
  const { psm, tokens, same } = context;
  const late = acausal(context, (prefix, chunk) => psm.inf(prefix, chunk));
  yield rowOf(context, {
    check: "exact",
    execution: "inf, causal in a chunk",
    length: psm.chunk,
    ok: late === undefined,
    ...(late === undefined ? {} : { detail: `${late}: outputs must not depend on later tokens` }),
  });
  if (psm.open === undefined) return;
  const chunk = tokens(4 * psm.chunk).slice(3 * psm.chunk);
  const bad = somePrefixes(context).map((prefix) => {
    const next = psm.open!(prefix);
    return difference(same, chunk.map((token) => next(token)), psm.inf(prefix, chunk));
  }).find((found) => found !== undefined);
  yield rowOf(context, {
    check: "exact",
    execution: "open against inf",
    length: psm.chunk,
    ok: bad === undefined,
    ...(bad === undefined ? {} : { detail: bad }),
  });
}

/** Stopped at any token of several chunks, by a stream or by the parallel form, and streamed on: the whole run. */
export function* psmResumeRows<C, M, Y>(context: PsmContext<C, M, Y>): Generator<Row> {
  const { psm, same } = context;
  const tokens = context.tokens(crossing(psm.chunk));
  const truth = definition(psm, tokens);
  const saves: readonly (readonly [string, (begun: readonly C[]) => PsmState<C, M>])[] = [
    ...MODES.map((mode) =>
      [`stream, ${mode}`, (begun: readonly C[]): PsmState<C, M> => {
        const running = stream(psm, { mode });
        for (const token of begun) running.push(token);
        return running.save();
      }] as const
    ),
    ["parallel, then stream", (begun) => parallel(psm, begun).state],
  ];
  for (const [execution, save] of saves) {
    const mode = execution === "stream, refolding" ? "refolding" : "cached";
    let bad: string | undefined;
    for (const split of splitsOf(psm.chunk)) {
      const rest = streamed(psm, tokens.slice(split), mode, save(tokens.slice(0, split)));
      const found = difference(same, rest, truth.slice(split));
      if (found !== undefined) bad ??= `split at ${split}: ${found}`;
    }
    yield rowOf(context, {
      check: "resume",
      execution,
      length: tokens.length,
      ok: bad === undefined,
      ...(bad === undefined ? {} : { detail: bad }),
    });
  }
}

/** Seven chunks, three roots, and one token more. */
function crossing(chunk: number): number {
  return 7 * chunk + 1;
}

/** The ends of every chunk and the tokens beside them. */
function splitsOf(chunk: number): readonly number[] {
  const near = [0, 1, 2, 3, 4, 5, 6, 7].flatMap((i) => [i * chunk - 1, i * chunk, i * chunk + 1]);
  return [...new Set(near.filter((split) => split >= 0 && split <= crossing(chunk)))];
}

/** Summaries and pending tokens held between tokens, after every token. */
export function* psmMemoryRows<C, M, Y>(context: PsmContext<C, M, Y>): Generator<Row> {
  const { psm, lengths } = context;
  const n = Math.max(0, ...lengths);
  for (const mode of MODES) {
    const running = stream(psm, { mode });
    const allowed = (t: number): number =>
      (mode === "cached" ? 2 : 1) * Math.ceil(Math.log2(Math.floor(t / psm.chunk) + 1));
    let peak = 0;
    let fault: string | undefined;
    context.tokens(n).forEach((token, i) => {
      running.push(token);
      const [live, pending] = [running.held().length, running.save().pending.length];
      peak = Math.max(peak, live);
      if (live > allowed(i + 1) || pending >= psm.chunk) {
        fault ??= `${live} summaries and ${pending} tokens held after ${i + 1}, allowed ${allowed(i + 1)} and ${
          psm.chunk - 1
        }`;
      }
    });
    yield rowOf(context, {
      check: "memory",
      execution: `stream, ${mode}`,
      length: n,
      ok: fault === undefined,
      maxUlp: null,
      bound: null,
      liveElements: peak,
      detail: fault ??
        `${peak} summaries at most in ${n} tokens, allowed ${allowed(n)}, and fewer than ${psm.chunk} tokens`,
    });
  }
}

/** Planted faults: a prefix that forgets, operands swapped, and outputs that see later tokens of their chunk. */
export function* psmControlRows<C, M, Y>(context: PsmContext<C, M, Y>): Generator<Row> {
  const { psm, same } = context;
  const tokens = context.tokens(crossing(psm.chunk));
  const truth = definition(psm, tokens);
  const having = (agg: Psm<C, M, Y>["agg"]): Psm<C, M, Y> => ({
    name: psm.name,
    chunk: psm.chunk,
    enc: (chunk) => psm.enc(chunk),
    inf: (prefix, chunk) => psm.inf(prefix, chunk),
    agg,
  });
  const differs = (model: Psm<C, M, Y>): boolean => difference(same, streamed(model, tokens), truth) !== undefined;
  const chunk = tokens.slice(0, psm.chunk);
  const [one, other] = [psm.enc(chunk), psm.enc(tokens.slice(psm.chunk, 2 * psm.chunk))];
  const commutative =
    difference(same, psm.inf(psm.agg(one, other), chunk), psm.inf(psm.agg(other, one), chunk)) === undefined;
  const ahead: Psm<C, M, Y>["inf"] = (prefix, begun) => psm.inf(prefix, [...begun].reverse());
  const faults: readonly (readonly [string, boolean, string | undefined])[] = [
    ["stream with dropped-carry", differs(having((_earlier, later) => later)), undefined],
    [
      "stream with swapped-operands",
      differs(having((earlier, later) => psm.agg(later, earlier))),
      commutative ? "agg is commutative here" : undefined,
    ],
    [
      "inf with look-ahead",
      acausal(context, ahead) !== undefined,
      psm.chunk === 1 ? "a chunk is one token" : undefined,
    ],
  ];
  for (const [execution, seen, excuse] of faults) {
    yield rowOf(context, {
      check: "control",
      execution,
      length: tokens.length,
      ok: seen || excuse !== undefined,
      detail: seen
        ? "seen"
        : excuse !== undefined
        ? `makes no difference: ${excuse}`
        : "NOT seen: the rows are blind to this fault",
    });
  }
}
