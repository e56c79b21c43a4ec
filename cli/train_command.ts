/**
 * The command that began a run, as its log keeps it: what was learnt, not where it was kept or how long it was let run.
 *
 * @module
 */
import { basename, isAbsolute } from "node:path";

/** Options that change nothing of what is learnt; with a value, and without. */
const valued: readonly string[] = ["--out", "--shard-mib", "--save-every", "--minutes", "--gpu"];
const switches: readonly string[] = ["--json"];

/** Of an absolute path its last part is enough: the text itself is told by its fingerprint. */
const shortened = (word: string): string => isAbsolute(word) ? `…/${basename(word)}` : word;

const quoted = (word: string): string => /^[\w./=:+@,…-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;

/** `dualscan train s5 --preset s5-small --rate 1e-3`, from the arguments that follow `train`. */
export function trainCommand(argv: readonly string[]): string {
  const kept: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const [name = "", value] = argv[i]!.startsWith("--") ? argv[i]!.split(/=(.*)/s) : [argv[i]!];
    if (switches.includes(name)) continue;
    if (valued.includes(name)) {
      if (value === undefined) i++;
      continue;
    }
    kept.push(quoted(value === undefined ? shortened(name) : `${name}=${shortened(value)}`));
  }
  return ["dualscan", "train", ...kept].join(" ");
}
