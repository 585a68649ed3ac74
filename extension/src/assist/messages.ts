/** What the panel's page and the extension say to each other. Types only, and the check of what a page says. */
import type { Transcript } from "./transcript";

export type ToPage =
  | { readonly type: "transcript"; readonly turns: Transcript }
  | { readonly type: "focus"; readonly about: string };

export type FromPage =
  | { readonly type: "ready" }
  | { readonly type: "ask"; readonly question: string }
  | { readonly type: "stop" }
  | { readonly type: "copy" | "insert"; readonly turn: number; readonly block: number }
  | { readonly type: "show" | "accept" | "reject"; readonly turn: number };

/** A message of the page, or null if it is not one of ours: a page is not to be trusted more than needed. */
export function fromPage(value: unknown): FromPage | null {
  if (typeof value !== "object" || value === null) {
    return null;
  }
  const { type, question, turn, block } = value as Record<string, unknown>;
  switch (type) {
    case "ready":
    case "stop":
      return { type };
    case "ask":
      return typeof question === "string" ? { type, question } : null;
    case "copy":
    case "insert":
      return typeof turn === "number" && typeof block === "number" ? { type, turn, block } : null;
    case "show":
    case "accept":
    case "reject":
      return typeof turn === "number" ? { type, turn } : null;
    default:
      return null;
  }
}
