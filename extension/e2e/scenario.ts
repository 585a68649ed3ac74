/** A test of the run: with the stage, with a time limit, and with evidence kept when it fails. */

import { it } from "node:test";

import { options } from "./options.ts";
import type { Stage } from "./stage.ts";

/** A scenario's whole time; its single waits are shorter. */
const LIMIT_MS = 240_000;

let stage: Stage | undefined;

/** The run's stage, from its start on. */
export function useStage(started: Stage): void {
  stage = started;
}

export function scenario(
  name: string,
  steps: (stage: Stage) => Promise<void>,
  { limitMs = LIMIT_MS, skip = false }: { limitMs?: number; skip?: string | false } = {},
): void {
  if (!name.includes(options.only)) {
    return;
  }
  it(name, { timeout: limitMs, skip }, async () => {
    if (!stage) {
      throw new Error("the stage did not start");
    }
    try {
      await steps(stage);
    } catch (error) {
      await stage.keepEvidence(name);
      await stage.closeWindows();
      throw error;
    }
  });
}
