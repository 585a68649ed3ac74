/** The editor's documents and cursors as the pure parts take them. */
import * as vscode from "vscode";
import { isSamePlace, type Place, type Shown } from "./display";
import type { Origin, Selected } from "./suggestion";

export function originOf(
  document: vscode.TextDocument,
  position: vscode.Position,
  context: vscode.InlineCompletionContext,
  explicit: boolean,
): Origin {
  const selected = selectedOf(context, position);
  const range = selected === null ? null : (context.selectedCompletionInfo?.range ?? null);
  return {
    uri: document.uri.toString(),
    offset: document.offsetAt(position),
    position: { line: position.line, character: position.character },
    selected,
    typed: range === null ? "" : document.getText(new vscode.Range(range.start, position)),
    tailLength: range === null ? 0 : Math.max(0, range.end.character - position.character),
    explicit,
  };
}

/** The item selected in the editor's own list, if it is on the cursor's line. */
export function selectedOf(context: vscode.InlineCompletionContext, position: vscode.Position): Selected | null {
  const info = context.selectedCompletionInfo;
  if (info?.range.start.line !== position.line) {
    return null;
  }
  const { line, character } = info.range.start;
  return { text: info.text, start: { line, character } };
}

export function placeOf(document: vscode.TextDocument, position: vscode.Position): Place {
  return { uri: document.uri.toString(), version: document.version, offset: document.offsetAt(position) };
}

/** Where the cursor is; null with a selection or several cursors. */
export function cursorPlace(): Place | null {
  const editor = vscode.window.activeTextEditor;
  if (editor?.selections.length !== 1 || !editor.selection.isEmpty) {
    return null;
  }
  return placeOf(editor.document, editor.selection.active);
}

export function isAtCursor(shown: Shown): boolean {
  const place = cursorPlace();
  return place !== null && isSamePlace(shown, place);
}
