/** Follows a suggestion that grows while it is shown, and makes the editor show more of it. */
import * as vscode from "vscode";
import { canReplace, isSamePlace, refreshDecision, type Decision, type Place, type Shown } from "./display";
import { cursorPlace, isAtCursor } from "./places";
import { Redisplay, type Step } from "./redisplay";
import type { Selected, Suggestion } from "./suggestion";

/** From the answer with a longer text: the editor must have taken it, and a still longer one may be there. */
const TIDY_AFTER_MS = 150;

/** An editor that is busy with an older question asks a little later; one that snoozes does not. */
const PATIENCE_MS = 3000;

interface Expected {
  readonly place: Place;
  readonly step: Step;
  readonly asked: () => void;
}

export class Growth implements vscode.Disposable {
  readonly #redisplay = new Redisplay();
  #suggestion: Suggestion | null = null;
  #shown: Shown | null = null;
  #selected: Selected | null = null;
  #expected: Expected | null = null;
  #timer: NodeJS.Timeout | null = null;
  #tidyTimer: NodeJS.Timeout | null = null;
  #isHeld = false;

  /** `takenBack`: what is shown may no longer be. */
  constructor(private readonly takenBack: () => void) {}

  /** What the editor was answered last, if it still is for where the cursor was then. */
  get shown(): Shown | null {
    return this.#shown;
  }

  /** The item selected in the editor's own list at that answer. */
  get selected(): Selected | null {
    return this.#selected;
  }

  /** Another suggestion from here on. */
  follow(suggestion: Suggestion | null): void {
    this.#suggestion = suggestion;
    this.#isHeld = false;
    this.forget();
  }

  answered(shown: Shown, selected: Selected | null, step: Step | null): void {
    this.#shown = shown;
    this.#selected = selected;
    if (step === "longer") {
      this.#tidyTimer = setTimeout(() => void this.#tidy(), TIDY_AFTER_MS);
    }
  }

  /** What is shown is not for this place any more: refreshing it would be wrong. */
  forget(): void {
    this.#shown = null;
    this.#stopTimers();
  }

  /** The user leafs through the alternatives: a refresh would turn the page. */
  hold(): void {
    this.#isHeld = true;
    this.#stopTimers();
  }

  /** The step for which the editor was made to ask; null: it asks by itself. */
  stepOf(place: Place, context: vscode.InlineCompletionContext): Step | null {
    const isExplicit = context.triggerKind === vscode.InlineCompletionTriggerKind.Invoke;
    if (this.#expected === null || !isExplicit || !isSamePlace(this.#expected.place, place)) {
      return null;
    }
    const { step, asked } = this.#expected;
    this.#expected = null;
    asked();
    return step;
  }

  isAtCursor(): boolean {
    return this.#shown !== null && isAtCursor(this.#shown);
  }

  /** Ask as if a key had been pressed for it. */
  async anew(): Promise<void> {
    await this.#redisplay.make("anew");
  }

  /** The suggestion has changed. */
  grew(): void {
    // One refresh at a time: two would each go one alternative further, and so end at the old text.
    if (this.#expected !== null || this.#timer !== null) {
      return;
    }
    const decision = this.#decision();
    if (decision.kind === "hide") {
      this.takenBack();
    } else if (decision.kind === "in") {
      this.#timer = setTimeout(() => {
        this.#timer = null;
        void this.#refresh();
      }, decision.delayMs);
    }
  }

  dispose(): void {
    this.follow(null);
    this.#redisplay.dispose();
  }

  async #refresh(): Promise<void> {
    if (this.#expected !== null || this.#decision().kind !== "in") {
      return;
    }
    this.#stopTimers();
    await this.#ask(canReplace(vscode.version) ? "longer" : "anew");
    this.grew();
  }

  async #tidy(): Promise<void> {
    if (this.#expected === null && this.isAtCursor()) {
      await this.#ask("tidy");
      this.grew();
    }
  }

  /** Make the editor ask, and wait until it has. */
  async #ask(step: Step): Promise<void> {
    const place = cursorPlace();
    if (place === null) {
      return;
    }
    let timer: NodeJS.Timeout | undefined;
    const hasAsked = new Promise<void>((resolve) => {
      this.#expected = { place, step, asked: resolve };
      timer = setTimeout(resolve, PATIENCE_MS);
    });
    await this.#redisplay.make(step);
    await hasAsked;
    clearTimeout(timer);
    this.#expected = null;
  }

  #decision(): Decision {
    const suggestion = this.#suggestion;
    if (suggestion === null || this.#isHeld) {
      return { kind: "no" };
    }
    const text = suggestion.rests(this.#selected)[0]?.rest ?? "";
    // Nothing yet is not nothing at all.
    const isPartial = text === "" && !suggestion.isOver;
    return isPartial ? { kind: "no" } : refreshDecision(this.#shown, cursorPlace(), text, performance.now());
  }

  #stopTimers(): void {
    for (const timer of [this.#timer, this.#tidyTimer]) {
      if (timer !== null) {
        clearTimeout(timer);
      }
    }
    this.#timer = null;
    this.#tidyTimer = null;
  }
}
