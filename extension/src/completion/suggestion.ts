/**
 * One question to the server and what is known of its answer: a state machine without clock and editor.
 *
 * It follows the edits since the question. As long as what stands at the place is a beginning of the suggestion
 * (typed through, or taken in part), the suggestion goes on and nothing new has to be asked. Any other edit ends it.
 */
import type { CompletionDelta, InlineItem, Position, Reference } from "../server/wire";

export interface Selected {
  readonly start: Position;
  readonly text: string;
}

/** An edit as the editor reports it: what is replaced, in offsets of the text before, and by what. */
export interface Edit {
  readonly offset: number;
  readonly length: number;
  readonly text: string;
}

export interface Origin {
  readonly uri: string;
  /** Where the cursor was, in the document and as line and column. */
  readonly offset: number;
  readonly position: Position;
  /** The item selected in the editor's own list: it would replace what stands from its start to the cursor. */
  readonly selected: Selected | null;
  readonly typed: string;
  /** Characters behind the cursor that the selected item would replace. */
  readonly tailLength: number;
  readonly explicit: boolean;
}

export interface Alternative {
  /** What may be shown: whole lines, or all of it when done. Without the selected item's text. */
  readonly shown: string;
  readonly done: boolean;
  readonly item: InlineItem | null;
  readonly references: readonly Reference[];
  readonly label: string | null;
}

/** A text to offer at the present cursor. `insert` stands for all from `typed`'s beginning on. */
export interface Rest {
  readonly index: number;
  readonly insert: string;
  readonly typed: string;
  readonly rest: string;
  /** Characters behind the cursor that the item replaces. */
  readonly tailLength: number;
  readonly item: InlineItem | null;
  readonly references: readonly Reference[];
  readonly label: string | null;
}

const EMPTY: Alternative = { shown: "", done: false, item: null, references: [], label: null };

export class Suggestion {
  readonly origin: Origin;
  #alternatives: Alternative[] = [];
  #typed: string;
  #isOver = false;
  #isBroken = false;

  constructor(origin: Origin) {
    this.origin = origin;
    this.#typed = origin.typed;
  }

  /** The answer is complete. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** An edit elsewhere, or one that does not agree: only a new question helps. */
  get isBroken(): boolean {
    return this.#isBroken;
  }

  get hasText(): boolean {
    return this.#alternatives.some((each) => each.shown !== "");
  }

  /** For a log: how long the alternatives are; no text of the user's. */
  get summary(): string {
    const lengths = this.#alternatives.map(({ shown, item }) => `${shown.length} characters${item ? "" : ", no item"}`);
    return lengths.length === 0 ? "no suggestion" : lengths.join("; ");
  }

  /** The finished item of an alternative, if it has come. */
  itemOf(index: number): InlineItem | null {
    return this.#alternatives[index]?.item ?? null;
  }

  delta(delta: Pick<CompletionDelta, "index" | "shown" | "done" | "references" | "label">): void {
    const known = this.#alternatives[delta.index] ?? EMPTY;
    this.#put(delta.index, {
      ...known,
      shown: delta.shown,
      done: delta.done,
      references: delta.references ?? known.references,
      label: delta.label ?? known.label,
    });
  }

  finished(item: InlineItem): void {
    const index = item.starcoder?.index ?? 0;
    const lead = this.origin.selected?.text ?? "";
    const shown = item.insertText.startsWith(lead) ? item.insertText.slice(lead.length) : item.insertText;
    this.#put(index, {
      shown,
      done: true,
      item,
      references: item.references ?? [],
      label: item.label ?? null,
    });
  }

  over(): void {
    this.#isOver = true;
  }

  break(): void {
    this.#isBroken = true;
  }

  edited(edits: readonly Edit[]): void {
    for (const edit of edits) {
      const at = edit.offset - this.#anchorOffset;
      if (at < 0 || at + edit.length > this.#typed.length) {
        this.#isBroken = true;
        return;
      }
      this.#typed = this.#typed.slice(0, at) + edit.text + this.#typed.slice(at + edit.length);
    }
  }

  /** Whether the cursor stands right behind what was typed, with the same item selected or none. */
  isAt(uri: string, offset: number, selected: Selected | null): boolean {
    if (this.#isBroken || uri !== this.origin.uri || offset !== this.#anchorOffset + this.#typed.length) {
      return false;
    }
    return selected === null || isSame(selected, this.origin.selected);
  }

  /** What of the alternatives continues the text at the cursor, the first alternative first. */
  rests(selected: Selected | null): Rest[] {
    return this.#alternatives.flatMap((alternative, index) => {
      const rest = this.#rest(alternative, index, selected);
      return rest === null ? [] : [rest];
    });
  }

  /** Whether more may come that continues what was typed, so that waiting makes sense. */
  get mayContinue(): boolean {
    const lead = this.origin.selected?.text ?? "";
    const typed = toLf(this.#typed);
    const isOpen = (each: Alternative): boolean => !each.done && (lead + each.shown).startsWith(typed);
    const isUntouched = this.#typed === this.origin.typed;
    return !this.#isOver && !this.#isBroken && (isUntouched || this.#alternatives.some(isOpen));
  }

  get #anchorOffset(): number {
    return this.origin.offset - this.origin.typed.length;
  }

  #rest(alternative: Alternative, index: number, selected: Selected | null): Rest | null {
    const lead = this.origin.selected?.text ?? "";
    const insert = lead + alternative.shown;
    const typed = toLf(this.#typed);
    const isInSelected = selected !== null && typed.length <= lead.length;
    if (alternative.shown === "" || !(isInSelected || insert.startsWith(typed))) {
      return null;
    }
    const rest = isInSelected ? alternative.shown : insert.slice(typed.length);
    if (rest === "") {
      return null;
    }
    const end = alternative.item?.range?.end.character;
    const tailLength = end === undefined ? this.origin.tailLength : end - this.origin.position.character;
    return {
      index,
      insert,
      typed,
      rest,
      tailLength: Math.max(0, tailLength),
      item: alternative.item,
      references: alternative.references,
      label: alternative.label,
    };
  }

  #put(index: number, alternative: Alternative): void {
    while (this.#alternatives.length < index) {
      this.#alternatives.push(EMPTY);
    }
    this.#alternatives[index] = alternative;
  }
}

export function isSame(one: Selected | null, other: Selected | null): boolean {
  if (one === null || other === null) {
    return one === other;
  }
  return (
    one.text === other.text &&
    one.start.line === other.start.line &&
    one.start.character === other.start.character
  );
}

function toLf(text: string): string {
  return text.replaceAll("\r\n", "\n");
}
