/** The suite that VS Code runs inside of its extension host (host/suite.cjs). */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { HERE } from "./places.ts";
import { scenario } from "./scenario.ts";
import { until } from "./until.ts";

interface Result {
  name: string;
  error: string | null;
}

export function host(): void {
  scenario("the suite inside of the extension host", async (stage) => {
    const { authority } = stage;
    const host = join(HERE, "host");
    let hasEnded = false;
    const window = await stage.open(undefined, {
      payload: [
        ["extensionDevelopmentPath", `vscode-remote://${authority}${host}`],
        ["extensionTestsPath", `vscode-remote://${authority}${join(host, "suite.cjs")}`],
      ],
      // VS Code calls it, if there is one, when the tests are over.
      functions: { codeAutomationExit: () => (hasEnded = true) },
    });
    await until("the suite to end", () => hasEnded, { limitMs: 180_000 });
    const results = JSON.parse(readFileSync(stage.home.suiteReport, "utf8")) as Result[];
    for (const { name, error } of results) {
      console.log(`    ${error === null ? "✔" : "✖"} ${name}`);
    }
    assert.ok(results.length > 0);
    assert.deepEqual(results.filter(({ error }) => error !== null), []);
    await window.close();
  });
}
