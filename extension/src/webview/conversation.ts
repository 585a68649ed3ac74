/** The script of the conversation's page: draws the transcript and sends what the user does. */
import type { FromPage, ToPage } from "../assist/messages";
import type { Turn } from "../assist/transcript";
import { createRenderer } from "./markdown";

interface Host {
  postMessage(message: FromPage): void;
}

declare function acquireVsCodeApi(): Host;

const host = acquireVsCodeApi();
const render = createRenderer();
const turns = element("turns");
const form = element("form") as HTMLFormElement;
const question = element("question") as HTMLTextAreaElement;
const stop = element("stop") as HTMLButtonElement;
const drawn = new Map<number, { turn: Turn; node: HTMLElement }>();
let pending: readonly Turn[] | null = null;

window.addEventListener("message", (event: MessageEvent<ToPage>) => {
  if (event.data.type === "transcript") {
    schedule(event.data.turns);
  }
});

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const text = question.value.trim();
  if (text !== "") {
    question.value = "";
    host.postMessage({ type: "ask", question: text });
  }
});

question.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    form.requestSubmit();
  }
});

stop.addEventListener("click", () => {
  host.postMessage({ type: "stop" });
});

turns.addEventListener("click", (event) => {
  const button = event.target instanceof HTMLElement ? event.target.closest("button") : null;
  const turn = Number(button?.closest<HTMLElement>("[data-turn]")?.dataset["turn"]);
  const action = button?.dataset["action"];
  if (action === "copy" || action === "insert") {
    host.postMessage({ type: action, turn, block: Number(button?.dataset["block"]) });
  } else if (action === "show" || action === "accept" || action === "reject") {
    host.postMessage({ type: action, turn });
  }
});

host.postMessage({ type: "ready" });

/** Deltas come faster than frames: draw the last one of each. */
function schedule(next: readonly Turn[]): void {
  if (pending === null) {
    requestAnimationFrame(() => {
      const current = pending ?? [];
      pending = null;
      draw(current);
    });
  }
  pending = next;
}

function draw(next: readonly Turn[]): void {
  const isAtEnd = turns.scrollHeight - turns.scrollTop - turns.clientHeight < 40;
  const ids = new Set(next.map((turn) => turn.id));
  for (const [id, { node }] of drawn) {
    if (!ids.has(id)) {
      node.remove();
      drawn.delete(id);
    }
  }
  for (const turn of next) {
    const known = drawn.get(turn.id);
    if (known === undefined || JSON.stringify(known.turn) !== JSON.stringify(turn)) {
      const node = turnNode(turn);
      if (known === undefined) {
        turns.append(node);
      } else {
        known.node.replaceWith(node);
      }
      drawn.set(turn.id, { turn, node });
    }
  }
  stop.hidden = !next.some((turn) => turn.state === "running");
  if (isAtEnd) {
    turns.scrollTop = turns.scrollHeight;
  }
}

function turnNode(turn: Turn): HTMLElement {
  const node = make("section", `turn ${turn.state}`);
  node.dataset["turn"] = String(turn.id);
  node.append(make("div", "question", turn.question));
  if (turn.about !== "") {
    node.append(make("div", "about", turn.about));
  }
  const answer = make("div", "answer");
  answer.innerHTML = render(turn.answer);
  node.append(answer);
  if (turn.hasProposal) {
    node.append(proposalButtons());
  }
  if (turn.sources.length > 0) {
    node.append(make("div", "sources", `Found in the training set: ${turn.sources.join("; ")}`));
  }
  const note = turn.state === "running" && turn.answer === "" ? "thinking …" : turn.note;
  if (note !== "") {
    node.append(make("div", "note", note));
  }
  return node;
}

function proposalButtons(): HTMLElement {
  const row = make("div", "row");
  for (const [action, label] of [
    ["show", "Show the change"],
    ["accept", "Accept"],
    ["reject", "Reject"],
  ] as const) {
    const button = make("button", action === "accept" ? "" : "secondary", label);
    button.dataset["action"] = action;
    row.append(button);
  }
  return row;
}

function make(tag: string, className: string, text = ""): HTMLElement {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  return node;
}

function element(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (found === null) {
    throw new Error(`the page has no element ${id}`);
  }
  return found;
}
