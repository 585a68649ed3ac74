/** The panel in the side bar: a page of the extension's own, which shows the transcript. */
import * as vscode from "vscode";
import { reasonOf } from "../errors";
import { fromPage, type FromPage, type ToPage } from "./messages";
import { conversationPage, makeNonce } from "./page";

export const CONVERSATION_VIEW = "starcoder.conversation";

export class ConversationView implements vscode.WebviewViewProvider, vscode.Disposable {
  #view: vscode.WebviewView | null = null;
  readonly #registration: vscode.Disposable;

  constructor(
    private readonly extension: vscode.Uri,
    private readonly heard: (message: FromPage) => Promise<void>,
  ) {
    this.#registration = vscode.window.registerWebviewViewProvider(CONVERSATION_VIEW, this);
  }

  resolveWebviewView(view: vscode.WebviewView): void {
    this.#view = view;
    const { webview } = view;
    const [out, media] = ["out", "media"].map((name) => vscode.Uri.joinPath(this.extension, name));
    webview.options = { enableScripts: true, localResourceRoots: [out, media].filter((each) => each != null) };
    webview.onDidReceiveMessage((value: unknown) => {
      const message = fromPage(value);
      if (message !== null) {
        this.heard(message).catch((error: unknown) => {
          void vscode.window.showErrorMessage(`StarCoder: ${reasonOf(error)}`);
        });
      }
    });
    view.onDidDispose(() => {
      this.#view = null;
    });
    webview.html = conversationPage({
      script: webview.asWebviewUri(vscode.Uri.joinPath(this.extension, "out", "conversation.js")).toString(),
      style: webview.asWebviewUri(vscode.Uri.joinPath(this.extension, "media", "conversation.css")).toString(),
      cspSource: webview.cspSource,
      nonce: makeNonce(),
    });
  }

  post(message: ToPage): void {
    void this.#view?.webview.postMessage(message);
  }

  async reveal(): Promise<void> {
    if (this.#view === null) {
      await vscode.commands.executeCommand(`${CONVERSATION_VIEW}.focus`);
    } else {
      this.#view.show(true);
    }
  }

  dispose(): void {
    this.#registration.dispose();
  }
}
