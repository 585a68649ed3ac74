/**
 * The first start where no server is found: asked once, and installed from the archive that the extension carries. Only
 * with `--install`: 34 MB are fetched, and the archive has a part that is compiled.
 */

import assert from "node:assert/strict";

import { options } from "./options.ts";
import { scenario } from "./scenario.ts";
import { READY } from "./stage.ts";
import { until } from "./until.ts";
import type { EditorWindow } from "./window.ts";

const LIMIT_MS = 540_000;
const OFFER = /StarCoder needs its language server/;

export function install(): void {
  if (!options.install) {
    return;
  }
  const name = "no server is found: the user is asked once, and it is installed from the extension's own archive";
  scenario(
    name,
    async (stage) => {
      const { restore } = stage.configure({ "starcoder.server.path": undefined });
      const first = await stage.open();
      await first.notification(OFFER);
      await stage.pictures.take(first, "install");
      await first.clearNotifications();
      await first.close();

      const second = await stage.open();
      await second.status(/StarCoder: not installed/);
      assert.equal(await offers(second), 0, "asked again");
      await second.command("StarCoder: Install the Language Server…");
      await second.notification(OFFER);
      await second.page.locator(".notification-list-item a.monaco-button", { hasText: /^Install$/ }).click();
      await until("the installation", () => stage.home.installed(), { limitMs: LIMIT_MS });
      await second.status(READY);
      const own = stage.home.installed() ?? "";
      const [server] = stage.home.running().filter(({ command }) => command[0]?.startsWith(own) && command.includes("lsp"));
      assert.ok(server, `a server of ${own} runs`);

      second.write("first.py", "class Account:\n    def __init__(self, owner, balance):\n        self.owner = owner\n");
      await second.openFile("first.py");
      await second.press("Control+End");
      await second.type("        self.ba");
      await second.ghost();
      await second.close();
      restore();
    },
    { limitMs: LIMIT_MS },
  );
}

function offers(window: EditorWindow): Promise<number> {
  return window.page.locator(".notification-list-item-message", { hasText: OFFER }).count();
}
