import { describe, expect, it } from "vitest";
import { isOpen, minutesLeft, OPEN, PAUSED, snoozed } from "../src/completion/gate";
import { canReplace, MIN_REFRESH_GAP_MS, refreshDecision, type Shown } from "../src/completion/display";
import { partiallyTaken } from "../src/completion/partial";

const shown: Shown = { uri: "file:///a.py", version: 7, offset: 20, text: "a = 1", atMs: 1000 };
const here = { uri: shown.uri, version: shown.version, offset: shown.offset };
const LATER_MS = 5000;

describe("a refresh", () => {
  it("comes for a whole further line", () => {
    expect(refreshDecision(shown, here, "a = 1\nb = 2", LATER_MS)).toEqual({ kind: "in", delayMs: 0 });
  });

  it("does not come for the same text or another one: that would flicker", () => {
    expect(refreshDecision(shown, here, "a = 1", LATER_MS).kind).toBe("no");
    expect(refreshDecision(shown, here, "b = 2\nc", LATER_MS).kind).toBe("no");
  });

  it("does not come where the user has moved, typed or gone to another file", () => {
    const text = "a = 1\nb = 2";
    expect(refreshDecision(shown, { ...here, offset: 21 }, text, LATER_MS).kind).toBe("no");
    expect(refreshDecision(shown, { ...here, version: 8 }, text, LATER_MS).kind).toBe("no");
    expect(refreshDecision(shown, { ...here, uri: "file:///b.py" }, text, LATER_MS).kind).toBe("no");
    expect(refreshDecision(shown, null, text, LATER_MS).kind).toBe("no");
  });

  it("does not come when nothing is shown", () => {
    expect(refreshDecision(null, here, "a = 1", LATER_MS).kind).toBe("no");
  });

  it("waits until the last one is old enough to have been seen", () => {
    const decision = refreshDecision(shown, here, "a = 1\nb = 2", shown.atMs + 10);
    expect(decision).toEqual({ kind: "in", delayMs: MIN_REFRESH_GAP_MS - 10 });
  });

  it("hides what the server takes back", () => {
    expect(refreshDecision(shown, here, "", LATER_MS)).toEqual({ kind: "hide" });
  });
});

describe("an editor", () => {
  it("can replace what it shows from version 1.104 on", () => {
    expect(["1.91.0", "1.103.2"].map(canReplace)).toEqual([false, false]);
    expect(["1.104.0", "1.139.1-insider", "2.0.0"].map(canReplace)).toEqual([true, true, true]);
  });
});

describe("an edit where ghost text is shown", () => {
  const ghost = { offset: 20, text: "self.items.append(item)" };
  const edit = (text: string, offset = 20, length = 0) => [{ offset, length, text }];

  it("takes a word when it inserts several of its characters at once", () => {
    expect(partiallyTaken(ghost, edit("self"))).toBe(4);
  });

  it("takes nothing when it is a typed key, another text or another place", () => {
    expect(partiallyTaken(ghost, edit("s"))).toBe(0);
    expect(partiallyTaken(ghost, edit("this"))).toBe(0);
    expect(partiallyTaken(ghost, edit("self", 19))).toBe(0);
    expect(partiallyTaken(ghost, edit("self", 20, 2))).toBe(0);
    expect(partiallyTaken(ghost, [...edit("se"), ...edit("lf", 22)])).toBe(0);
  });

  it("is no part when it is all: the editor tells that by itself", () => {
    expect(partiallyTaken(ghost, edit(ghost.text))).toBe(0);
  });

  it("is no part when the editor closed a bracket", () => {
    expect(partiallyTaken({ offset: 0, text: "()\nx" }, edit("()", 0))).toBe(0);
  });

  it("counts lines with either line end", () => {
    expect(partiallyTaken({ offset: 0, text: "a:\n  b\nc" }, edit("a:\r\n  b", 0))).toBe(6);
  });
});

describe("the gate", () => {
  it("opens by itself after a snooze", () => {
    const gate = snoozed(5, 1000);
    expect(isOpen(gate, 1000 + 5 * 60_000 - 1)).toBe(false);
    expect(isOpen(gate, 1000 + 5 * 60_000)).toBe(true);
    expect(minutesLeft(gate, 1000)).toBe(5);
    expect(minutesLeft(gate, 1000 + 5 * 60_000 - 1)).toBe(1);
  });

  it("stays shut when paused", () => {
    expect(isOpen(PAUSED, Number.MAX_SAFE_INTEGER)).toBe(false);
    expect(isOpen(OPEN, 0)).toBe(true);
  });
});
