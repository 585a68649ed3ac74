/** Makes the editor show a suggestion anew: it knows no update (docs/adr/0005-ghost-text-that-grows.md). */
import * as vscode from "vscode";
import { SCHEMES } from "../schemes";

/**
 * How the editor is made to ask for a text that has grown.
 *
 * `longer`: going to the next alternative asks again, and puts the answer behind the shown text, without a frame
 * between them. It has to be the only answer, to be the next one also where the editor does not keep the shown text.
 * `tidy`: asking once more keeps the new text only. The old one would come back with the next edit.
 * `anew`: hiding the text first. It works in any editor, and flickers.
 */
export type Step = "longer" | "tidy" | "anew";

export class Redisplay implements vscode.Disposable {
  #newcomer: vscode.Disposable | null = null;

  /** The editor has asked when this resolves, if it does ask; the answer may not be shown yet. */
  async make(step: Step): Promise<void> {
    if (step === "anew") {
      await vscode.commands.executeCommand("runCommands", {
        commands: ["editor.action.inlineSuggest.hide", "editor.action.inlineSuggest.trigger"],
      });
      return;
    }
    this.#welcomeNewcomer();
    const command = step === "longer" ? "showNext" : "trigger";
    await vscode.commands.executeCommand(`editor.action.inlineSuggest.${command}`);
  }

  dispose(): void {
    this.#newcomer?.dispose();
  }

  /** The editor asks but once at a place, unless it has a provider that it has not asked: one with nothing to say. */
  #welcomeNewcomer(): void {
    this.#newcomer?.dispose();
    this.#newcomer = vscode.languages.registerInlineCompletionItemProvider(
      SCHEMES.map((scheme) => ({ scheme })),
      { provideInlineCompletionItems: () => undefined },
    );
  }
}
