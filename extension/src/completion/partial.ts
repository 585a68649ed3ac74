/**
 * Was a word or a line of the ghost text taken? The editor does not tell extensions, but such an edit can be told
 * from a typed key: it inserts several characters at once, and just those that were shown. Pure.
 */
import type { Edit } from "./suggestion";

/** A bracket or quote that the editor closed by itself: one key, two characters. */
const CLOSED_PAIR = /^(\(\)|\[\]|\{\}|<>|""|''|``)$/;

export interface ShownText {
  readonly offset: number;
  readonly text: string;
}

/** How many characters of the shown text were taken; 0: it was something else, or all of it. */
export function partiallyTaken(shown: ShownText, edits: readonly Edit[]): number {
  const [edit] = edits;
  if (edit === undefined || edits.length > 1 || edit.length > 0 || edit.offset !== shown.offset) {
    return 0;
  }
  const text = edit.text.replaceAll("\r\n", "\n");
  const isPart = text.length > 1 && text.length < shown.text.length && shown.text.startsWith(text);
  return isPart && !CLOSED_PAIR.test(text) ? text.length : 0;
}
