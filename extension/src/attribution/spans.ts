/** Which lines of the editor are marked for which matches. Pure. */
import type { Match, Range } from "../server/wire";

export interface Span {
  readonly range: Range;
  /** The matches found at exactly this range, the best first. */
  readonly matches: readonly Match[];
}

/** Matches by range, so that three sources of the same lines are one mark with three entries. */
export function spansOf(matches: readonly Match[]): Span[] {
  const spans = new Map<string, { range: Range; matches: Match[] }>();
  for (const match of matches) {
    if (match.range === null) {
      continue;
    }
    const { start, end } = match.range;
    const key = `${start.line}:${start.character}-${end.line}:${end.character}`;
    const span = spans.get(key) ?? { range: match.range, matches: [] };
    span.matches.push(match);
    spans.set(key, span);
  }
  return [...spans.values()].sort((one, other) => compare(one.range.start, other.range.start));
}

/** The lines `startLine` to `endLine` (from 1, both included) of a text, with `around` lines on each side. */
export function excerpt(text: string, startLine: number, endLine: number, around = 0): string {
  const lines = text.split(/\r\n|\r|\n/);
  return lines.slice(Math.max(0, startLine - 1 - around), endLine + around).join("\n");
}

function compare(one: Range["start"], other: Range["start"]): number {
  return one.line - other.line || one.character - other.character;
}
