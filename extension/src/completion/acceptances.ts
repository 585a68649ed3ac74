/** Tells the server what became of its items: shown, taken, taken in part. */
import type { Server } from "../server/server";
import { ACCEPTED, DID_PARTIALLY_ACCEPT, DID_SHOW, type InlineItem } from "../server/wire";
import type { Shown } from "./display";
import { partiallyTaken } from "./partial";
import type { Question } from "./question";
import type { Edit, Rest } from "./suggestion";

export class Acceptances {
  #question: Question | null = null;
  #rests: readonly Rest[] = [];
  #told = new Set<string>();

  constructor(
    private readonly server: Server,
    private readonly failed: (error: unknown) => void,
  ) {}

  /** These are in front of the user now. The server counts an item once it is complete. */
  offered(question: Question, rests: readonly Rest[]): void {
    this.#question = question;
    this.#rests = rests;
    const id = rests[0]?.item?.starcoder?.id;
    if (id !== undefined && !this.#told.has(id)) {
      this.#told = new Set([...this.#told].slice(-63)).add(id);
      this.#send(this.server.notify(DID_SHOW, { item: withCommand(id) }));
    }
  }

  /** An edit where a suggestion is shown: was a word or a line of it taken? */
  edited(shown: Shown, edits: readonly Edit[]): void {
    const length = partiallyTaken(shown, edits);
    const [rest] = this.#rests;
    if (length > 0 && rest !== undefined && this.#question !== null) {
      const before = rest.insert.length - rest.rest.length;
      this.#partially(this.#question, rest.index, before + length);
    }
  }

  /** The editor inserted all that was shown of an alternative; it may still have been growing. */
  taken(token: string, index: number, insertedLength: number): void {
    if (this.#question?.token !== token) {
      return;
    }
    const item = this.#itemOf(this.#question, index);
    const id = item?.starcoder?.id;
    if (id !== undefined && item?.insertText.length === insertedLength) {
      this.#send(this.server.execute(ACCEPTED, id));
    } else {
      this.#partially(this.#question, index, insertedLength);
    }
  }

  #partially(question: Question, index: number, acceptedLength: number): void {
    const telling = question.finished.then(async () => {
      const id = this.#itemOf(question, index)?.starcoder?.id;
      if (id !== undefined) {
        await this.server.notify(DID_PARTIALLY_ACCEPT, { item: withCommand(id), acceptedLength });
      }
    });
    this.#send(telling);
  }

  #itemOf(question: Question, index: number): InlineItem | null {
    return question.suggestion.itemOf(index);
  }

  #send(sending: Promise<unknown>): void {
    sending.catch(this.failed);
  }
}

function withCommand(id: string): object {
  return { command: { title: "Accepted", command: ACCEPTED, arguments: [id] } };
}
