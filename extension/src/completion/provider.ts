/** Ghost text: answers the editor from the running suggestion, or asks the server, and shows what grows. */
import * as vscode from "vscode";
import type { Server } from "../server/server";
import type { Acceptances } from "./acceptances";
import { refreshDecision, isSamePlace, type Place, type Shown } from "./display";
import { compose } from "./ghost";
import { Question } from "./question";
import { cursorPlace, isAtCursor, originOf, placeOf, selectedOf } from "./places";
import type { Rest, Selected } from "./suggestion";

export const TAKEN = "starcoder.taken";
/** How long an answer that the editor stopped waiting for is kept running: the next key often wants it. */
const ORPHAN_MS = 400;

export interface ProviderEvents {
  readonly isWanted: () => boolean;
  /** The text now offered, with the place it is for; null: none. */
  readonly offered: (rest: Rest | null, place: Place | null) => void;
  readonly measured: (latencyMs: number) => void;
  readonly failed: (error: unknown) => void;
}

export class GhostTextProvider implements vscode.InlineCompletionItemProvider, vscode.Disposable {
  #question: Question | null = null;
  #shown: Shown | null = null;
  #selected: Selected | null = null;
  #isOffered = false;
  #refreshFor: Place | null = null;
  #refreshTimer: NodeJS.Timeout | null = null;
  #orphanTimer: NodeJS.Timeout | null = null;
  #isForced = false;
  #wasCycled = false;
  #isStreaming = false;

  constructor(
    private readonly server: Server,
    private readonly acceptances: Acceptances,
    private readonly events: ProviderEvents,
  ) {}

  async provideInlineCompletionItems(
    document: vscode.TextDocument,
    position: vscode.Position,
    context: vscode.InlineCompletionContext,
    token: vscode.CancellationToken,
  ): Promise<vscode.InlineCompletionItem[] | undefined> {
    if (!this.events.isWanted() || this.server.state !== "running") {
      return undefined;
    }
    const place = placeOf(document, position);
    const isRefresh = this.#refreshFor !== null && isSamePlace(this.#refreshFor, place);
    this.#refreshFor = null;
    const question = this.#questionFor(document, position, context, isRefresh);
    await this.#textOf(question, context, position, isRefresh, token);
    if (token.isCancellationRequested || this.#question !== question) {
      return undefined;
    }
    const items = this.#offer(question, document, position, selectedOf(context, position));
    return isRefresh ? items?.slice(0, 1) : items;
  }

  /** Ask anew, as if a key had been pressed for it. */
  async trigger(): Promise<void> {
    this.#isForced = true;
    await showAnew();
  }

  /** The user turned the suggestion down: what still comes of it is not shown. */
  async dismiss(): Promise<void> {
    this.#giveUp();
    await vscode.commands.executeCommand("editor.action.inlineSuggest.hide");
  }

  /** Follow an edit, before the editor asks about it. */
  edited(event: vscode.TextDocumentChangeEvent): void {
    const question = this.#question;
    if (question === null || event.contentChanges.length === 0) {
      return;
    }
    if (event.document.uri.toString() !== question.suggestion.origin.uri) {
      return;
    }
    const edits = event.contentChanges.map((change) => ({
      offset: change.rangeOffset,
      length: change.rangeLength,
      text: change.text,
    }));
    if (this.#shown !== null && event.reason === undefined) {
      this.acceptances.edited(this.#shown, edits);
    }
    question.suggestion.edited(edits);
    // Typed through, the editor keeps the ghost text, and with it what is shown beside it.
    if (question.suggestion.isBroken || question.suggestion.rests(this.#selected).length === 0) {
      this.#hidden();
    } else {
      this.#stale();
    }
  }

  /** The cursor has moved: the editor hides the ghost text by itself. */
  moved(): void {
    if (this.#shown !== null && !isAtCursor(this.#shown)) {
      this.#hidden();
    }
  }

  dispose(): void {
    this.#giveUp();
  }

  #questionFor(
    document: vscode.TextDocument,
    position: vscode.Position,
    context: vscode.InlineCompletionContext,
    isRefresh: boolean,
  ): Question {
    this.#adopt();
    const selected = selectedOf(context, position);
    const isForced = this.#isForced && !isRefresh;
    this.#isForced = false;
    const known = this.#question;
    if (known !== null && !isForced) {
      const { suggestion } = known;
      const isAt = suggestion.isAt(document.uri.toString(), document.offsetAt(position), selected);
      if (isAt && (suggestion.rests(selected).length > 0 || suggestion.mayContinue)) {
        return known;
      }
    }
    const isExplicit = isForced || context.triggerKind === vscode.InlineCompletionTriggerKind.Invoke;
    return this.#askNew(document, position, context, isExplicit);
  }

  #askNew(
    document: vscode.TextDocument,
    position: vscode.Position,
    context: vscode.InlineCompletionContext,
    isExplicit: boolean,
  ): Question {
    this.#giveUp();
    const origin = originOf(document, position, context, isExplicit);
    const question = new Question(
      this.server,
      document,
      origin,
      context.selectedCompletionInfo?.range ?? null,
    );
    this.#question = question;
    this.#wasCycled = false;
    question.onGrown(() => {
      this.#grown(question);
    });
    question.finished
      .catch((error: unknown) => {
        if (this.#question === question) {
          this.events.failed(error);
        }
      })
      .finally(() => {
        this.#setStreaming(this.#question !== null && !this.#question.suggestion.isOver);
      });
    void question.firstText.then(() => {
      if (question.suggestion.hasText) {
        this.events.measured(performance.now() - question.askedAtMs);
      }
    });
    return question;
  }

