/** Whether suggestions are wanted in this window now: on, paused, or snoozed until a time. Pure. */

export type Gate =
  | { readonly kind: "open" }
  | { readonly kind: "paused" }
  | { readonly kind: "snoozed"; readonly untilMs: number };

export const OPEN: Gate = { kind: "open" };
export const PAUSED: Gate = { kind: "paused" };

export function snoozed(minutes: number, nowMs: number): Gate {
  return { kind: "snoozed", untilMs: nowMs + minutes * 60_000 };
}

export function isOpen(gate: Gate, nowMs: number): boolean {
  return gate.kind === "open" || (gate.kind === "snoozed" && nowMs >= gate.untilMs);
}

/** Whole minutes left, at least 1. */
export function minutesLeft(gate: Gate, nowMs: number): number {
  return gate.kind === "snoozed" ? Math.max(1, Math.ceil((gate.untilMs - nowMs) / 60_000)) : 0;
}
