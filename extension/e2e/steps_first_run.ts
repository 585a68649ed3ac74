/** A new user, in a folder that they do not trust: what they are told, and that nothing of the folder is run. */

import assert from "node:assert/strict";

import { scenario } from "./scenario.ts";
import { READY } from "./stage.ts";

export function firstRun(): void {
  scenario("a first run in an untrusted folder: told what runs where, nothing of the folder is run", async (stage) => {
    const { folder, wasRun } = stage.home.hostileProject();
    const { restore } = stage.configure({ "security.workspace.trust.enabled": true });
    const window = await stage.open(folder);
    await window.status(READY);
    await window.status(/Restricted Mode/);
    const said = await window.notification(/StarCoder is ready/);
    assert.match(said, /“starter” runs on this machine, and nothing leaves it/);
    await stage.pictures.take(window, "first-run");
    await window.page.locator(".notification-list-item a.monaco-button", { hasText: "Getting Started" }).click();
    await window.page.locator(".gettingStartedContainer", { hasText: "Get started with StarCoder" }).waitFor();
    const server = window.page.locator(".getting-started-step", { hasText: "The language server" });
    await server.locator(".codicon-getting-started-step-checked").first().waitFor();
    await stage.pictures.take(window, "walkthrough");

    await window.openFile("account.py");
    await window.press("Control+End");
    await window.type("self.ba");
    await window.ghost();
    await window.press("Escape");
    await window.command("File: Revert File");
    assert.ok(!wasRun(), "in restricted mode");

    await window.command("Workspaces: Manage Workspace Trust");
    await window.page.locator(".workspace-trust-editor .monaco-button", { hasText: /^Trust$/ }).first().click();
    await window.page.locator(".statusbar-item", { hasText: "Restricted Mode" }).waitFor({ state: "hidden" });
    await window.status(READY);
    assert.ok(!wasRun(), "in a trusted folder");
    await window.close();
    restore();
  });
}