  /** Wait until the question has something to show; all of it, when the user leafs through alternatives. */
  async #textOf(
    question: Question,
    context: vscode.InlineCompletionContext,
    position: vscode.Position,
    isRefresh: boolean,
    token: vscode.CancellationToken,
  ): Promise<void> {
    const hasText = question.suggestion.hasText;
    const isLeafing =
      hasText && !isRefresh && context.triggerKind === vscode.InlineCompletionTriggerKind.Invoke;
    this.#wasCycled ||= isLeafing;
    const isShort = hasText && question.suggestion.rests(selectedOf(context, position)).length === 0;
    const awaited = isLeafing || isShort ? question.finished : question.firstText;
    const cancelled = new Promise<void>((resolve) => {
      token.onCancellationRequested(() => {
        resolve();
        this.#orphan(question);
      });
    });
    await Promise.race([awaited.catch(() => undefined), cancelled]);
  }

  #offer(
    question: Question,
    document: vscode.TextDocument,
    position: vscode.Position,
    selected: Selected | null,
  ): vscode.InlineCompletionItem[] | undefined {
    const rests = question.suggestion.rests(selected);
    const [first] = rests;
    if (first === undefined) {
      this.#hidden();
      return undefined;
    }
    const place = placeOf(document, position);
    this.#shown = { ...place, text: first.rest, atMs: performance.now() };
    this.#selected = selected;
    this.#isOffered = true;
    this.#setStreaming(!question.suggestion.isOver);
    this.events.offered(first, place);
    this.acceptances.offered(question, rests);
    const lineText = document.lineAt(position.line).text;
    return rests.map((rest) => itemOf(question, rest, lineText, position));
  }

  #grown(question: Question): void {
    if (this.#question !== question || this.#refreshTimer !== null || this.#wasCycled) {
      return;
    }
    const [first] = question.suggestion.rests(this.#selected);
    const text = first?.rest ?? "";
    const isPartial = text === "" && !question.suggestion.isOver;
    const decision = refreshDecision(this.#shown, cursorPlace(), text, performance.now());
    if (isPartial || decision.kind === "no") {
      this.#learned(first);
      return;
    }
    if (decision.kind === "hide") {
      this.#hidden();
      void vscode.commands.executeCommand("editor.action.inlineSuggest.hide");
      return;
    }
    this.#refreshTimer = setTimeout(() => {
      this.#refreshTimer = null;
      this.#refresh(question);
    }, decision.delayMs);
  }

  /** What is shown already may have been found only now: where it comes from is told at the end of the text. */
  #learned(rest: Rest | undefined): void {
    if (this.#isOffered && rest !== undefined && rest.rest === this.#shown?.text && rest.references.length > 0) {
      this.events.offered(rest, this.#shown);
    }
  }

  #refresh(question: Question): void {
    const place = cursorPlace();
    const text = question.suggestion.rests(this.#selected)[0]?.rest ?? "";
    const decision = refreshDecision(this.#shown, place, text, performance.now());
    if (this.#question === question && decision.kind === "in" && !this.#wasCycled) {
      this.#refreshFor = place;
      void showLonger();
    }
  }

  #orphan(question: Question): void {
    this.#adopt();
    this.#orphanTimer = setTimeout(() => {
      if (this.#question === question && this.#shown === null) {
        this.#giveUp();
      }
    }, ORPHAN_MS);
  }

  #adopt(): void {
    if (this.#orphanTimer !== null) {
      clearTimeout(this.#orphanTimer);
      this.#orphanTimer = null;
    }
  }

  #giveUp(): void {
    this.#adopt();
    this.#hidden();
    this.#question?.dispose();
    this.#question = null;
    this.#setStreaming(false);
  }

  #hidden(): void {
    this.#stale();
    if (this.#isOffered) {
      this.#isOffered = false;
      this.events.offered(null, null);
    }
  }

  /** What is shown is no longer for this place; a refresh would be wrong. */
  #stale(): void {
    if (this.#refreshTimer !== null) {
      clearTimeout(this.#refreshTimer);
      this.#refreshTimer = null;
    }
    this.#shown = null;
  }

  #setStreaming(isStreaming: boolean): void {
    if (isStreaming !== this.#isStreaming) {
      this.#isStreaming = isStreaming;
      void vscode.commands.executeCommand("setContext", "starcoder.streaming", isStreaming);
    }
  }
}

/** Ask the editor to ask again. Triggering alone would keep the text that is shown. */
async function showAnew(): Promise<void> {
  await vscode.commands.executeCommand("runCommands", {
    commands: ["editor.action.inlineSuggest.hide", "editor.action.inlineSuggest.trigger"],
  });
}

/**
 * Put the longer text in place of the shown one without a frame between them (measured: hiding and triggering left
 * one in five growths blank for two frames). The editor asks again and keeps the shown text as an alternative before
 * the new one, if it keeps it at all; the next one is the new one either way, as only that is answered.
 */
async function showLonger(): Promise<void> {
  await vscode.commands.executeCommand("editor.action.inlineSuggest.showNext");
}

function itemOf(
  question: Question,
  rest: Rest,
  lineText: string,
  position: vscode.Position,
): vscode.InlineCompletionItem {
  const ghost = compose(rest, lineText, position.character);
  const range = new vscode.Range(position.line, ghost.startCharacter, position.line, ghost.endCharacter);
  const item = new vscode.InlineCompletionItem(ghost.insertText, range, {
    title: "Taken",
    command: TAKEN,
    arguments: [question.token, rest.index, rest.insert.length],
  });
  if (ghost.filterText !== undefined) {
    item.filterText = ghost.filterText;
  }
  return item;
}
