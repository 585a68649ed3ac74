/** The licence label beside a suggestion that was found in the training set. */
import * as vscode from "vscode";

export class LicenseLabel implements vscode.Disposable {
  readonly #decoration = vscode.window.createTextEditorDecorationType({
    after: {
      margin: "0 0 0 2em",
      color: new vscode.ThemeColor("editorCodeLens.foreground"),
      fontStyle: "italic",
    },
    rangeBehavior: vscode.DecorationRangeBehavior.ClosedClosed,
  });
  #editor: vscode.TextEditor | null = null;

  show(editor: vscode.TextEditor, line: number, text: string): void {
    this.hide();
    this.#editor = editor;
    const end = editor.document.lineAt(line).range.end;
    editor.setDecorations(this.#decoration, [
      { range: new vscode.Range(end, end), renderOptions: { after: { contentText: `§ ${text}` } } },
    ]);
  }

  hide(): void {
    this.#editor?.setDecorations(this.#decoration, []);
    this.#editor = null;
  }

  dispose(): void {
    this.#decoration.dispose();
  }
}

