/** The item in the status bar. It follows changes calmly: work that is over at once is not shown as busy. */
import * as vscode from "vscode";
import { escapeMarkdown } from "../attribution/describe";
import { statusText, type ExtensionState, type StatusFacts, type StatusText } from "./statusText";

const BUSY_AFTER_MS = 400;

export class StatusBar implements vscode.Disposable {
  readonly #item = vscode.window.createStatusBarItem("starcoder.status", vscode.StatusBarAlignment.Right, 100);
  readonly #changed = new vscode.EventEmitter<ExtensionState>();
  readonly onDidChangeState = this.#changed.event;
  #state: ExtensionState = "stopped";
  #busyTimer: NodeJS.Timeout | null = null;

  constructor() {
    this.#item.name = "StarCoder";
    this.#item.command = "starcoder.menu";
    this.#item.show();
  }

  get state(): ExtensionState {
    return this.#state;
  }

  update(facts: StatusFacts): void {
    const status = statusText(facts);
    if (this.#busyTimer !== null) {
      clearTimeout(this.#busyTimer);
      this.#busyTimer = null;
    }
    if (status.state === "busy" && this.#state !== "starting") {
      this.#busyTimer = setTimeout(() => {
        this.#draw(status);
      }, BUSY_AFTER_MS);
    } else {
      this.#draw(status);
    }
    if (status.state !== this.#state) {
      this.#state = status.state;
      this.#changed.fire(status.state);
    }
  }

  dispose(): void {
    if (this.#busyTimer !== null) {
      clearTimeout(this.#busyTimer);
    }
    this.#item.dispose();
    this.#changed.dispose();
  }

  #draw(status: StatusText): void {
    this.#item.text = status.text;
    this.#item.tooltip = new vscode.MarkdownString(status.tooltip.map(escapeMarkdown).join("\n\n"));
    this.#item.accessibilityInformation = { label: status.text.replace(/\$\([^)]*\) /, "") };
    this.#item.backgroundColor =
      status.severity === "none"
        ? undefined
        : new vscode.ThemeColor(`statusBarItem.${status.severity}Background`);
  }
}
