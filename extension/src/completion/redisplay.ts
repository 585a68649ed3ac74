/** Makes the editor show a suggestion anew: it knows no update (docs/adr/0005-ghost-text-that-grows.md). */
import * as vscode from "vscode";
import { SCHEMES } from "../server/client";

export class Redisplay implements vscode.Disposable {
  #newcomer: vscode.Disposable | null = null;

  /** Ask as if a key had been pressed for it. Triggering alone would keep the text that is shown. */
  async anew(): Promise<void> {
    await vscode.commands.executeCommand("runCommands", {
      commands: ["editor.action.inlineSuggest.hide", "editor.action.inlineSuggest.trigger"],
    });
  }

  /**
   * Put a longer text in place of the shown one, without a frame between them as hiding would leave.
   *
   * Going to the next alternative asks again, and puts the answer behind the shown text. But at one place the
   * editor asks but once in this way, except where it has a provider that it has not asked yet: so it gets one that
   * has nothing to say. `isUnanswered`: the editor did not ask (an older one, which does not look at its providers).
   */
  async longer(isUnanswered: () => boolean): Promise<void> {
    this.#newcomer?.dispose();
    this.#newcomer = vscode.languages.registerInlineCompletionItemProvider(
      SCHEMES.map((scheme) => ({ scheme })),
      { provideInlineCompletionItems: () => undefined },
    );
    await vscode.commands.executeCommand("editor.action.inlineSuggest.showNext");
    if (isUnanswered()) {
      await this.anew();
    }
  }

  dispose(): void {
    this.#newcomer?.dispose();
  }
}
