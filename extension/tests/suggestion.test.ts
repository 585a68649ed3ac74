import { describe, expect, it } from "vitest";
import { compose } from "../src/completion/ghost";
import { Suggestion, type Origin, type Selected } from "../src/completion/suggestion";
import type { InlineItem } from "../src/server/wire";

const URI = "file:///cart.py";

/** A question at the cursor ║ of a text. */
function asked(text: string, selected: Selected | null = null): Suggestion {
  return new Suggestion(originOf(text, selected));
}

function originOf(text: string, selected: Selected | null): Origin {
  const offset = text.indexOf("║");
  const before = text.slice(0, offset).split("\n");
  const line = before.length - 1;
  const character = before.at(-1)?.length ?? 0;
  const typed = selected === null ? "" : (before.at(-1) ?? "").slice(selected.start.character);
  return { uri: URI, offset, position: { line, character }, selected, typed, tailLength: 0, explicit: false };
}

function typed(suggestion: Suggestion, text: string, offset: number): number {
  for (let index = 0; index < text.length; index += 1) {
    suggestion.edited([{ offset: offset + index, length: 0, text: text.charAt(index) }]);
  }
  return offset + text.length;
}

function item(insertText: string, end = 0, index = 0): InlineItem {
  const range = { start: { line: 0, character: 0 }, end: { line: 0, character: end } };
  return { insertText, range, starcoder: { id: `item-${index}`, index, latencyMs: 3 } };
}

const delta = (shown: string, done = false, index = 0) => ({ index, shown, done });

describe("a suggestion that is typed through", () => {
  it("leaves what has not been typed", () => {
    const suggestion = asked("for ║");
    suggestion.finished(item("item in items:", 4));
    const offset = typed(suggestion, "item", 4);
    expect(suggestion.isAt(URI, offset, null)).toBe(true);
    expect(suggestion.rests(null).map((rest) => rest.rest)).toEqual([" in items:"]);
  });

  it("has nothing left once all of it is typed", () => {
    const suggestion = asked("║");
    suggestion.finished(item("pass"));
    suggestion.over();
    typed(suggestion, "pass", 0);
    expect(suggestion.rests(null)).toEqual([]);
    expect(suggestion.mayContinue).toBe(false);
  });

  it("has nothing to offer where something else was typed, and again after the deletion", () => {
    const suggestion = asked("║");
    suggestion.finished(item("pass"));
    typed(suggestion, "px", 0);
    expect(suggestion.rests(null)).toEqual([]);
    suggestion.edited([{ offset: 1, length: 1, text: "" }]);
    expect(suggestion.isAt(URI, 1, null)).toBe(true);
    expect(suggestion.rests(null)[0]?.rest).toBe("ass");
  });

  it("goes on when a word of it was taken at once", () => {
    const suggestion = asked("return ║");
    suggestion.finished(item("self.items[0]", 7));
    suggestion.edited([{ offset: 7, length: 0, text: "self" }]);
    expect(suggestion.isAt(URI, 11, null)).toBe(true);
    expect(suggestion.rests(null)[0]?.rest).toBe(".items[0]");
  });

  it("agrees over line ends of both kinds", () => {
    const suggestion = asked("║");
    suggestion.finished(item("if x:\n    y()\nz()"));
    suggestion.edited([{ offset: 0, length: 0, text: "if x:\r\n    " }]);
    expect(suggestion.rests(null)[0]?.rest).toBe("y()\nz()");
  });

  it("is broken by an edit elsewhere, and never comes back", () => {
    const suggestion = asked("ab║cd");
    suggestion.finished(item("X", 2));
    suggestion.edited([{ offset: 0, length: 1, text: "" }]);
    expect(suggestion.isBroken).toBe(true);
    expect(suggestion.isAt(URI, 2, null)).toBe(false);
  });

  it("is broken by an edit behind the cursor", () => {
    const suggestion = asked("ab║cd");
    suggestion.edited([{ offset: 3, length: 0, text: "!" }]);
    expect(suggestion.isBroken).toBe(true);
  });

  it("is not at a cursor that went elsewhere, nor inside a pair that the editor closed", () => {
    const suggestion = asked("print║");
    suggestion.finished(item("(x)", 5));
    suggestion.edited([{ offset: 5, length: 0, text: "()" }]);
    expect(suggestion.isAt(URI, 6, null)).toBe(false);
    expect(suggestion.isAt("file:///other.py", 7, null)).toBe(false);
  });
});

