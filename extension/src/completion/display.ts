/**
 * When a growing suggestion is shown anew. The editor takes one answer for a question and knows no update, so that
 * showing more means making it ask again: only for a whole further line, only where the user has not moved,
 * never after they turned it down, and not more often than the eye likes. Pure: times come in.
 */

/** Between two refreshes; a fast engine's lines come every few milliseconds. */
export const MIN_REFRESH_GAP_MS = 90;

/** What the editor shows, and where: a refresh is for exactly this place. */
export interface Shown {
  readonly uri: string;
  readonly version: number;
  readonly offset: number;
  readonly text: string;
  readonly atMs: number;
}

export interface Place {
  readonly uri: string;
  readonly version: number;
  readonly offset: number;
}

export type Decision =
  | { readonly kind: "no" }
  | { readonly kind: "hide" }
  | { readonly kind: "in"; readonly delayMs: number };

const NO: Decision = { kind: "no" };

/** `text`: what could be shown now; "" when the server has taken it back. */
export function refreshDecision(
  shown: Shown | null,
  place: Place | null,
  text: string,
  nowMs: number,
): Decision {
  if (shown === null || place === null || !isSamePlace(shown, place)) {
    return NO;
  }
  if (text === "") {
    return { kind: "hide" };
  }
  const isFurther = text.length > shown.text.length && text.startsWith(shown.text);
  return isFurther ? { kind: "in", delayMs: Math.max(0, shown.atMs + MIN_REFRESH_GAP_MS - nowMs) } : NO;
}

/** Since this version the editor keeps the shown text when it asks again, and looks at who was asked before. */
const REPLACES_SINCE = 104;

/** Whether a version of VS Code can be made to show a longer text without hiding the shown one. */
export function canReplace(version: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major > 1 || (major === 1 && minor >= REPLACES_SINCE);
}

export function isSamePlace(one: Place, other: Place): boolean {
  return one.uri === other.uri && one.version === other.version && one.offset === other.offset;
}
