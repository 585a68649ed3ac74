/** LSP's text edits applied to a text. Pure; positions count UTF-16 units, as JavaScript's strings do. */
import type { Position, TextEdit, WorkspaceEdit } from "../server/wire";

export interface DocumentEdits {
  readonly uri: string;
  readonly edits: readonly TextEdit[];
}

/** The edits of each document, whichever of LSP's two forms they come in. */
export function editsByDocument(edit: WorkspaceEdit): DocumentEdits[] {
  if (edit.documentChanges !== undefined) {
    return edit.documentChanges.map(({ textDocument, edits }) => ({ uri: textDocument.uri, edits }));
  }
  return Object.entries(edit.changes ?? {}).map(([uri, edits]) => ({ uri, edits }));
}

/** The text after the edits. All positions are those of the text before (LSP 3.18, TextEdit[]). */
export function applyEdits(text: string, edits: readonly TextEdit[]): string {
  const starts = lineStarts(text);
  const offsets = edits.map((edit) => ({
    start: offsetAt(text, starts, edit.range.start),
    end: offsetAt(text, starts, edit.range.end),
    newText: edit.newText,
  }));
  // A stable sort: insertions at one place keep their order.
  offsets.sort((one, other) => one.start - other.start || one.end - other.end);
  let result = "";
  let at = 0;
  for (const { start, end, newText } of offsets) {
    result += text.slice(at, start) + newText;
    at = Math.max(at, end);
  }
  return result + text.slice(at);
}

function lineStarts(text: string): number[] {
  return [0, ...[...text.matchAll(/\r\n|\r|\n/g)].map((match) => match.index + match[0].length)];
}

function offsetAt(text: string, starts: readonly number[], { line, character }: Position): number {
  const start = starts[line];
  if (start === undefined) {
    return text.length;
  }
  const next = starts[line + 1] ?? text.length;
  const content = text.slice(start, next).replace(/[\r\n]+$/, "");
  return start + Math.min(character, content.length);
}