describe("a suggestion that is still coming", () => {
  it("shows whole lines as they come, then the item", () => {
    const suggestion = asked("║");
    expect(suggestion.hasText).toBe(false);
    suggestion.delta(delta(""));
    expect(suggestion.hasText).toBe(false);
    suggestion.delta(delta("a = 1"));
    expect(suggestion.rests(null)[0]?.rest).toBe("a = 1");
    suggestion.delta(delta("a = 1\nb = 2"));
    expect(suggestion.rests(null)[0]?.rest).toBe("a = 1\nb = 2");
    suggestion.finished(item("a = 1\nb = 2\nc"));
    expect(suggestion.rests(null)[0]).toMatchObject({ rest: "a = 1\nb = 2\nc", item: { insertText: "a = 1\nb = 2\nc" } });
  });

  it("may continue what was typed up to the end of its shown part", () => {
    const suggestion = asked("║");
    suggestion.delta(delta("a = 1"));
    typed(suggestion, "a = 1", 0);
    expect(suggestion.rests(null)).toEqual([]);
    expect(suggestion.mayContinue).toBe(true);
    suggestion.delta(delta("a = 1\nb = 2"));
    expect(suggestion.rests(null)[0]?.rest).toBe("\nb = 2");
  });

  it("cannot continue what it does not know yet: the server is asked again", () => {
    const suggestion = asked("║");
    expect(suggestion.mayContinue).toBe(true);
    typed(suggestion, "x", 0);
    expect(suggestion.mayContinue).toBe(false);
  });

  it("does not wait for more once the answer is over, finished or not", () => {
    const suggestion = asked("║");
    suggestion.delta(delta("a = 1"));
    typed(suggestion, "a = 1", 0);
    suggestion.over();
    expect(suggestion.mayContinue).toBe(false);
  });

  it("has text as soon as a line may be shown, and none when nothing came of it", () => {
    const suggestion = asked("║");
    suggestion.delta(delta("", true));
    expect(suggestion.hasText).toBe(false);
    suggestion.delta(delta("b = 2", false, 1));
    expect(suggestion.hasText).toBe(true);
  });

  it("has nothing left when the server takes it back", () => {
    const suggestion = asked("║");
    suggestion.delta(delta("a = 1"));
    suggestion.delta(delta("", true));
    expect(suggestion.rests(null)).toEqual([]);
  });

  it("keeps alternatives in their order, whichever ends first", () => {
    const suggestion = asked("║");
    suggestion.finished(item("second", 0, 1));
    suggestion.finished(item("first", 0, 0));
    expect(suggestion.rests(null).map((rest) => [rest.index, rest.insert])).toEqual([
      [0, "first"],
      [1, "second"],
    ]);
  });

  it("takes references and the label from the last delta or the item", () => {
    const suggestion = asked("║");
    const reference = { name: "owner/repo", path: "a.py", url: null, license: "MIT" };
    const range = { startLine: 1, endLine: 3 };
    const whole = { ...reference, ...range, kind: "exact", tokens: 40, verdict: null } as const;
    const references = [{ ...whole, span: { start: 0, end: 4 } }];
    suggestion.delta({ ...delta("abcd", true), references, label: "MIT · owner/repo" });
    expect(suggestion.rests(null)[0]).toMatchObject({ label: "MIT · owner/repo", references });
  });
});

describe("with an item selected in the editor's list", () => {
  const selected = { start: { line: 0, character: 5 }, text: "append" };

  it("extends the selected item, also while its name is typed", () => {
    const suggestion = asked("list.app║", selected);
    suggestion.finished(item("append(item)", 8));
    expect(suggestion.rests(selected)[0]).toMatchObject({ insert: "append(item)", typed: "app", rest: "(item)" });
    const offset = typed(suggestion, "end", 8);
    expect(suggestion.isAt(URI, offset, selected)).toBe(true);
    expect(suggestion.rests(selected)[0]?.rest).toBe("(item)");
  });

  it("stands for itself once the list is closed", () => {
    const suggestion = asked("list.app║", selected);
    suggestion.finished(item("append(item)", 8));
    expect(suggestion.isAt(URI, 8, null)).toBe(true);
    expect(suggestion.rests(null)[0]?.rest).toBe("end(item)");
  });

  it("is not for another selected item", () => {
    const suggestion = asked("list.app║", selected);
    expect(suggestion.isAt(URI, 8, { ...selected, text: "apply" })).toBe(false);
    expect(asked("list.app║").isAt(URI, 8, selected)).toBe(false);
  });
});

describe("ghost text", () => {
  const rest = (suggestion: Suggestion) => suggestion.rests(null)[0]!;

  it("replaces from where the suggestion began, so that the editor sees one item", () => {
    const suggestion = asked("    for ║");
    suggestion.finished(item("item in items:", 8));
    typed(suggestion, "item", 8);
    expect(compose(rest(suggestion), "    for item", 12)).toEqual({
      insertText: "item in items:",
      startCharacter: 8,
      endCharacter: 12,
      filterText: undefined,
    });
  });

  it("reaches behind the cursor where the item does, and filters by what stands there", () => {
    const suggestion = asked("print(║)");
    suggestion.finished(item("name)", 7));
    expect(compose(rest(suggestion), "print()", 6)).toEqual({
      insertText: "name)",
      startCharacter: 6,
      endCharacter: 7,
      filterText: ")name)",
    });
    typed(suggestion, "na", 6);
    expect(compose(rest(suggestion), "print(na)", 8)).toMatchObject({
      startCharacter: 6,
      endCharacter: 9,
      filterText: "na)me)",
    });
  });

  it("begins with the line after a line break, because a range may not span lines", () => {
    const suggestion = asked("║");
    suggestion.finished(item("if x:\n    y()"));
    suggestion.edited([{ offset: 0, length: 0, text: "if x:\n    " }]);
    expect(compose(rest(suggestion), "    ", 4)).toEqual({
      insertText: "    y()",
      startCharacter: 0,
      endCharacter: 4,
      filterText: undefined,
    });
  });

  it("counts UTF-16 units", () => {
    const suggestion = asked('s = "😀" ║');
    suggestion.finished(item("+ t", 9));
    expect(compose(rest(suggestion), 's = "😀" ', 9)).toMatchObject({ startCharacter: 9, endCharacter: 9 });
  });
});
