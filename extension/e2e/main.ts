/**
 * The end-to-end tests: a real VS Code in a browser, our packaged extension, the real server and the bundled model.
 *
 *   make e2e                           all scenarios
 *   make e2e E2E_ARGS="--only=stream"  those whose name has this in it
 *   make e2e E2E_ARGS=--pictures       and take the pictures of docs/pictures anew
 *   make e2e E2E_ARGS=--measure        measure instead of testing; writes dist/e2e-measurements.json
 */

import { after, before, describe } from "node:test";

import { measure } from "./measure.ts";
import { options } from "./options.ts";
import { useStage } from "./scenario.ts";
import { Stage } from "./stage.ts";

if (options.measure) {
  const stage = await Stage.start(options);
  try {
    await measure(stage);
  } finally {
    await stage.stop();
  }
} else {
  await describe("VS Code", scenarios);
}

async function scenarios(): Promise<void> {
  let stage: Stage | undefined;

  before(
    async () => {
      stage = await Stage.start(options);
      useStage(stage);
    },
    { timeout: 300_000 },
  );

  after(() => stage?.stop(), { timeout: 60_000 });

  for (const steps of ["first_run", "typing", "streaming", "attribution", "ask", "processes", "host"]) {
    await import(`./steps_${steps}.ts`);
  }
}
