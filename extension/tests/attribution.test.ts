import { describe, expect, it } from "vitest";
import {
  escapeMarkdown,
  hover,
  licenseLabel,
  lines,
  referencePlace,
  safeLink,
  sourceDetail,
  sourceName,
  summary,
} from "../src/attribution/describe";
import { excerpt, lineRanges, spansOf } from "../src/attribution/spans";
import type { AttributionReport, Match, Reference } from "../src/server/wire";

const source = {
  repository: "owner/repo",
  path: "src/cart.py",
  revision: "0123456789abcdef",
  license: "MIT",
  url: "https://example.org/owner/repo",
  startLine: 10,
  endLine: 22,
};

function match(changes: Partial<Match> = {}): Match {
  return {
    id: "match-1",
    kind: "exact",
    tokens: 48,
    similarity: 1,
    range: { start: { line: 3, character: 0 }, end: { line: 9, character: 4 } },
    source,
    alsoIn: 0,
    ...changes,
  };
}

function report(changes: Partial<AttributionReport> = {}): AttributionReport {
  const searched = { kind: "index", index: "/index", documents: 22_955 } as const;
  return { uri: "file:///a.py", version: 1, checked: null, searched, message: "", matches: [], ...changes };
}

describe("a match in words", () => {
  it("names file, licence, lines and kind", () => {
    expect(sourceName(source)).toBe("owner/repo/src/cart.py");
    expect(sourceDetail(match())).toBe("MIT · lines 10–22 · exact copy");
    expect(sourceDetail(match({ alsoIn: 41, kind: "renamed" }))).toBe(
      "MIT · lines 10–22 · copy with other names · and 41 more files",
    );
    expect(lines(4, 4)).toBe("line 4");
  });

  it("says what is not known", () => {
    expect(sourceDetail(match({ source: { ...source, license: null } }))).toContain("unknown licence");
    expect(sourceDetail(match({ source: null, kind: "seen" }))).toBe("seen in training");
    expect(sourceName(null)).toContain("unknown file");
  });

  it("shows a source's text as text, whatever it contains", () => {
    const evil = match({ source: { ...source, path: "[x](command:evil) <img src=x> **b**" } });
    const text = hover(evil, "");
    expect(text).toContain("\\[x\\]\\(command:evil\\)");
    expect(text).toContain("\\<img src=x\\>");
    expect(text).not.toMatch(/[^\\]\*\*b/);
    expect(escapeMarkdown("a\n\n# b")).toBe("a \\# b");
  });

  it("opens web pages only", () => {
    expect(safeLink("https://example.org/a")).toBe("https://example.org/a");
    for (const bad of ["command:evil", "file:///etc/passwd", "javascript:alert(1)", "no link", null]) {
      expect(safeLink(bad)).toBeNull();
    }
  });
});

describe("the answer to a check", () => {
  it("is the server's own line", () => {
    expect(summary(report({ message: "not found in 12 files of x" }))).toBe("Not found in 12 files of x");
  });

  it("says what was searched where the server says nothing", () => {
    expect(summary(report())).toBe("Not found in 22,955 files.");
    expect(summary(report({ searched: { kind: "none", index: null, documents: 0 } }))).toContain("no attribution index");
    expect(summary(report({ matches: [match()] }))).toBe("1 found in 22,955 files.");
  });
});

describe("marks", () => {
  it("put matches of one range together, in the order of the document", () => {
    const later = { start: { line: 20, character: 0 }, end: { line: 21, character: 0 } };
    const spans = spansOf([match({ id: "c", range: later }), match({ id: "a" }), match({ id: "b" })]);
    expect(spans.map((span) => span.matches.map((each) => each.id))).toEqual([["a", "b"], ["c"]]);
  });

  it("leave out what has no place in the document", () => {
    expect(spansOf([match({ range: null })])).toEqual([]);
  });

  it("leave out indentation and blank lines", () => {
    const text = ["  if x:", "", "    y()  ", "z"];
    const range = { start: { line: 0, character: 4 }, end: { line: 3, character: 0 } };
    const marked = lineRanges(range, (line) => text[line] ?? "").map(({ start, end }) =>
      text[start.line]?.slice(start.character, end.character),
    );
    expect(marked).toEqual([" x:", "y()"]);
  });

  it("cut lines out of a text, with some around and any line end", () => {
    const text = "1\r\n2\n3\r4\n5";
    expect(excerpt(text, 2, 3)).toBe("2\n3");
    expect(excerpt(text, 2, 3, 1)).toBe("1\n2\n3\n4");
    expect(excerpt(text, 1, 1, 3)).toBe("1\n2\n3\n4");
    expect(excerpt(text, 5, 9, 1)).toBe("4\n5");
  });
});

describe("references of a suggestion", () => {
  const reference: Reference = {
    ...{ name: "owner/repo", path: "a.py", url: null, license: "MIT", kind: "exact", tokens: 40 },
    ...{ startLine: 1, endLine: 9, span: { start: 0, end: 80 }, verdict: null },
  };

  it("make a label of licence and repository", () => {
    expect(licenseLabel([])).toBeNull();
    expect(licenseLabel([reference])).toBe("MIT · owner/repo");
    expect(licenseLabel([reference, reference, reference])).toBe("MIT · owner/repo +2");
    expect(licenseLabel([{ ...reference, license: null, name: null }])).toBe("unknown licence · unknown source");
  });

  it("say where, as far as it is known", () => {
    expect(referencePlace(reference)).toBe("a.py, lines 1–9");
    expect(referencePlace({ ...reference, path: null, startLine: null, endLine: null })).toBe("");
  });
});
