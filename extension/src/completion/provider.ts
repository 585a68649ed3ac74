/** Ghost text: answers the editor from the running suggestion, or asks the server. */
import * as vscode from "vscode";
import type { Server } from "../server/server";
import type { Acceptances } from "./acceptances";
import type { Place } from "./display";
import { compose } from "./ghost";
import { Growth } from "./growth";
import { originOf, placeOf, selectedOf } from "./places";
import { Question } from "./question";
import type { Step } from "./redisplay";
import type { Rest } from "./suggestion";

export const TAKEN = "starcoder.taken";
/** How long an answer that the editor stopped waiting for is kept running: the next key often wants it. */
const ORPHAN_MS = 400;

export interface ProviderEvents {
  readonly isWanted: () => boolean;
  /** The editor asks about this document. */
  readonly asked: (document: vscode.TextDocument) => void;
  /** The text now offered, with the place it is for; null: none. */
  readonly offered: (rest: Rest | null, place: Place | null) => void;
  readonly measured: (latencyMs: number) => void;
  readonly failed: (error: unknown) => void;
  /** For the log: what became of a question. */
  readonly noted: (what: string) => void;
}

/** What the editor asks. */
interface Asked {
  readonly document: vscode.TextDocument;
  readonly position: vscode.Position;
  readonly context: vscode.InlineCompletionContext;
  /** The step of a refresh for which it was made to ask. */
  readonly step: Step | null;
}

export class GhostTextProvider implements vscode.InlineCompletionItemProvider, vscode.Disposable {
  readonly #growth: Growth;
  #question: Question | null = null;
  #orphanTimer: NodeJS.Timeout | null = null;
  #isOffered = false;
  #isForced = false;
  #isStreaming = false;

