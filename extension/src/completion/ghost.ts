/** A suggestion's rest as an item of the editor: text, range and filter. Pure. */
import type { Rest } from "./suggestion";

export interface Ghost {
  readonly insertText: string;
  readonly startCharacter: number;
  readonly endCharacter: number;
  /** What the editor compares with the text in the range; undefined: the insert text. */
  readonly filterText: string | undefined;
}

/**
 * `lineText` is the cursor's line, `character` the cursor's column in it.
 *
 * The range begins where the suggestion began, so that the editor sees the same item grow smaller while it is typed
 * into; but it may not span lines, so after a line break it begins with the line.
 */
export function compose(rest: Rest, lineText: string, character: number): Ghost {
  const lineBreak = rest.typed.lastIndexOf("\n");
  const typedHere = rest.typed.slice(lineBreak + 1);
  const insertText = rest.insert.slice(lineBreak + 1);
  const startCharacter = character - typedHere.length;
  const endCharacter = Math.min(lineText.length, character + (lineBreak < 0 ? rest.tailLength : 0));
  const replaced = lineText.slice(startCharacter, endCharacter);
  const filterText = insertText.startsWith(replaced) ? undefined : replaced + rest.rest;
  return { insertText, startCharacter, endCharacter, filterText };
}
