/** A change that the model proposes: shown as a difference, then taken or turned down by the user. */
import * as vscode from "vscode";
import type { WorkspaceEdit } from "../server/wire";
import { applyEdits, editsByDocument } from "./textEdits";

export const PROPOSAL_SCHEME = "starcoder-proposal";

interface Proposal {
  readonly turn: number;
  readonly document: vscode.TextDocument;
  readonly version: number;
  readonly text: string;
  readonly uri: vscode.Uri;
}

export interface ProposalEvents {
  readonly settled: (turn: number, note: string) => void;
}

export class Proposals implements vscode.TextDocumentContentProvider, vscode.Disposable {
  readonly #changed = new vscode.EventEmitter<vscode.Uri>();
  readonly onDidChange = this.#changed.event;
  #proposals: readonly Proposal[] = [];

  constructor(private readonly events: ProposalEvents) {}

  provideTextDocumentContent(uri: vscode.Uri): string {
    const proposal = this.#proposals.find((each) => each.uri.toString() === uri.toString());
    return proposal?.text ?? "This change has been settled.";
  }

  /** Keep a change and show it. Returns false if it changes nothing. */
  async propose(turn: number, edit: WorkspaceEdit): Promise<boolean> {
    const made = await Promise.all(
      editsByDocument(edit).map(async ({ uri, edits }): Promise<Proposal> => {
        const document = await vscode.workspace.openTextDocument(vscode.Uri.parse(uri, true));
        return {
          turn,
          document,
          version: document.version,
          text: applyEdits(document.getText(), edits),
          uri: document.uri.with({ scheme: PROPOSAL_SCHEME, authority: "", query: `turn=${turn}` }),
        };
      }),
    );
    const proposals = made.filter((each) => each.text !== each.document.getText());
    if (proposals.length === 0) {
      return false;
    }
    this.#proposals = [...this.#proposals.filter((each) => each.turn !== turn), ...proposals];
    proposals.forEach(({ uri }) => {
      this.#changed.fire(uri);
    });
    await this.show(turn);
    return true;
  }

  async show(turn: number): Promise<void> {
    for (const { document, uri } of this.#ofTurn(turn)) {
      const title = `${vscode.workspace.asRelativePath(document.uri, false)}: proposed change`;
      await vscode.commands.executeCommand("vscode.diff", document.uri, uri, title, { preview: true });
    }
    await this.#tellContext();
  }

  /** Take the change of a turn; without one, of the difference in front of the user. */
  async accept(turn = this.#current()): Promise<void> {
    const proposals = this.#ofTurn(turn);
    const outdated = proposals.find(({ document, version }) => document.version !== version);
    if (outdated !== undefined) {
      const name = vscode.workspace.asRelativePath(outdated.document.uri, false);
      throw new Error(`${name} has been edited since the change was proposed; ask again`);
    }
    const edit = new vscode.WorkspaceEdit();
    for (const { document, text } of proposals) {
      edit.replace(document.uri, smallest(document, text), middle(document.getText(), text));
    }
    if (proposals.length > 0 && !(await vscode.workspace.applyEdit(edit))) {
      throw new Error("the editor did not apply the change");
    }
    await this.#settle(turn, "change accepted");
  }

  async reject(turn = this.#current()): Promise<void> {
    await this.#settle(turn, "change rejected");
  }

  dispose(): void {
    this.#changed.dispose();
  }

  async #settle(turn: number, note: string): Promise<void> {
    const proposals = this.#ofTurn(turn);
    if (proposals.length === 0) {
      return;
    }
    this.#proposals = this.#proposals.filter((each) => each.turn !== turn);
    await this.#tellContext();
    await closeTabs(proposals.map(({ uri }) => uri.toString()));
    this.events.settled(turn, note);
  }

  #ofTurn(turn: number): readonly Proposal[] {
    return this.#proposals.filter((each) => each.turn === turn);
  }

  /** The turn of the difference in the active tab, else the last one. */
  #current(): number {
    const input = vscode.window.tabGroups.activeTabGroup.activeTab?.input;
    const active = input instanceof vscode.TabInputTextDiff ? input.modified.toString() : "";
    const shown = this.#proposals.find(({ uri }) => uri.toString() === active);
    return (shown ?? this.#proposals.at(-1))?.turn ?? -1;
  }

  async #tellContext(): Promise<void> {
    await vscode.commands.executeCommand("setContext", "starcoder.proposal", this.#proposals.length > 0);
  }
}

/** What differs between the document and the new text: cursors, folds and marks elsewhere stay. */
function smallest(document: vscode.TextDocument, text: string): vscode.Range {
  const old = document.getText();
  const { start, end } = differing(old, text);
  return new vscode.Range(document.positionAt(start), document.positionAt(old.length - end));
}

function middle(old: string, text: string): string {
  const { start, end } = differing(old, text);
  return text.slice(start, text.length - end);
}

function differing(old: string, text: string): { start: number; end: number } {
  const length = Math.min(old.length, text.length);
  let start = 0;
  while (start < length && old[start] === text[start]) {
    start += 1;
  }
  let end = 0;
  while (end < length - start && old[old.length - 1 - end] === text[text.length - 1 - end]) {
    end += 1;
  }
  return { start, end };
}

async function closeTabs(modified: readonly string[]): Promise<void> {
  const tabs = vscode.window.tabGroups.all
    .flatMap((group) => group.tabs)
    .filter(
      ({ input }) =>
        input instanceof vscode.TabInputTextDiff && modified.includes(input.modified.toString()),
    );
  await vscode.window.tabGroups.close(tabs);
}