  constructor(
    private readonly server: Server,
    private readonly acceptances: Acceptances,
    private readonly events: ProviderEvents,
  ) {
    this.#growth = new Growth(() => {
      this.#hidden();
      void vscode.commands.executeCommand("editor.action.inlineSuggest.hide");
    });
  }

  async provideInlineCompletionItems(
    document: vscode.TextDocument,
    position: vscode.Position,
    context: vscode.InlineCompletionContext,
    token: vscode.CancellationToken,
  ): Promise<vscode.InlineCompletionItem[] | undefined> {
    this.events.asked(document);
    if (!this.events.isWanted() || this.server.state !== "running") {
      return undefined;
    }
    const step = this.#growth.stepOf(placeOf(document, position), context);
    if (step !== null && this.#question === null) {
      return undefined; // turned down while the editor was being made to ask
    }
    const asked: Asked = { document, position, context, step };
    const question = this.#questionFor(asked);
    const place = describe(asked);
    const note = (outcome: string): void => {
      this.events.noted(`${question.token}: ${outcome} for ${place}`);
    };
    await this.#textOf(question, asked, token);
    if (token.isCancellationRequested || this.#question !== question) {
      note(token.isCancellationRequested ? "no longer wanted by the editor" : "another question came");
      return undefined;
    }
    const items = this.#offer(question, asked);
    note(items === undefined ? "nothing" : `${items.length} offered`);
    return step === "longer" ? items?.slice(0, 1) : items;
  }

  /** Ask anew, as if a key had been pressed for it. */
  async trigger(): Promise<void> {
    this.#isForced = true;
    await this.#growth.anew();
  }

  /** The user turned the suggestion down: what still comes of it is not shown. */
  async dismiss(): Promise<void> {
    this.#giveUp("turned down");
    await vscode.commands.executeCommand("editor.action.inlineSuggest.hide");
  }

  /** Follow an edit, before the editor asks about it. */
  edited(event: vscode.TextDocumentChangeEvent): void {
    const suggestion = this.#question?.suggestion;
    if (suggestion === undefined || event.contentChanges.length === 0) {
      return;
    }
    if (event.document.uri.toString() !== suggestion.origin.uri) {
      return;
    }
    const edits = event.contentChanges.map((change) => ({
      offset: change.rangeOffset,
      length: change.rangeLength,
      text: change.text,
    }));
    if (this.#growth.shown !== null && event.reason === undefined) {
      this.acceptances.edited(this.#growth.shown, edits);
    }
    suggestion.edited(edits);
    // Typed through, the editor keeps the ghost text, and with it what is shown beside it.
    if (suggestion.isBroken || suggestion.rests(this.#growth.selected).length === 0) {
      this.#hidden();
    } else {
      this.#growth.forget();
    }
  }

  /** The cursor has moved: the editor hides the ghost text by itself. */
  moved(): void {
    if (this.#growth.shown !== null && !this.#growth.isAtCursor()) {
      this.#hidden();
    }
  }

  dispose(): void {
    this.#giveUp("the extension ends");
    this.#growth.dispose();
  }

  #questionFor(asked: Asked): Question {
    this.#adopt();
    const { document, position, context, step } = asked;
    const isForced = this.#isForced && step === null;
    this.#isForced = false;
    const known = this.#question;
    if (known !== null && !isForced) {
      const { suggestion } = known;
      const selected = selectedOf(context, position);
      const isAt = suggestion.isAt(document.uri.toString(), document.offsetAt(position), selected);
      if (isAt && (suggestion.rests(selected).length > 0 || suggestion.mayContinue)) {
        this.events.noted(`${known.token} goes on for ${describe(asked)}`);
        return known;
      }
    }
    return this.#askNew(asked, isForced || isExplicit(context));
  }

  #askNew(asked: Asked, explicit: boolean): Question {
    this.#giveUp("another is asked");
    const { document, position, context } = asked;
    const origin = originOf(document, position, context, explicit);
    const question = new Question(
      this.server,
      document,
      origin,
      context.selectedCompletionInfo?.range ?? null,
    );
    this.#question = question;
    this.events.noted(`${question.token} asked for ${describe(asked)}`);
    this.#growth.follow(question.suggestion);
    question.onGrown(() => {
      if (this.#question === question) {
        this.#growth.grew();
      }
    });
    void this.#watch(question);
    return question;
  }

  async #watch(question: Question): Promise<void> {
    await question.firstText;
    if (question.suggestion.hasText) {
      this.events.measured(performance.now() - question.askedAtMs);
    }
    try {
      await question.finished;
      if (this.#question === question) {
        this.events.noted(`${question.token} complete: ${question.suggestion.summary}`);
      }
    } catch (error) {
      // Cancelled when it is given up: nothing went wrong.
      if (this.#question === question) {
        this.events.failed(error);
      }
    }
    this.#setStreaming(this.#question !== null && !this.#question.suggestion.isOver);
  }

  /** Wait until the question has something to show; all of it, when the user leafs through alternatives. */
  async #textOf(question: Question, asked: Asked, token: vscode.CancellationToken): Promise<void> {
    const { suggestion } = question;
    const isLeafing = suggestion.hasText && asked.step === null && isExplicit(asked.context);
    if (isLeafing) {
      this.#growth.hold();
    }
    const selected = selectedOf(asked.context, asked.position);
    const isShort = suggestion.hasText && suggestion.rests(selected).length === 0;
    const awaited = isLeafing || isShort ? question.finished : question.firstText;
    const cancelled = new Promise<void>((resolve) => {
      token.onCancellationRequested(() => {
        resolve();
        this.#orphan(question);
      });
    });
    // Whether it failed is `#watch`'s matter; here it only has nothing to show.
    await Promise.race([awaited.catch(() => undefined), cancelled]);
  }

  #offer(question: Question, asked: Asked): vscode.InlineCompletionItem[] | undefined {
    const { document, position, context } = asked;
    const selected = selectedOf(context, position);
    const rests = question.suggestion.rests(selected);
    const [first] = rests;
    if (first === undefined) {
      this.#hidden();
      return undefined;
    }
    const place = placeOf(document, position);
    this.#growth.answered({ ...place, text: first.rest, atMs: performance.now() }, selected, asked.step);
    this.#isOffered = true;
    this.#setStreaming(!question.suggestion.isOver);
    this.events.offered(first, place);
    this.acceptances.offered(question, rests);
    const lineText = document.lineAt(position.line).text;
    return rests.map((rest) => itemOf(question, rest, lineText, position));
  }

  #orphan(question: Question): void {
    this.#adopt();
    this.#orphanTimer = setTimeout(() => {
      if (this.#question === question && this.#growth.shown === null) {
        this.#giveUp("the editor asked no more");
      }
    }, ORPHAN_MS);
  }

  #adopt(): void {
    if (this.#orphanTimer !== null) {
      clearTimeout(this.#orphanTimer);
      this.#orphanTimer = null;
    }
  }

  #giveUp(why: string): void {
    if (this.#question !== null && !this.#question.suggestion.isOver) {
      this.events.noted(`${this.#question.token} given up: ${why}`);
    }
    this.#adopt();
    this.#hidden();
    this.#question?.dispose();
    this.#question = null;
    this.#growth.follow(null);
    this.#setStreaming(false);
  }

  #hidden(): void {
    this.#growth.forget();
    if (this.#isOffered) {
      this.#isOffered = false;
      this.events.offered(null, null);
    }
  }

  #setStreaming(isStreaming: boolean): void {
    if (isStreaming !== this.#isStreaming) {
      this.#isStreaming = isStreaming;
      void vscode.commands.executeCommand("setContext", "starcoder.streaming", isStreaming);
    }
  }
}

function isExplicit(context: vscode.InlineCompletionContext): boolean {
  return context.triggerKind === vscode.InlineCompletionTriggerKind.Invoke;
}

/** A place as a log has it: lines and columns from 1. */
function describe({ document, position, context, step }: Asked): string {
  const name = document.uri.path.slice(document.uri.path.lastIndexOf("/") + 1);
  const how = step ?? (isExplicit(context) ? "by key" : "while typing");
  return `${name}:${position.line + 1}:${position.character + 1} (version ${document.version}, ${how})`;
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
