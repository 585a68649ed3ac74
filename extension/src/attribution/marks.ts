/** Marks the matched spans in the editors of a document until it is edited. */
import * as vscode from "vscode";
import type { AttributionReport, Match } from "../server/wire";
import { hover, safeLink } from "./describe";
import { lineRanges, spansOf } from "./spans";

export class Marks implements vscode.Disposable {
  readonly #decoration = vscode.window.createTextEditorDecorationType({
    backgroundColor: new vscode.ThemeColor("starcoder.copiedCodeBackground"),
    border: "1px solid",
    borderColor: new vscode.ThemeColor("starcoder.copiedCodeBorder"),
    borderRadius: "2px",
    overviewRulerColor: new vscode.ThemeColor("editorInfo.foreground"),
    overviewRulerLane: vscode.OverviewRulerLane.Right,
    rangeBehavior: vscode.DecorationRangeBehavior.ClosedClosed,
  });
  #uri: string | null = null;
  #options: vscode.DecorationOptions[] = [];

  show(document: vscode.TextDocument, report: AttributionReport): void {
    this.clear();
    this.#uri = document.uri.toString();
    const lineText = (line: number): string => (line < document.lineCount ? document.lineAt(line).text : "");
    this.#options = spansOf(report.matches).flatMap((span) => {
      const hoverMessage = span.matches.map(hoverOf);
      return lineRanges(span.range, lineText).map((range) => ({ range: toRange(range), hoverMessage }));
    });
    this.refresh();
  }

  /** Draw again: editors of the document may have been opened since. */
  refresh(): void {
    for (const editor of vscode.window.visibleTextEditors) {
      const isMarked = editor.document.uri.toString() === this.#uri;
      editor.setDecorations(this.#decoration, isMarked ? this.#options : []);
    }
  }

  edited(document: vscode.TextDocument): void {
    if (document.uri.toString() === this.#uri) {
      this.clear();
    }
  }

  clear(): void {
    this.#uri = null;
    this.#options = [];
    this.refresh();
  }

  dispose(): void {
    this.#decoration.dispose();
  }
}

export function toRange(range: NonNullable<Match["range"]>): vscode.Range {
  return new vscode.Range(range.start.line, range.start.character, range.end.line, range.end.character);
}

function hoverOf(match: Match): vscode.MarkdownString {
  const links: string[] = [];
  if (match.source !== null) {
    const argument = encodeURIComponent(JSON.stringify([match.id]));
    links.push(`[Compare](command:starcoder.compareSource?${argument})`);
    if (safeLink(match.source.url) !== null) {
      links.push(`[Open its page](command:starcoder.openSourceLink?${argument})`);
    }
  }
  const text = new vscode.MarkdownString(hover(match, links.join(" · ")));
  text.isTrusted = { enabledCommands: ["starcoder.compareSource", "starcoder.openSourceLink"] };
  return text;
}
