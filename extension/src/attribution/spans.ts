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

/**
 * A range as one range a line, from the first character that is no white space to the last: marking the
 * indentation too would look like a selection. `lineText` gives a line's text by number.
 */
export function lineRanges({ start, end }: Range, lineText: (line: number) => string): Range[] {
  const ranges: Range[] = [];
  for (let line = start.line; line <= end.line; line += 1) {
    const text = lineText(line);
    const first = text.length - text.trimStart().length;
    const from = Math.max(first, line === start.line ? start.character : 0);
    const to = Math.min(text.trimEnd().length, line === end.line ? end.character : text.length);
    if (from < to) {
      ranges.push({ start: { line, character: from }, end: { line, character: to } });
    }
  }
  return ranges;
}

/** The lines `startLine` to `endLine` (from 1, both included) of a text, with `around` lines on each side. */
export function excerpt(text: string, startLine: number, endLine: number, around = 0): string {
  const lines = text.split(/\r\n|\r|\n/);
  return lines.slice(Math.max(0, startLine - 1 - around), endLine + around).join("\n");
}

function compare(one: Range["start"], other: Range["start"]): number {
  return one.line - other.line || one.character - other.character;
}
