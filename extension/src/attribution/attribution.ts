/** Where code comes from: checks the selection or the code around the cursor, and shows what was found. */
import * as vscode from "vscode";
import { SCHEMES } from "../schemes";
import type { Server } from "../server/server";
import {
  ATTRIBUTION_SOURCE,
  CHECK_ATTRIBUTION,
  type AttributionReport,
  type Match,
  type SourceText,
} from "../server/wire";
import { safeLink, sourceName, summary } from "./describe";
import { Marks, toRange } from "./marks";
import { SourceDocuments } from "./sourceDocuments";
import { SourcesView } from "./sourcesView";

export class Attribution implements vscode.Disposable {
  readonly documents = new SourceDocuments();
  readonly #marks = new Marks();
  readonly #view = new SourcesView();
  #report: AttributionReport | null = null;

  constructor(private readonly server: Server) {}

  /** Check the selection, or the code around the cursor. */
  async check(): Promise<void> {
    const editor = vscode.window.activeTextEditor;
    if (editor === undefined) {
      void vscode.window.showInformationMessage("Put the cursor into the code to check.");
      return;
    }
    const { document, selection } = editor;
    const version = document.version;
    const report = await vscode.window.withProgress(
      { location: vscode.ProgressLocation.Window, title: "Looking for sources …" },
      () => this.#ask(document, selection),
    );
    if (document.version === version) {
      this.#marks.show(document, report);
    }
    await this.show(report);
  }

  /** Show a report in the side panel, and its gist as a message. */
  async show(report: AttributionReport): Promise<void> {
    this.#report = report;
    this.#view.show(report);
    const text = summary(report);
    if (report.matches.length === 0) {
      await tell(report, text);
      return;
    }
    await this.#view.reveal();
    const [best] = report.matches;
    const canCompare = best?.source != null && best.range !== null;
    void vscode.window
      .showInformationMessage(text, ...(canCompare ? ["Compare"] : []))
      .then((choice) => (choice === undefined || best === undefined ? undefined : this.compare(best.id)));
  }

  async compare(id: string): Promise<void> {
    const match = this.#match(id);
    const source = await this.#source(id);
    if (source === null || match?.range == null || this.#report === null) {
      return;
    }
    const document = await vscode.workspace.openTextDocument(vscode.Uri.parse(this.#report.uri, true));
    await this.documents.compare(id, source, document, toRange(match.range));
  }

  async open(id: string): Promise<void> {
    const source = await this.#source(id);
    if (source !== null) {
      await this.documents.open(id, source);
    }
  }

  async openLink(id: string): Promise<void> {
    const link = safeLink(this.#match(id)?.source?.url ?? null);
    if (link !== null) {
      await vscode.env.openExternal(vscode.Uri.parse(link, true));
    }
  }

  edited(document: vscode.TextDocument): void {
    this.#marks.edited(document);
  }

  refreshMarks(): void {
    this.#marks.refresh();
  }

  clear(): void {
    this.#report = null;
    this.#marks.clear();
    this.#view.clear();
  }

  dispose(): void {
    this.#marks.dispose();
    this.#view.dispose();
  }

  async #ask(document: vscode.TextDocument, selection: vscode.Selection): Promise<AttributionReport> {
    const { start, end, active } = selection;
    const plain = ({ line, character }: vscode.Position): object => ({ line, character });
    return this.server.execute<AttributionReport>(CHECK_ATTRIBUTION, {
      uri: this.server.uri(document.uri),
      position: plain(active),
      // The server has no documents of other schemes (the editor's own, or another extension's).
      ...(!SCHEMES.includes(document.uri.scheme) && {
        text: document.getText(selection.isEmpty ? undefined : selection),
      }),
      ...(!selection.isEmpty && { range: { start: plain(start), end: plain(end) } }),
    });
  }

  async #source(id: string): Promise<SourceText | null> {
    const source = await this.server.execute<SourceText | null>(ATTRIBUTION_SOURCE, { id });
    if (source === null) {
      const name = sourceName(this.#match(id)?.source ?? null);
      void vscode.window.showWarningMessage(`The text of ${name} is not in the index any more; check again.`);
    }
    return source;
  }

  #match(id: string): Match | undefined {
    return this.#report?.matches.find((match) => match.id === id);
  }
}

/** "Not found" is an answer, no search at all is a gap that the user can close. */
async function tell(report: AttributionReport, text: string): Promise<void> {
  if (report.searched.kind !== "none") {
    void vscode.window.showInformationMessage(text);
    return;
  }
  const choice = await vscode.window.showWarningMessage(text, "Set the Index");
  if (choice !== undefined) {
    await vscode.commands.executeCommand("workbench.action.openSettings", "starcoder.attribution.index");
  }
}
