/** A long suggestion grows before the user's eyes, by whole lines and without a flicker. */

import assert from "node:assert/strict";

import { drawn, recorded, shrunk, vanished } from "./frames.ts";
import { scenario } from "./scenario.ts";

/** Every Apache-licensed file begins so: the bundled model goes on for a dozen lines. */
const START = "# Copyright 2026 Somebody\n#\n# Licensed under the Apache";

export function streaming(): void {
  scenario("a stream grows by whole lines, never shrinks, never flickers, and Tab takes all of it", async (stage) => {
    await stage.withSettings({ "starcoder.completion.multiline": "always" }, async (window) => {
      window.write("stream.py", START);
      await window.openFile("stream.py");
      await window.press("Control+End");
      await window.clearFrames();
      await window.type(" ");
      const ghost = await window.settledGhost();
      const { looks } = await recorded(window.page);
      await stage.pictures.take(window, "streamed");

      const shownFrom = looks.findIndex((look) => look.ghost !== "");
      const stream = drawn(looks.slice(shownFrom));
      const steps = new Set(stream.map((look) => look.ghost)).size;
      assert.ok(ghost.split("\n").length >= 6, `long enough to be streamed: ${JSON.stringify(ghost)}`);
      assert.ok(steps >= 2, `it grew: ${JSON.stringify(stream)}`);
      assert.deepEqual(vanished(looks), [], "frames in which the text was gone");
      const lengths = JSON.stringify(stream.map((look) => [look.frame, look.ghost.length]));
      assert.deepEqual(shrunk(stream), [], `frames with less text than before; frames and lengths: ${lengths}`);
      for (const look of stream) {
        assert.ok(ghost === look.ghost || ghost.startsWith(`${look.ghost}\n`), `whole lines: ${JSON.stringify(look)}`);
      }
      console.log(`  ${steps} steps in ${(stream.at(-1)?.frame ?? 0) - (stream[0]?.frame ?? 0)} frames, none without text`);

      await window.press("Tab");
      await window.save();
      assert.equal(window.read("stream.py"), `${START} ${ghost}`);
    });
  });
}
