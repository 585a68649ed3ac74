/** A conversation as the panel shows it. Pure: every change makes a new transcript. */
import type { AssistKind, Reference } from "../server/wire";

export interface Turn {
  readonly id: number;
  /** What the user asked, in a line or more. */
  readonly question: string;
  /** "cart.py, lines 4–18", "" without code. */
  readonly about: string;
  readonly answer: string;
  readonly state: "running" | "done" | "stopped" | "failed";
  /** The model, the reason of a failure, or "". */
  readonly note: string;
  readonly hasProposal: boolean;
  readonly sources: readonly string[];
}

export type Transcript = readonly Turn[];

const QUESTIONS: Readonly<Record<AssistKind, string>> = {
  ask: "",
  explain: "Explain this",
  document: "Document this",
  fix: "Fix this",
  test: "Write a test of this",
  edit: "",
};

/** What the user has asked, in words: their own, or those of the button they pressed. */
export function questionText(kind: AssistKind, question: string | undefined): string {
  const asked = question?.trim() ?? "";
  return asked !== "" ? asked : QUESTIONS[kind];
}

export function begun(transcript: Transcript, id: number, question: string, about: string): Transcript {
  const turn: Turn = {
    ...{ id, question, about, answer: "", state: "running", note: "", hasProposal: false, sources: [] },
  };
  return [...transcript, turn];
}

export function grown(transcript: Transcript, id: number, text: string): Transcript {
  return changed(transcript, id, (turn) =>
    turn.state === "running" ? { ...turn, answer: turn.answer + text } : turn,
  );
}

export interface Outcome {
  readonly text: string;
  readonly model: string;
  readonly finishReason: string;
  readonly hasProposal: boolean;
  readonly references: readonly Reference[];
  readonly remark: string;
}

const ENDINGS: Readonly<Record<string, string>> = {
  length: "cut at its longest answer",
  repetition: "stopped because it repeated itself",
};

export function answered(transcript: Transcript, id: number, outcome: Outcome): Transcript {
  // The server's remark says more than its reason.
  const ending = outcome.remark === "" ? ENDINGS[outcome.finishReason] : outcome.remark;
  const note = [outcome.model, ending ?? ""];
  return changed(transcript, id, (turn) => ({
    ...turn,
    answer: outcome.text,
    state: "done",
    note: note.filter((part) => part !== "").join(" · "),
    hasProposal: outcome.hasProposal,
    sources: outcome.references.map(sourceLine),
  }));
}

export function stopped(transcript: Transcript, id: number): Transcript {
  return changed(transcript, id, (turn) => ({ ...turn, state: "stopped", note: "stopped" }));
}

export function failed(transcript: Transcript, id: number, reason: string): Transcript {
  return changed(transcript, id, (turn) => ({ ...turn, state: "failed", note: reason }));
}

/** The change of a turn was taken or turned down. */
export function settled(transcript: Transcript, id: number, note: string): Transcript {
  return changed(transcript, id, (turn) => ({ ...turn, hasProposal: false, note }));
}

/** The code blocks of an answer, without their fences, in order. */
export function codeBlocks(markdown: string): string[] {
  const fences = /^ {0,3}(`{3,}|~{3,})[^\n]*\n([\s\S]*?)(?:\n {0,3}\1[ \t]*$|$(?![\s\S]))/gm;
  return [...markdown.matchAll(fences)].map((match) => match[2] ?? "");
}

function changed(transcript: Transcript, id: number, change: (turn: Turn) => Turn): Transcript {
  return transcript.map((turn) => (turn.id === id ? change(turn) : turn));
}

function sourceLine(reference: Reference): string {
  const parts = [reference.license ?? "unknown licence", reference.name, reference.path];
  return parts.filter((part) => part !== null).join(" · ");
}
