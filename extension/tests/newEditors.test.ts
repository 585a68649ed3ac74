import { describe, expect, it } from "vitest";
import { NewEditors } from "../src/completion/newEditors";

describe("an editor that VS Code may not watch yet", () => {
  it("is made to ask after the first key in it, once", () => {
    const editors = new NewEditors();
    const editor = {};
    editors.edited();
    expect(editors.missed(editor, true)).toBe(true);
    editors.edited();
    expect(editors.missed(editor, true)).toBe(false);
  });

  it("is one for each document that is shown", () => {
    const editors = new NewEditors();
    editors.edited();
    expect(editors.missed({}, true)).toBe(true);
    editors.edited();
    expect(editors.missed({}, true)).toBe(true);
  });

  it("is left alone when VS Code has asked by itself", () => {
    const editors = new NewEditors();
    const editor = {};
    editors.asked(editor);
    editors.edited();
    expect(editors.missed(editor, true)).toBe(false);
  });

  it("is left alone when the cursor only moves, or something else edits", () => {
    const editors = new NewEditors();
    const editor = {};
    expect(editors.missed(editor, true)).toBe(false);
    editors.edited();
    expect(editors.missed(editor, false)).toBe(false);
    expect(editors.missed(editor, true)).toBe(false);
  });
});
