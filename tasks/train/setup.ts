/**
 * All that makes a run: task, network, plan and seed, as plain data that travels in every checkpoint.
 *
 * @module
 */
import type { OptimiserOptions } from "../../models/networks/training.ts";
import { corpusText } from "../corpus.ts";
import { groupWords } from "../group_words.ts";
import { a5, cyclic, s5 } from "../groups.ts";
import { mqar } from "../mqar.ts";
import type { Task } from "../task.ts";
import { splitTokens, textTask } from "../text.ts";
import { readText } from "../text_files.ts";
import { tokenise, type TokeniserName, tokeniserOf } from "../tokenisers.ts";
import type { TrainingPlan } from "./plan.ts";

export type TaskName = "s5" | "a5" | "z60" | "parity" | "modular" | "mqar" | "text";
export const taskNames: readonly TaskName[] = ["s5", "a5", "z60", "parity", "modular", "mqar", "text"];

/** Plain f32, f32 in two halves, halves: on matrix units the last is what others call tf32. */
export type ProductMode = "f32" | "split" | "f16";
export const productModes: readonly ProductMode[] = ["f32", "split", "f16"];

/** A task and what it can be told. */
export interface TaskSetup {
  readonly name: TaskName;
  /** Of `modular`; default 5. */
  readonly modulus?: number;
  /** Of `mqar`. */
  readonly vocabulary?: number;
  readonly pairs?: number;
  /** Of `text`; default bytes. */
  readonly tokens?: TokeniserName;
  /** Of `text`: a file or folder; without it the text that comes with the package. */
  readonly path?: string;
}

/** Sizes that networks of all kinds share; a network takes those it has a use for. */
export interface ModelSizes {
  /** Width. */
  readonly d: number;
  readonly heads: number;
  /** Blocks; of a Transformer-PSM those of Inf. */
  readonly layers: number;
  /** Of a Transformer-PSM: blocks of Agg, its mask, and tokens per chunk. */
  readonly aggLayers: number;
  readonly agg?: "bidirectional" | "causal";
  readonly chunk: number;
  /** Rate of dropout. */
  readonly dropout: number;
  /** Whether the head is the table of tokens, transposed; default false. */
  readonly tied?: boolean;
}

/** A network and its sizes. */
export interface ModelSetup {
  readonly name: string;
  readonly sizes: ModelSizes;
}

export interface Setup {
  readonly preset: string;
  readonly task: TaskSetup;
  readonly model: ModelSetup;
  readonly optimiser: OptimiserOptions;
  /** How matrix products that are not small are computed on matrix units (kernels/matmul.ts), f32 elsewhere; default: split. */
  readonly products?: ProductMode;
  readonly plan: TrainingPlan;
  readonly seed: number;
  /** What the run begins with in place of drawn parameters (beginning.ts): `mqar-c32-l512 after 4000 steps`. */
  readonly begunWith?: string;
  /** Lengths of the test split that results are reported at. */
  readonly evaluate: readonly number[];
}

/** The task; a text is read now. Throws an `InputError` in one line. */
export async function taskOf(
  { name, modulus = 5, vocabulary, pairs, tokens = "bytes", path }: TaskSetup,
): Promise<Task> {
  switch (name) {
    case "s5":
      return groupWords(s5());
    case "a5":
      return groupWords(a5());
    case "z60":
      return groupWords(cyclic(60));
    case "parity":
      return groupWords(cyclic(2, "parity"));
    case "modular":
      return groupWords(cyclic(modulus, "modular"));
    case "mqar":
      return mqar({ ...(vocabulary === undefined ? {} : { vocabulary }), ...(pairs === undefined ? {} : { pairs }) });
    case "text": {
      const tokeniser = await tokeniserOf(tokens);
      return textTask(
        tokeniser,
        path === undefined ? splitTokens(tokenise(tokeniser, corpusText)) : readText(tokeniser, path),
      );
    }
  }
}
