/** Sources in words: labels, hovers and titles. Pure; what comes from a source is escaped. */
import type { AttributionReport, Match, MatchKind, Reference, Source } from "../server/wire";

const KINDS: Readonly<Record<MatchKind, string>> = {
  exact: "exact copy",
  reformatted: "copy with another layout",
  near: "near copy",
  renamed: "copy with other names",
  seen: "seen in training",
};

export function kindInWords(kind: MatchKind): string {
  return KINDS[kind];
}

/** "MIT · owner/repo", and how many more there are; null without references. */
export function licenseLabel(references: readonly Reference[]): string | null {
  const [first] = references;
  if (first === undefined) {
    return null;
  }
  const more = references.length > 1 ? ` +${references.length - 1}` : "";
  return `${first.license ?? "unknown licence"} · ${first.name ?? "unknown source"}${more}`;
}

/** "src/cart.py, lines 4–18" as far as it is known. */
export function referencePlace({ path, startLine, endLine }: Reference): string {
  const where = startLine === null || endLine === null ? null : lines(startLine, endLine);
  return [path, where].filter((part) => part !== null).join(", ");
}

/** The source's file, "an unknown file" where only the portrait knows it. */
export function sourceName(source: Source | null): string {
  return source === null ? "an unknown file of the training set" : `${source.repository}/${source.path}`;
}

/** "MIT · lines 10–22 · exact copy". */
export function sourceDetail(match: Match): string {
  const parts = [kindInWords(match.kind)];
  if (match.source !== null) {
    parts.unshift(match.source.license ?? "unknown licence", lines(match.source.startLine, match.source.endLine));
  }
  if (match.alsoIn > 0) {
    parts.push(`and ${match.alsoIn} more ${match.alsoIn === 1 ? "file" : "files"}`);
  }
  return parts.join(" · ");
}

/** "line 4" or "lines 4–18"; lines count from 1. */
export function lines(start: number, end: number): string {
  return start === end ? `line ${start}` : `lines ${start}–${end}`;
}

/** One line about the whole check, for a message and above the list. */
export function summary(report: AttributionReport): string {
  if (report.message !== "") {
    return report.message.charAt(0).toUpperCase() + report.message.slice(1);
  }
  const { kind, documents } = report.searched;
  if (kind === "none") {
    return "Nothing was searched: there is no attribution index.";
  }
  const where = `${documents.toLocaleString("en")} files`;
  return report.matches.length === 0
    ? `Not found in ${where}.`
    : `${report.matches.length} found in ${where}.`;
}

/** A hover over a matched span. `links` are command links that the caller has made. */
export function hover(match: Match, links: string): string {
  const heading = `**${escapeMarkdown(sourceName(match.source))}**`;
  const similarity = match.kind === "exact" ? "" : `, ${Math.round(match.similarity * 100)} % alike`;
  const facts = `${escapeMarkdown(sourceDetail(match))} · ${match.tokens} tokens${similarity}`;
  return [heading, facts, links].filter((part) => part !== "").join("\n\n");
}

/** Text as markdown that shows just this text. */
export function escapeMarkdown(text: string): string {
  return text.replaceAll(/[\\`*_{}[\]()#+\-.!|<>~&$]/g, "\\$&").replaceAll(/\s+/g, " ");
}

/** A link that may be opened: web pages only. */
export function safeLink(url: string | null): string | null {
  if (url === null || !URL.canParse(url)) {
    return null;
  }
  const { protocol } = new URL(url);
  return protocol === "https:" || protocol === "http:" ? url : null;
}
