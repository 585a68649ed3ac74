/** Follows a suggestion that grows while it is shown, and makes the editor show more of it. */
import * as vscode from "vscode";
import { isSamePlace, refreshDecision, type Decision, type Place, type Shown } from "./display";
import { cursorPlace, isAtCursor } from "./places";
import { Redisplay } from "./redisplay";
import type { Selected, Suggestion } from "./suggestion";

export class Growth implements vscode.Disposable {
  readonly #redisplay = new Redisplay();
  #suggestion: Suggestion | null = null;
  #shown: Shown | null = null;
  #selected: Selected | null = null;
  #refreshFor: Place | null = null;
  #timer: NodeJS.Timeout | null = null;
  #isRefreshing = false;
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

  answered(shown: Shown, selected: Selected | null): void {
    this.#shown = shown;
    this.#selected = selected;
  }

  /** What is shown is not for this place any more: refreshing it would be wrong. */
  forget(): void {
    this.#shown = null;
    if (this.#timer !== null) {
      clearTimeout(this.#timer);
      this.#timer = null;
    }
  }

  /** The user leafs through the alternatives: a refresh would turn the page. */
  hold(): void {
    this.#isHeld = true;
  }

  /** Whether the editor asks because it was made to. */
  isRefresh(place: Place, context: vscode.InlineCompletionContext): boolean {
    const isExplicit = context.triggerKind === vscode.InlineCompletionTriggerKind.Invoke;
    if (this.#refreshFor === null || !isExplicit || !isSamePlace(this.#refreshFor, place)) {
      return false;
    }
    this.#refreshFor = null;
    return true;
  }

  isAtCursor(): boolean {
    return this.#shown !== null && isAtCursor(this.#shown);
  }

  /** Ask as if a key had been pressed for it. */
  async anew(): Promise<void> {
    await this.#redisplay.anew();
  }

  /** The suggestion has changed. */
  grew(): void {
    if (this.#isRefreshing || this.#timer !== null) {
      return;
    }
    const decision = this.#decision(cursorPlace());
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

  /** One at a time: two at once would each go one alternative further, and so end at the old text. */
  async #refresh(): Promise<void> {
    const place = cursorPlace();
    if (this.#decision(place).kind !== "in") {
      return;
    }
    this.#refreshFor = place;
    this.#isRefreshing = true;
    try {
      await this.#redisplay.longer(() => this.#refreshFor === place);
    } finally {
      this.#isRefreshing = false;
    }
    this.grew();
  }

  #decision(place: Place | null): Decision {
    const suggestion = this.#suggestion;
    if (suggestion === null || this.#isHeld) {
      return { kind: "no" };
    }
    const text = suggestion.rests(this.#selected)[0]?.rest ?? "";
    // Nothing yet is not nothing at all.
    const isPartial = text === "" && !suggestion.isOver;
    return isPartial ? { kind: "no" } : refreshDecision(this.#shown, place, text, performance.now());
  }
}
