/** One request for completions: sends it, and feeds what comes into a `Suggestion`. */
import * as vscode from "vscode";
import type { Server } from "../server/server";
import type { InlineItem, InlineResult } from "../server/wire";
import { Suggestion, type Origin } from "./suggestion";

let nAsked = 0;

export class Question implements vscode.Disposable {
  readonly token = `completion-${(nAsked += 1)}`;
  readonly suggestion: Suggestion;
  readonly askedAtMs = performance.now();
  /** Resolves when there is something to show, or nothing will come. */
  readonly firstText: Promise<void>;
  /** Resolves when the answer is complete. */
  readonly finished: Promise<void>;
  readonly #cancellation = new vscode.CancellationTokenSource();
  readonly #grown = new vscode.EventEmitter<void>();
  readonly onGrown = this.#grown.event;
  #hasFirstText: () => void = () => undefined;

  constructor(
    private readonly server: Server,
    document: vscode.TextDocument,
    origin: Origin,
    selectedRange: vscode.Range | null,
  ) {
    this.suggestion = new Suggestion(origin);
    this.firstText = new Promise((resolve) => {
      this.#hasFirstText = resolve;
    });
    this.finished = this.#ask(document, selectedRange);
  }

  /** Give the answer up. */
  dispose(): void {
    this.suggestion.break();
    this.#cancellation.cancel();
    this.#cancellation.dispose();
  }

  async #ask(document: vscode.TextDocument, selectedRange: vscode.Range | null): Promise<void> {
    const { origin } = this.suggestion;
    const listening = this.#listen();
    try {
      const result = await this.server.request<InlineResult | null>(
        "textDocument/inlineCompletion",
        {
          textDocument: { uri: this.server.uri(document.uri) },
          position: origin.position,
          context: {
            triggerKind: origin.explicit ? 1 : 2,
            ...(origin.selected !== null &&
              selectedRange !== null && {
                selectedCompletionInfo: { range: plain(selectedRange), text: origin.selected.text },
              }),
          },
          partialResultToken: this.token,
        },
        this.#cancellation.token,
      );
      this.#take(result?.items ?? []);
    } finally {
      listening.dispose();
      this.suggestion.over();
      this.#grow();
      this.#hasFirstText();
      this.#grown.dispose();
    }
  }

  #listen(): vscode.Disposable {
    return vscode.Disposable.from(
      this.server.onItems(this.token, (items) => {
        this.#take(items);
      }),
      this.server.onDelta((delta) => {
        if (delta.token === this.token) {
          this.suggestion.delta(delta);
          this.#grow();
        }
      }),
    );
  }

  #take(items: readonly InlineItem[]): void {
    for (const item of items) {
      this.suggestion.finished(item);
    }
    if (items.length > 0) {
      this.#grow();
    }
  }

  #grow(): void {
    if (this.suggestion.hasText) {
      this.#hasFirstText();
    }
    this.#grown.fire();
  }
}

function plain(range: vscode.Range): object {
  const { start, end } = range;
  return {
    start: { line: start.line, character: start.character },
    end: { line: end.line, character: end.character },
  };
}
