/** Where does this code come from? Ctrl+Esc on indexed and on new code; suggestions that carry references. */

import assert from "node:assert/strict";

import { recorded } from "./frames.ts";
import { scenario } from "./scenario.ts";
import { READY } from "./stage.ts";
import { until } from "./until.ts";
import type { EditorWindow } from "./window.ts";

const NEW_CODE = `def zigzag_total(wobbles, limit):
    """Add up every other wobble until the limit is reached, then stop and tell how many there were."""
    seen = 0
    total = 0
    for place, wobble in enumerate(sorted(wobbles, key=lambda each: -each.height)):
        if place % 2 == 0 and total + wobble.height <= limit:
            total, seen = total + wobble.height, seen + 1
    return {"total": total, "seen": seen, "left": limit - total}
`;

/** The side panel's lines. */
async function sources(window: EditorWindow): Promise<string> {
  const panel = window.page.locator(".pane", { has: window.page.locator('[aria-label="Sources Section"]') });
  await panel.locator(".monaco-list-row").first().waitFor();
  return (await panel.innerText()).replaceAll("\u00a0", " ");
}

const START = '# Copyright 2026 Somebody\n#\n# Licensed under the Apache License, Version 2.0 (the "License");';

/** Begin the next line of a text that the bundled model knows how to go on with, and the index too. */
async function askForKnownText(window: EditorWindow, name: string): Promise<void> {
  await window.openFile(name);
  await window.press("Control+End");
  await window.press("Enter");
}

/** The one long text that the bundled model knows by heart is a licence header, which no longer is a copy to be told. */
const NO_COPY = "the bundled model suggests no copy of indexed code";

export function attribution(): void {
  scenario("Ctrl+Esc on an indexed excerpt names its file and licence", async (stage) => {
    const window = await stage.ready();
    const { path, text, first, last } = stage.home.indexedFunction();
    window.write("copied.py", `import codecs\n\n\n${text}`);
    await window.openFile("copied.py");
    await window.goTo(6);
    await window.press("Control+Escape");

    const said = await window.notification(/httpx/);
    assert.match(said, /BSD-3-Clause/);
    const panel = await sources(window);
    assert.ok(panel.includes(path), `${path} in ${panel}`);
    assert.match(panel, /BSD-3-Clause/);
    assert.ok(panel.includes(`lines ${first}–${last}`), `lines ${first}–${last} in ${panel}`);
    await window.page.locator(".view-overlays [class*='ced-']").first().waitFor();
    await stage.pictures.take(window, "sources");

    await window.page.locator(".notification-list-item a.monaco-button", { hasText: "Compare" }).click();
    await window.page.locator(".monaco-diff-editor .modified .view-line").first().waitFor();
    await window.clearNotifications();
    await stage.pictures.take(window, "comparison");
    await window.command("View: Close Editor");
    await window.openFile("copied.py");

    await window.press("Control+End");
    await window.type("x");
    await window.page.locator(".view-overlays [class*='ced-']").first().waitFor({ state: "detached" });
    await window.command("View: Revert and Close Editor");
  });

  scenario("Ctrl+Esc on new code says not found, and what was searched", async (stage) => {
    const window = await stage.ready();
    await window.clearNotifications();
    window.write("new.py", NEW_CODE);
    await window.openFile("new.py");
    await window.press("Control+a");
    await window.press("Control+Escape");
    const said = await window.notification(/not /i);
    assert.match(said, /[\d,]+ (indexed )?(files|documents)/);
    assert.doesNotMatch(said, /BSD|MIT/);
    await stage.pictures.take(window, "not-found");
    await window.clearNotifications();
  });

  scenario("the second chord for Windows does the same", async (stage) => {
    const window = await stage.ready();
    window.write("chord.py", NEW_CODE);
    await window.openFile("chord.py");
    await window.press("Control+a");
    await window.press("Control+Alt+a");
    await window.notification(/not /i);
    await window.clearNotifications();
  });

  scenario("a suggestion with references shows a licence label", async (stage) => {
    const window = await stage.ready();
    window.write("label.py", START);
    await askForKnownText(window, "label.py");
    await window.settledGhost();
    const label = await window.decorationText(/§ .*Apache-2\.0/);
    assert.match(label, /Apache-2\.0 · .*huggingface_hub/);
    assert.match(await window.status(/StarCoder: ready · §/), /Apache-2\.0 · .*huggingface_hub/);
    await stage.pictures.take(window, "licence-label");
    await window.press("Escape");
    await window.noGhost();
    await window.status(READY);
    await until("the label to be gone", async () => (await window.decorations()).every((text) => !text.includes("§")));
    await window.command("View: Revert and Close Editor");
  }, { skip: NO_COPY });

  scenario("with onMatch=block such a suggestion is not shown", async (stage) => {
    await stage.withSettings({ "starcoder.attribution.onMatch": "block" }, async (window) => {
      window.write("block.py", START);
      await window.clearFrames();
      await askForKnownText(window, "block.py");
      await window.status(/blocked by attribution/);
      const { looks } = await recorded(window.page);
      assert.deepEqual(looks.filter(({ ghost }) => ghost !== ""), [], "no frame shows any of it");
      await stage.pictures.take(window, "blocked");
    });
  }, { skip: NO_COPY });
}
