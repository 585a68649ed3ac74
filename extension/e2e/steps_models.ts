/** The list of models: what it says of each, and another one that is here chosen while the window is open. */

import assert from "node:assert/strict";

import { scenario } from "./scenario.ts";
import { READY } from "./stage.ts";
import { until } from "./until.ts";

export function models(): void {
  scenario("another model that is here is chosen: it answers, and nothing was restarted but the engine", async (stage) => {
    stage.home.addModel("second");
    const window = await stage.open();
    await window.status(READY);
    const servers = stage.home.servers();
    const [first] = stage.home.engines();

    await window.command("StarCoder: Choose the Model…");
    const row = (text: string) => window.page.locator(".quick-input-list .monaco-list-row", { hasText: text }).first();
    assert.match(await row("qwen2.5-coder-0.5b").innerText(), /to be fetched · 491 MB, apache-2\.0/);
    assert.match(await row("second").innerText(), /here \(LM Studio\) · not measured yet/);
    await row("second").click();

    await window.status(/StarCoder: ready · second/);
    assert.deepEqual(stage.home.servers(), servers);
    await until("the first engine to be replaced", () => !stage.home.engines().every((pid) => pid === first));
    window.write("second.py", "import os\n\n\ndef first(items):\n    return ");
    await window.openFile("second.py");
    await window.press("Control+End");
    await window.type("ite");
    await window.ghost();
    await window.close();
  });
}
