/** A long suggestion grows before the user's eyes, by whole lines and without a flicker. */

import assert from "node:assert/strict";

import { looksWhileTyping, shrunk, vanished } from "./frames.ts";
import { scenario } from "./scenario.ts";

/** Every Apache-licensed file begins so: the bundled model goes on for a dozen lines. */
const START = '# Copyright 2026 Somebody\n#\n# Licensed under the Apache License, Version 2.0 (the "License");';

scenario("a stream grows by whole lines, never shrinks, never flickers, and Tab takes all of it", async (stage) => {
  const window = await stage.ready();
  stage.home.write("stream.py", START);
  await window.openFile("stream.py");
  await window.press("Control+End");
  await window.press("Escape");
  await window.clearFrames();
  await window.press("Enter");
  const ghost = await window.settledGhost();
  const looks = (await looksWhileTyping(window.page)).filter(({ line }) => line === "");
  await stage.pictures.take(window, "streamed");
  const seen = looks.map((look) => look.ghost).filter((text) => text !== "");
  const steps = new Set(seen).size;
  assert.ok(steps >= 2, `seen in ${steps} steps: ${JSON.stringify(seen)}`);
  assert.ok(ghost.split("\n").length >= 6, `long enough to be streamed: ${JSON.stringify(ghost)}`);
  assert.deepEqual(vanished(looks), [], "frames in which the text was gone");
  assert.deepEqual(shrunk(looks), [], "frames with less text than before");
  console.log(`  ${steps} steps of growth in ${looks.at(-1)!.frame - looks[0]!.frame} frames, no flicker`);

  await window.press("Tab");
  await window.save();
  assert.equal(stage.home.read("stream.py"), `${START}\n${ghost}`);
});
