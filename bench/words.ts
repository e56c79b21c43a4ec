const plain = (text: string): string => text.replace(/[,;\s]+/g, " ").trim();

/** Whether a name contains a sequence of whole words: `gla chunk` is in `gla chunk forward`, `gl` is not. */
export function hasWords(name: string, words: string): boolean {
  return plain(words) !== "" && ` ${plain(name)} `.includes(` ${plain(words)} `);
}
