/** Texts of sources as read-only documents, and a source beside the user's own lines. */
import * as vscode from "vscode";
import type { SourceText } from "../server/wire";
import { excerpt } from "./spans";

export const SOURCE_SCHEME = "starcoder-source";
/** Lines on each side of the matched ones, so that one sees where they stand. */
const AROUND_LINES = 3;
const MAX_KEPT = 64;

export class SourceDocuments implements vscode.TextDocumentContentProvider {
  readonly #texts = new Map<string, string>();

  provideTextDocumentContent(uri: vscode.Uri): string {
    return this.#texts.get(uri.toString()) ?? "This source is no longer at hand; check again.";
  }

  /** The whole source, at its matched lines. */
  async open(id: string, source: SourceText): Promise<void> {
    const uri = this.#put(id, "source", source.name, source.text);
    const selection = new vscode.Range(source.startLine - 1, 0, source.endLine, 0);
    await vscode.window.showTextDocument(uri, { preview: true, selection });
  }

  /** The matched lines on the left, the user's on the right. */
  async compare(id: string, source: SourceText, mine: vscode.TextDocument, range: vscode.Range): Promise<void> {
    const theirs = excerpt(source.text, source.startLine, source.endLine, AROUND_LINES);
    const own = excerpt(mine.getText(), range.start.line + 1, range.end.line + 1, AROUND_LINES);
    const name = vscode.workspace.asRelativePath(mine.uri, false);
    const left = this.#put(id, "theirs", source.name, theirs);
    const right = this.#put(id, "yours", name, own);
    const license = source.license ?? "unknown licence";
    const there = `${lastPart(source.name)}:${source.startLine}–${source.endLine} (${license})`;
    const title = `${there} ↔ ${lastPart(name)}:${range.start.line + 1}–${range.end.line + 1}`;
    await vscode.commands.executeCommand("vscode.diff", left, right, title, { preview: true });
  }

  #put(id: string, side: string, name: string, text: string): vscode.Uri {
    // The file's name tells the editor its language.
    const uri = vscode.Uri.from({
      scheme: SOURCE_SCHEME,
      authority: side,
      path: `/${name.replace(/^\/+/, "")}`,
      query: id,
    });
    this.#texts.delete(uri.toString());
    this.#texts.set(uri.toString(), text);
    for (const oldest of [...this.#texts.keys()].slice(0, -MAX_KEPT)) {
      this.#texts.delete(oldest);
    }
    return uri;
  }
}

/** Titles have little room; hovering over the tab tells the whole path. */
function lastPart(name: string): string {
  return name.slice(name.lastIndexOf("/") + 1);
}
