/**
 * The end-to-end tests: a real VS Code in a browser, our packaged extension, the real server and the bundled model.
 *
 *   make e2e                           all scenarios
 *   make e2e E2E_ARGS="--only=stream"  those whose name has this in it
 *   make e2e E2E_ARGS=--pictures       and take the pictures of docs/pictures anew
 *   make e2e E2E_ARGS=--install        and install the server from the extension's archive
 *   make e2e E2E_ARGS=--measure        measure instead of testing; writes dist/e2e-measurements.json
 *   make e2e E2E_ARGS="--measure --model=FILE.gguf"   the same with another model
 */

import { after, before, describe } from "node:test";

import { measure } from "./measure.ts";
import { options } from "./options.ts";
import type { Theme } from "./pictures.ts";
import { useStage } from "./scenario.ts";
import { Stage } from "./stage.ts";
import { ask } from "./steps_ask.ts";
import { attribution } from "./steps_attribution.ts";
import { firstRun } from "./steps_first_run.ts";
import { host } from "./steps_host.ts";
import { install } from "./steps_install.ts";
import { models } from "./steps_models.ts";
import { processes } from "./steps_processes.ts";
import { streaming } from "./steps_streaming.ts";
import { typing } from "./steps_typing.ts";

const themes = options.pictures ? (["light", "dark"] as const) : [null];

if (options.measure) {
  const stage = await Stage.start({ pictures: null });
  try {
    await measure(stage);
  } finally {
    await stage.stop();
  }
} else {
  for (const theme of themes) {
    describe(theme === null ? "VS Code" : `VS Code, ${theme}`, () => run(theme));
  }
}

function run(theme: Theme | null): void {
  let stage: Stage | undefined;

  before(
    async () => {
      stage = await Stage.start({ pictures: theme });
      useStage(stage);
    },
    { timeout: 300_000 },
  );

  after(() => stage?.stop(), { timeout: 60_000 });

  for (const steps of [firstRun, install, typing, streaming, attribution, ask, processes, host, models]) {
    steps();
  }
}
