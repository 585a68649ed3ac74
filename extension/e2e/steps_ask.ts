/** Ask StarCoder: an answer about the selected code streams into the panel. */

import assert from "node:assert/strict";

import type { Frame } from "playwright-core";

import { scenario } from "./scenario.ts";
import { until } from "./until.ts";
import type { EditorWindow } from "./window.ts";

const CODE = `def mean(values):
    total = 0
    for value in values:
        total += value
    return total / len(values)
`;

/** The page inside of the panel. */
function panel(window: EditorWindow): Promise<Frame> {
  return until("the panel's page", async () => {
    for (const frame of window.page.frames()) {
      const isOurs = await frame.locator("#turns").count().catch(() => 0); // a frame may go while it is asked
      if (isOurs > 0) {
        return frame;
      }
    }
    return undefined;
  });
}

export function ask(): void {
  scenario("Ask StarCoder: the answer streams into the panel", async (stage) => {
    const window = await stage.ready();
    window.write("mean.py", CODE);
    await window.openFile("mean.py");
    await window.press("Control+a");
    await window.command("StarCoder: Explain");
    const frame = await panel(window);
    await until("the whole answer", async () => {
      const text = await frame.locator("#turns").innerText();
      return /\nstarter\b/.test(text) && !(await frame.locator("#stop").isVisible());
    });
    const answer = await frame.locator("#turns").innerText();
    assert.match(answer, /mean\.py/);
    await window.clearNotifications();
    await stage.pictures.take(window, "ask");

    await frame.evaluate(() => {
      const turns = document.getElementById("turns");
      const seen = new Set<string>();
      Object.assign(window, { starcoderSeen: seen });
      const note = () => seen.add(turns?.innerText ?? "");
      new MutationObserver(note).observe(turns ?? document, { childList: true, subtree: true, characterData: true });
    });
    await frame.locator("#question").fill("What is it good for?");
    await frame.locator("#send").click();
    await frame.locator("#turns", { hasText: "What is it good for?" }).waitFor();
    await until("the second answer", async () => {
      const text = await frame.locator("#turns").innerText();
      return (text.match(/\nstarter\b/g) ?? []).length === 2 && !(await frame.locator("#stop").isVisible());
    });
    const seen = await frame.evaluate(() => [...(window as unknown as { starcoderSeen: Set<string> }).starcoderSeen]);
    assert.ok(seen.length >= 3, `it grew: ${JSON.stringify(seen)}`);
  });
}
