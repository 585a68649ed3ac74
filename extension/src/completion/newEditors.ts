/**
 * Keys in an editor that VS Code does not watch yet. What asks for inline completions (`InlineCompletionsController`) is
 * made for each new editor "eventually": when the window has nothing to do, at the latest after 5 s
 * (`EditorContributionInstantiation.Eventually` in inlineCompletions.contribution.ts, the timeout in `initialize` of
 * codeEditorContributions.ts; VS Code 1.139). Until then keys bring no question, and without another key none comes
 * later. The command `editor.action.inlineSuggest.trigger` makes it, so the first key in an editor is followed by that.
 * Pure: editors come in as any objects.
 */
export class NewEditors<Editor extends object> {
  readonly #watched = new WeakSet<Editor>();
  #isEdited = false;

  /** VS Code has asked about it, so it watches its keys. */
  asked(editor: Editor): void {
    this.#watched.add(editor);
  }

  /** The document of the active editor was edited, and not by undoing. */
  edited(): void {
    this.#isEdited = true;
  }

  /** The cursor of the active editor moved: whether by a key that VS Code may have missed. True once for each editor. */
  missed(editor: Editor, isByKey: boolean): boolean {
    const isTyped = this.#isEdited && isByKey;
    this.#isEdited = false;
    if (!isTyped || this.#watched.has(editor)) {
      return false;
    }
    this.#watched.add(editor);
    return true;
  }
}
