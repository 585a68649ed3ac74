/** One editor window, driven as a user would: by keys and by what is to be seen. Knows nothing of our extension. */

import { readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";

import type { BrowserContext, Locator, Page } from "playwright-core";

import { clearFrames, recordFrames, shown } from "./frames.ts";
import { LIMIT_MS, until } from "./until.ts";

/** The status bar does not show work that is over sooner (400 ms); what it shows has to be drawn. */
const BUSY_SHOWS_AFTER_MS = 600;
/** How long the quick input may take to open before it is asked for again. */
const PATIENCE_MS = 10_000;

/** VS Code's number of the level that has everything. */
const TRACE = 1;
/** As VS Code names it: publisher and name. */
const EXTENSION_ID = "starcoder-lsp.starcoder";

/** What a window may be opened with beside a folder. */
export interface Opening {
  /** Options of the workbench, as pairs. */
  payload?: string[][];
  /** Functions that the page finds as its own. */
  functions?: Record<string, () => unknown>;
}

export class EditorWindow {
  readonly page: Page;
  readonly #folder: string;

  private constructor(page: Page, folder: string) {
    this.page = page;
    this.#folder = folder;
  }

  /** Open a folder in a window of its own; the workbench is there, its extensions may still be starting. */
  static async open(context: BrowserContext, url: string, folder: string, more: Opening = {}): Promise<EditorWindow> {
    const page = await context.newPage();
    page.setDefaultTimeout(LIMIT_MS);
    await page.addInitScript(recordFrames);
    for (const [name, callback] of Object.entries(more.functions ?? {})) {
      await page.exposeFunction(name, callback);
    }
    await developing(page, more.payload !== undefined);
    const query = new URLSearchParams({ folder, ...(more.payload && { payload: JSON.stringify(more.payload) }) });
    await page.goto(`${url}/?${query}`);
    await page.waitForSelector(".monaco-workbench .statusbar");
    return new EditorWindow(page, folder);
  }

  /** Run a command by its title, as the command palette has it. */
  async command(title: string): Promise<void> {
    const row = await this.#pick("F1", `>${title}`, title);
    await row.click();
  }

  /** Open a file of the folder, with the cursor at its start and the keyboard's focus in it. */
  async openFile(name: string): Promise<void> {
    await this.#quickOpen(name);
    await this.page.locator(".editor-instance .monaco-editor.focused").waitFor();
  }

  /** Write a file of the window's folder. */
  write(name: string, text: string): void {
    writeFileSync(join(this.#folder, name), text);
  }

  read(name: string): string {
    return readFileSync(join(this.#folder, name), "utf8");
  }

  /** Open a notebook; its cells are there. */
  async openNotebook(name: string): Promise<void> {
    await this.#quickOpen(name);
    await this.page.locator(".notebookOverlay .cell .monaco-editor").last().waitFor();
  }

  /** Put the cursor at a line's end, lines from 1. */
  async goTo(line: number): Promise<void> {
    await this.page.keyboard.press("Control+g");
    const input = this.page.locator(".quick-input-widget input.input");
    await input.fill(`:${line}`);
    await this.page.keyboard.press("Enter");
    await this.page.locator(".quick-input-widget").waitFor({ state: "hidden" });
    await this.page.locator(".editor-instance .monaco-editor.focused").waitFor();
    await this.page.keyboard.press("End");
  }

  /** Press the keys of a text; a line end is Enter. */
  async type(text: string): Promise<void> {
    for (const [index, line] of text.split("\n").entries()) {
      if (index > 0) {
        await this.page.keyboard.press("Enter");
      }
      await this.page.keyboard.type(line);
    }
  }

  /**
   * Keep VS Code from ever having nothing else to do, as on a busy machine: what it gives a new editor "eventually", it
   * then gives it only when asked to, or in the minute after.
   */
  async neverIdle(): Promise<void> {
    await this.page.evaluate(() => {
      const idle = window.requestIdleCallback;
      window.requestIdleCallback = (run, options) =>
        options?.timeout === undefined ? idle(run, options) : window.setTimeout(() => idle(run), 60_000);
    });
  }

  async press(keys: string): Promise<void> {
    await this.page.keyboard.press(keys);
  }

  /** The ghost text once there is some (and it satisfies `wanted`). */
  async ghost(
    wanted: (text: string) => boolean = (text) => text.trim() !== "",
    limitMs = LIMIT_MS,
  ): Promise<string> {
    const ask = async () => {
      const { ghost } = await shown(this.page);
      return ghost !== "" && wanted(ghost) && ghost;
    };
    return until("ghost text", ask, { limitMs, seen: () => shown(this.page) });
  }

  /**
   * The ghost text when it is complete: nothing has changed for longer than the status bar takes to say "busy", and it
   * does not say so.
   */
  async settledGhost(): Promise<string> {
    let last = { text: await this.ghost(), sinceMs: performance.now() };
    const busy = this.page.locator(".statusbar-item", { hasText: /StarCoder: busy/ });
    return until("the ghost text to be complete", async () => {
      const { ghost } = await shown(this.page);
      if (ghost !== last.text || (await busy.count()) > 0) {
        last = { text: ghost, sinceMs: performance.now() };
      }
      return performance.now() - last.sinceMs > BUSY_SHOWS_AFTER_MS && last.text;
    });
  }

  /** What is to be seen where the cursor is. */
  shown(): Promise<{ ghost: string; line: string }> {
    return shown(this.page);
  }

  async noGhost(): Promise<void> {
    await until("the ghost text to be gone", async () => (await shown(this.page)).ghost === "", {
      seen: () => shown(this.page),
    });
  }

  clearFrames(): Promise<void> {
    return clearFrames(this.page);
  }

  /** Save; done when the tab is no longer marked as changed. */
  async save(): Promise<void> {
    await this.press("Control+s");
    await this.page.locator(".tab.active.dirty").waitFor({ state: "detached" });
  }

  /** The status bar's item whose text matches, when there is one. */
  async status(pattern: RegExp): Promise<string> {
    const item = this.page.locator(".statusbar-item", { hasText: pattern }).first();
    await item.waitFor();
    return (await item.innerText()).trim();
  }

  /** A notification whose text matches, once its animation is over. */
  async notification(pattern: RegExp): Promise<string> {
    const message = this.page.locator(".notification-list-item-message", { hasText: pattern }).first();
    await message.waitFor();
    await message.evaluate(async (element) => {
      const moving = [element, ...ancestors(element)].flatMap((part) => part.getAnimations());
      await Promise.all(moving.map((animation) => animation.finished));

      function ancestors(of: Element): Element[] {
        return of.parentElement ? [of.parentElement, ...ancestors(of.parentElement)] : [];
      }
    });
    return message.innerText();
  }

  /** Text that a decoration draws beside code, once there is some that matches. */
  decorationText(pattern: RegExp): Promise<string> {
    const ask = async () => (await this.decorations()).find((text) => pattern.test(text));
    return until(`a decoration like ${pattern}`, ask);
  }

  /** Texts that decorations draw beside code now. */
  async decorations(): Promise<string[]> {
    const texts = await this.page.evaluate(() =>
      [...document.querySelectorAll(".view-lines [class*='ced-']")].map((part) =>
        getComputedStyle(part, "::after").content.replace(/^"|"$/g, ""),
      ),
    );
    return texts.map((text) => text.replaceAll("\u00a0", " "));
  }

  /** The server's figures of this window, as a text; "" when it cannot be asked. */
  async latencyBook(): Promise<string> {
    try {
      await this.command("StarCoder: Show the Latency Book");
      const lines = this.page.locator(".editor-instance .view-lines", { hasText: "requested" });
      await lines.waitFor({ timeout: PATIENCE_MS });
      return (await lines.innerText()).replaceAll("\u00a0", " ");
    } catch (error) {
      return `no latency book: ${String(error)}`;
    }
  }

  async clearNotifications(): Promise<void> {
    await this.command("Notifications: Clear All Notifications");
    await this.page.locator(".notification-list-item").first().waitFor({ state: "detached" });
  }

  async close(): Promise<void> {
    await this.page.close();
  }

  async #quickOpen(name: string): Promise<void> {
    // A whole path: names are looked up in a list of files that may be older than the file.
    await this.#pick("Control+p", join(this.#folder, name), basename(name));
    await this.page.keyboard.press("Enter");
    await this.page.locator(".tab.active", { hasText: basename(name) }).waitFor();
  }

  /**
   * Open the quick input with a key, fill it, and wait for the row. It closes by itself when the focus goes elsewhere,
   * as when a panel is revealed just then: then it is opened again.
   */
  async #pick(key: string, text: string, label: string): Promise<Locator> {
    const input = this.page.locator(".quick-input-widget input.input");
    const row = this.page.locator(".quick-input-list .monaco-list-row", { hasText: label }).first();
    await until(`${JSON.stringify(label)} in the quick input`, async () => {
      if (!(await input.isVisible())) {
        await this.page.keyboard.press(key);
        // Not at once again: what the second press opens would take the focus away later.
        await input.waitFor({ timeout: PATIENCE_MS }).catch(() => undefined);
      }
      if (await input.isVisible() && (await input.inputValue()) !== text) {
        await input.fill(text, { timeout: 1000 }).catch(() => undefined);
      }
      return row.isVisible();
    });
    return row;
  }
}

/**
 * Have the page say what pages of VS Code's own tests say: that our extension's log is to have everything, and with
 * `isTested`, that the workbench is to heed a payload (it then shows no notifications).
 */
async function developing(page: Page, isTested: boolean): Promise<void> {
  const options = "&quot;developmentOptions&quot;:{";
  const extensionLogLevel = [[EXTENSION_ID, TRACE]];
  const ours = JSON.stringify({ extensionLogLevel, ...(isTested && { enableSmokeTestDriver: true }) });
  await page.route(/\/\?folder=/, async (route) => {
    const response = await route.fetch();
    const html = await response.text();
    if (!html.includes(options)) {
      throw new Error("code-server's page has changed: it has no developmentOptions");
    }
    await route.fulfill({ response, body: html.replace(options, `${options}${escaped(ours.slice(1, -1))},`) });
  });
}

function escaped(json: string): string {
  return json.replaceAll('"', "&quot;");
}
