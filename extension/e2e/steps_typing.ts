/** Suggestions while typing: shown, taken whole or in part, leafed through, typed through; in all kinds of documents. */

import assert from "node:assert/strict";

import { recorded, vanished } from "./frames.ts";
import { scenario } from "./scenario.ts";
import { READY, type Stage } from "./stage.ts";
import { until } from "./until.ts";
import type { EditorWindow } from "./window.ts";

const ACCOUNT = `import json
from pathlib import Path


class Account:
    """A bank account."""

    def __init__(self, owner, balance):
        self.owner = owner
        self.balance = balance

    def deposit(self, amount):
        if amount <= 0:
            raise ValueError("amount must be positive")
        self.balance += amount

    def withdraw(self, amount):

`;
const LINE = 17;
/** The bundled model knows how to go on, for a dozen lines. */
const LICENSED = '# Copyright 2026 Somebody\n#\n# Licensed under the Apache License, Version 2.0 (the "License");';

/** A file with the class above, the cursor in a new line below \`withdraw\`. */
async function account(stage: Stage, name: string, window?: EditorWindow): Promise<EditorWindow> {
  window ??= await stage.ready();
  window.write(name, ACCOUNT);
  await window.openFile(name);
  await window.goTo(LINE);
  await window.press("Enter");
  return window;
}

/** The file when `text` stands in the new line. */
function withLine(text: string): string {
  return ACCOUNT.replace(/amount\):\n\n$/, `amount):\n${text}\n\n`);
}

