/** Completions in this window: the provider, what it is told of, and what stands beside a suggestion. */
import * as vscode from "vscode";
import { Acceptances } from "./completion/acceptances";
import type { Place } from "./completion/display";
import { isOpen, OPEN, type Gate } from "./completion/gate";
import { LicenseLabel } from "./completion/label";
import { NewEditors } from "./completion/newEditors";
import { GhostTextProvider, TAKEN } from "./completion/provider";
import type { Rest } from "./completion/suggestion";
import { reasonOf } from "./errors";
import { SCHEMES } from "./schemes";
import type { Server } from "./server/server";
import type { Reference } from "./server/wire";

export class Completions implements vscode.Disposable {
  readonly #changed = new vscode.EventEmitter<void>();
  readonly onDidChange = this.#changed.event;
  readonly #label = new LicenseLabel();
  readonly #acceptances: Acceptances;
  readonly #provider: GhostTextProvider;
  readonly #newEditors = new NewEditors<vscode.TextEditor>();
  readonly #parts: vscode.Disposable;
  #gate: Gate = OPEN;
  #wakeTimer: NodeJS.Timeout | null = null;
  #lastLatencyMs: number | null = null;
  #lastReferences: readonly Reference[] = [];
  #shownLabel: string | null = null;
  #wasShown = false;

  constructor(
    server: Server,
    private readonly log: vscode.LogOutputChannel,
  ) {
    const failed = (error: unknown): void => {
      this.log.warn(`completion: ${reasonOf(error)}`);
    };
    this.#acceptances = new Acceptances(server, failed);
    this.#provider = new GhostTextProvider(server, this.#acceptances, {
      isWanted: () => isOpen(this.#gate, Date.now()),
      asked: (document) => {
        const editor = vscode.window.activeTextEditor;
        if (editor?.document === document) {
          this.#newEditors.asked(editor);
        }
      },
      offered: (rest, place) => {
        this.#offered(rest, place);
      },
      measured: (latencyMs) => {
        this.#lastLatencyMs = latencyMs;
      },
      failed,
      noted: (what) => {
        this.log.debug(what);
      },
    });
    this.#parts = this.#register();
  }

  get gate(): Gate {
    return this.#gate;
  }

  get lastLatencyMs(): number | null {
    return this.#lastLatencyMs;
  }

  /** Where the last suggestion was found, [] if nowhere. */
  get lastReferences(): readonly Reference[] {
    return this.#lastReferences;
  }

  /** The label of the suggestion that is on screen. */
  get shownLabel(): string | null {
    return this.#shownLabel;
  }

  async setGate(gate: Gate): Promise<void> {
    this.#gate = gate;
    if (this.#wakeTimer !== null) {
      clearTimeout(this.#wakeTimer);
      this.#wakeTimer = null;
    }
    if (gate.kind === "snoozed") {
      this.#wakeTimer = setTimeout(() => void this.setGate(OPEN), gate.untilMs - Date.now());
    }
    this.#changed.fire();
    if (gate.kind !== "open") {
      await this.#provider.dismiss();
    }
  }

  async trigger(): Promise<void> {
    await this.#provider.trigger();
  }

  async dismiss(): Promise<void> {
    await this.#provider.dismiss();
  }

  dispose(): void {
    if (this.#wakeTimer !== null) {
      clearTimeout(this.#wakeTimer);
    }
    this.#parts.dispose();
  }

  #register(): vscode.Disposable {
    const selector = SCHEMES.map((scheme) => ({ scheme }));
    return vscode.Disposable.from(
      this.#changed,
      this.#label,
      this.#provider,
      vscode.languages.registerInlineCompletionItemProvider(selector, this.#provider),
      vscode.commands.registerCommand(TAKEN, (token: string, index: number, length: number) => {
        this.#acceptances.taken(token, index, length);
      }),
      vscode.workspace.onDidChangeTextDocument((event) => {
        this.#provider.edited(event);
        const isActive = event.document === vscode.window.activeTextEditor?.document;
        if (isActive && event.contentChanges.length > 0 && event.reason === undefined) {
          this.#newEditors.edited();
        }
      }),
      vscode.window.onDidChangeTextEditorSelection((event) => {
        this.#provider.moved();
        this.#watchKeys(event);
      }),
    );
  }

  /** Have VS Code ask for the first key in an editor that it may not watch yet, as it does for every other key. */
  #watchKeys({ textEditor, kind }: vscode.TextEditorSelectionChangeEvent): void {
    if (textEditor !== vscode.window.activeTextEditor) {
      return;
    }
    // VS Code forgets the kind where the text scrolls at the same time (`updateProperties` in mainThreadEditor.ts).
    const isByKey = kind === undefined || kind === vscode.TextEditorSelectionChangeKind.Keyboard;
    const isMissed = this.#newEditors.missed(textEditor, isByKey);
    const editorSettings = vscode.workspace.getConfiguration("editor", textEditor.document);
    if (isMissed && isOpen(this.#gate, Date.now()) && editorSettings.get<boolean>("inlineSuggest.enabled", true)) {
      this.log.debug("the first key in an editor: the editor is made to ask");
      // An older VS Code takes no argument, and asks as if a key had been pressed for it.
      void vscode.commands.executeCommand("editor.action.inlineSuggest.trigger", { explicit: false });
    }
  }

  #offered(rest: Rest | null, place: Place | null): void {
    const editor = vscode.window.activeTextEditor;
    // The server gives a label where `attribution.onMatch` wants one.
    const text = rest?.label ?? null;
    if (rest !== null) {
      this.#lastReferences = rest.references;
    }
    if (text === null || editor?.document.uri.toString() !== place?.uri || editor === undefined) {
      this.#label.hide();
      this.#labelled(null);
    } else {
      this.#label.show(editor, editor.selection.active.line, text);
      this.#labelled(text);
    }
    if (rest !== null && !this.#wasShown) {
      this.#wasShown = true;
      void vscode.commands.executeCommand("setContext", "starcoder.suggestionShown", true);
    }
  }

  #labelled(label: string | null): void {
    if (label !== this.#shownLabel) {
      this.#shownLabel = label;
      this.#changed.fire();
      // The editor does not tell of a suggestion that is turned down, so the key is ours then: the label goes with it.
      void vscode.commands.executeCommand("setContext", "starcoder.labelShown", label !== null);
    }
  }
}
