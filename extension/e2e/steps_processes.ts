/** What dies comes back: the language server, the engine. And what does not run is said. */

import assert from "node:assert/strict";

import { signal } from "./processes.ts";
import { scenario } from "./scenario.ts";
import { until } from "./until.ts";
import type { EditorWindow } from "./window.ts";
import { READY } from "./stage.ts";

const TEXT = "import json\n\n\nclass Account:\n    def __init__(self, owner, balance):\n";

/** A suggestion in a new file: the whole chain works. */
async function suggests(window: EditorWindow, name: string): Promise<void> {
  window.write(name, TEXT);
  await window.openFile(name);
  await window.press("Control+End");
  await window.type("self.owner = o");
  await window.ghost();
  await window.press("Escape");
  await window.command("View: Revert and Close Editor");
}

export function processes(): void {
  scenario("the language server is killed: it comes back", async (stage) => {
    const window = await stage.ready();
    // Those of windows that were closed may still be ending.
    const pid = await until("one server for one window", () => {
      const [first, ...others] = stage.home.servers();
      return others.length === 0 && first;
    });
    signal(pid, "SIGKILL");
    await until("a new server", () => stage.home.servers().find((each) => each !== pid));
    await window.status(READY);
    await suggests(window, "server_killed.py");
  });

  scenario("the engine is killed: it comes back", async (stage) => {
    const window = await stage.ready();
    const [pid, ...others] = stage.home.engines();
    assert.ok(pid !== undefined && others.length === 0, "one engine");
    signal(pid, "SIGKILL");
    await until("the engine to be gone", () => !stage.home.engines().includes(pid));
    // It is missed when it is wanted.
    window.write("wanted.py", TEXT);
    await window.openFile("wanted.py");
    await window.press("Control+End");
    await window.type("s");
    await until("another engine", () => stage.home.engines().some((each) => each !== pid));
    await window.status(READY);
    await suggests(window, "engine_killed.py");
    assert.equal(stage.home.engines().length, 1);
  });

  scenario("two windows have one engine", async (stage) => {
    const window = await stage.ready();
    const second = await stage.open();
    await second.status(READY);
    assert.equal(stage.home.servers().length, 2);
    assert.equal(stage.home.engines().length, 1);
    await second.close();
    await until("the second window's server to end", () => stage.home.servers().length === 1);
    await window.status(READY);
  });

  scenario("suggestions are paused and resumed from the status bar", async (stage) => {
    const window = await stage.ready();
    await window.page.locator(".statusbar-item", { hasText: /StarCoder/ }).click();
    const entry = (label: string) => window.page.locator(".quick-input-list .monaco-list-row", { hasText: label });
    await entry("Pause suggestions").waitFor();
    await stage.pictures.take(window, "menu");
    await entry("Pause suggestions").click();
    await window.status(/StarCoder: paused/);
    await window.command("StarCoder: Resume Suggestions");
    await suggests(window, "resumed.py");
  });
}