export function typing(): void {
  scenario("ghost text appears while typing, and Tab accepts exactly that", async (stage) => {
    const window = await account(stage, "tab.py");
    await window.type("self.bal");
    const ghost = await window.settledGhost();
    const { line } = await window.shown();
    assert.equal(line, "        self.bal");
    await stage.pictures.take(window, "ghost-text");
    await window.press("Tab");
    await window.save();
    assert.equal(window.read("tab.py"), withLine(line + ghost));
  });

  scenario("Escape turns a suggestion down and leaves the text alone", async (stage) => {
    const window = await account(stage, "escape.py");
    await window.type("self.bal");
    await window.ghost();
    await window.press("Escape");
    await window.noGhost();
    await window.save();
    assert.equal(window.read("escape.py"), withLine("        self.bal"));
  });

  scenario("Ctrl+Right accepts a word, another key a line", async (stage) => {
    const window = await stage.ready();
    window.write("words.py", LICENSED);
    await window.openFile("words.py");
    await window.press("Control+End");
    await window.press("Escape");
    await window.press("Enter");
    const ghost = await window.settledGhost();
    const lines = ghost.split("\n");
    assert.ok(lines.length >= 2, `a suggestion of several lines: ${JSON.stringify(ghost)}`);

    await window.clearFrames();
    await window.press("Control+ArrowRight");
    await window.ghost((text) => text !== ghost);
    const rest = await window.settledGhost();
    const word = ghost.slice(0, ghost.length - rest.length);
    assert.ok(ghost.endsWith(rest) && /^\W*\w*$/.test(word) && word !== "", JSON.stringify({ ghost, rest }));
    assert.deepEqual(vanished((await recorded(window.page)).looks), [], "frames in which the text was gone");
    await window.save();
    assert.equal(window.read("words.py"), `${LICENSED}\n${word}`);

    await window.press("Control+Alt+F8"); // bound for the run: see ACCEPT_LINE
    await window.ghost((text) => text.split("\n").length < lines.length);
    await window.save();
    assert.equal(window.read("words.py").trimEnd(), `${LICENSED}\n${lines[0]}`);

    await window.press("Tab");
    await window.noGhost();
    await window.save();
    assert.equal(window.read("words.py"), `${LICENSED}\n${ghost}`);
  });

  scenario("what is typed through stays shown and asks for nothing", async (stage) => {
    const window = await account(stage, "through.py");
    await window.type("self.bal");
    const ghost = await window.settledGhost();
    const [first = ""] = ghost.split("\n");
    const typed = first.slice(0, Math.min(8, first.length - 2));
    assert.ok(typed.length >= 3, `long enough to type into: ${JSON.stringify(ghost)}`);
    await window.clearFrames();
    await window.type(typed);
    await window.ghost((text) => text === ghost.slice(typed.length));
    const { looks } = await recorded(window.page);
    assert.deepEqual(vanished(looks), [], "the ghost text is there in every frame");
    for (const { ghost: seen } of looks) {
      assert.ok(ghost.endsWith(seen), `${JSON.stringify(seen)} is no rest of ${JSON.stringify(ghost)}`);
    }
    await window.press("Escape");
  });

  scenario("alternatives are leafed through", async (stage) => {
    // The likeliest continuation is the same each time: other ones take some randomness.
    stage.home.writeConfiguration("[completion]\ntemperature = 1.0\n");
    try {
      await stage.withSettings({ "starcoder.completion.alternatives": 4 }, async (window) => {
          await account(stage, "cycle.py", window);
        await window.type("self.");
        const first = await window.settledGhost();
        await window.press("Alt+]");
        const second = await window.ghost((text) => text !== first);
        await window.press("Alt+[");
        await window.ghost((text) => text === first);
        await window.press("Alt+]");
        await window.ghost((text) => text === second);
        const { line } = await window.shown();
        await window.press("Tab");
        await window.save();
        assert.equal(window.read("cycle.py"), withLine(line + second));
      });
    } finally {
      stage.home.writeConfiguration("");
    }
  });

  scenario("ghost text goes on from the item that the editor's own list has selected", async (stage) => {
    const window = await account(stage, "list.py");
    await window.type("self.own");
    await window.ghost();
    await window.press("Control+Space");
    const item = window.page.locator(".suggest-widget.visible .monaco-list-row.focused .label-name");
    await item.waitFor();
    const selected = await item.innerText();
    const { line } = await window.shown();
    const ghost = await window.ghost((text) => `${line}${text}`.includes(`self.${selected}`));
    await stage.pictures.take(window, "with-the-list");
    await window.press("Escape");
    await window.press("Escape");
    assert.ok(ghost);
  });

  scenario("suggestions in a file that was never saved, in an editor whose keys VS Code does not watch yet", async (stage) => {
    const window = await stage.open(); // for its first editor of this kind
    await window.status(READY);
    await window.neverIdle();
    await window.command("File: New Untitled Text File");
    await window.page.locator(".tab.active", { hasText: "Untitled" }).waitFor();
    await window.type("# Licensed under the Apache Licens");
    const ghost = await window.settledGhost();
    const { line } = await window.shown();
    await window.press("Tab");
    const last = `${line}${ghost}`.split("\n").at(-1);
    await until("the suggestion to be in the text", async () => (await window.shown()).line === last);
    await window.command("View: Revert and Close Editor");
    await window.close();
  });

  scenario("suggestions in a notebook", async (stage) => {
    // A window of its own: in one that others had worked in, VS Code has shown the tab and never the cells.
    const window = await stage.open();
    await window.status(READY);
    const cell = (source: string) => ({ cell_type: "code", execution_count: null, metadata: {}, outputs: [], source: [source] });
    const metadata = { language_info: { name: "python" } };
    const cells = [cell("import numpy as np\nimport matplotlib.pyplot as plt"), cell("")];
    window.write("plot.ipynb", JSON.stringify({ cells, metadata, nbformat: 4, nbformat_minor: 5 }));
    await window.openNotebook("plot.ipynb");
    const second = window.page.locator(".notebookOverlay .cell .monaco-editor").last();
    await second.click();
    await window.type("values = np.");
    const ghost = await window.settledGhost();
    await stage.pictures.take(window, "notebook");
    await window.press("Tab");
    await window.save();
    const saved = JSON.parse(window.read("plot.ipynb")) as { cells: { source: string[] }[] };
    assert.equal(saved.cells[1]?.source.join(""), `values = np.${ghost}`);
    await window.close();
  });
}
