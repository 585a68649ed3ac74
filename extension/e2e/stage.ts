/**
 * All that a run needs: a user, code-server with our extension, Chromium. One for the whole run, because the start is
 * what takes long.
 */

import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";

import { chromium as playwright, type Browser, type BrowserContext } from "playwright-core";

import { CodeServer } from "./code_server.ts";
import { Home } from "./home.ts";
import { options } from "./options.ts";
import { chromium, codeServer, PYTHON, ROOT, vsix } from "./places.ts";
import { Pictures, THEMES, type Theme } from "./pictures.ts";
import { EditorWindow, type Opening } from "./window.ts";

const CHROMIUM_ARGUMENTS = [
  "--no-sandbox", // continuous integration is root in a container
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-features=LocalNetworkAccessChecks", // the extension-host suite talks to 127.0.0.1
];

/** What the status bar says when completions can be asked for. */
export const READY = options.model === "starter" ? /StarCoder: ready · starter/ : /StarCoder: ready · /;

/** VS Code has no key of its own for it. */
export const ACCEPT_LINE = { key: "ctrl+alt+f8", command: "editor.action.inlineSuggest.acceptNextLine" };

/** Where a failure leaves its picture and logs. */
export const FAILURES = join(ROOT, "dist", "e2e-failures");

export class Stage {
  readonly home: Home;
  readonly server: CodeServer;
  readonly pictures: Pictures;
  readonly #browser: Browser;
  readonly #context: BrowserContext;
  readonly #settings: Record<string, unknown>;
  #shared: EditorWindow | undefined;
  #windows: EditorWindow[] = [];

  private constructor(home: Home, server: CodeServer, browser: Browser, context: BrowserContext, theme: Theme | null) {
    this.home = home;
    this.server = server;
    this.#browser = browser;
    this.#context = context;
    this.#settings = settings(home, theme);
    this.pictures = new Pictures(theme);
  }

  static async start({ pictures }: { pictures: Theme | null }): Promise<Stage> {
    const home = new Home();
    try {
      home.configure(settings(home, pictures));
      home.bindKeys([ACCEPT_LINE]);
      const entry = codeServer();
      CodeServer.install(entry, home, vsix());
      home.buildIndex();
      const server = await CodeServer.start(entry, home);
      const browser = await playwright.launch({ executablePath: chromium(), args: CHROMIUM_ARGUMENTS });
      const context = await browser.newContext({ viewport: { width: 1100, height: 720 } });
      return new Stage(home, server, browser, context, pictures);
    } catch (error) {
      await home.remove();
      throw error;
    }
  }

  /** Change the settings of windows that are opened from now on, until `restore` is called. */
  configure(changes: Record<string, unknown>): { restore: () => void } {
    this.home.configure({ ...this.#settings, ...changes });
    return { restore: () => this.home.configure(this.#settings) };
  }

  /** Run steps in a window of their own that begins with other settings: no waiting for a change to arrive. */
  async withSettings(changes: Record<string, unknown>, steps: (window: EditorWindow) => Promise<void>): Promise<void> {
    const { restore } = this.configure(changes);
    try {
      const window = await this.open();
      await window.status(READY);
      await steps(window);
      await window.close(); // after a failure it is still wanted, as evidence
    } finally {
      restore();
    }
  }

  async open(folder = this.home.newProject(), more: Opening = {}): Promise<EditorWindow> {
    const window = await EditorWindow.open(this.#context, this.server.url, folder, more);
    this.#windows = [...this.#windows.filter(({ page }) => !page.isClosed()), window];
    return window;
  }

  /** Host and port, as `vscode-remote:` addresses have them. */
  get authority(): string {
    return new URL(this.server.url).host;
  }

  /** The window that most scenarios share, when the model is ready. */
  async ready(): Promise<EditorWindow> {
    this.#shared ??= await this.open();
    await this.#shared.status(READY);
    return this.#shared;
  }

  /** Close all windows, whatever a scenario left: the next one begins with a new one and the first settings. */
  async closeWindows(): Promise<void> {
    this.#shared = undefined;
    this.home.configure(this.#settings);
    await Promise.all(this.#context.pages().map((page) => page.close()));
  }

  /** Keep what can be seen and read of a failure. */
  async keepEvidence(name: string): Promise<void> {
    mkdirSync(FAILURES, { recursive: true });
    const file = join(FAILURES, name.replaceAll(/\W+/g, "-"));
    for (const [index, page] of this.#context.pages().entries()) {
      await page.screenshot({ path: `${file}-${index}.png` });
    }
    this.home.logs().forEach((path, index) => copyFileSync(path, `${file}-${index}-${basename(path)}`));
    const book = await this.#windows.findLast(({ page }) => !page.isClosed())?.latencyBook();
    writeFileSync(`${file}-latency-book.txt`, book ?? "");
    console.error(`pictures and logs: ${file}-*`);
  }

  async stop(): Promise<void> {
    await this.#browser.close();
    await this.server.stop();
    await this.home.remove();
  }
}

/** A user's settings: what would blur a run is off, and ours are where the parts are. */
function settings(home: Home, theme: Theme | null): Record<string, unknown> {
  return {
    "starcoder.server.path": PYTHON,
    "starcoder.attribution.index": home.index,
    // The bundled model's answers are known, whatever else is on this machine; and no better one is offered.
    "starcoder.model": options.model,
    // Room for a suggestion that is long enough to be seen growing.
    "starcoder.completion.maxNewTokens": 256,
    "workbench.colorTheme": THEMES[theme ?? "light"],
    "workbench.startupEditor": "none",
    "workbench.secondarySideBar.defaultVisibility": "hidden",
    "workbench.enableExperiments": false,
    "security.workspace.trust.enabled": false,
    "chat.disableAIFeatures": true,
    "editor.quickSuggestions": { other: "off", comments: "off", strings: "off" },
    "editor.fontFamily": "'DejaVu Sans Mono', monospace",
    "editor.minimap.enabled": false,
    "extensions.autoUpdate": "off",
    "extensions.ignoreRecommendations": true,
    "files.autoSave": "off",
    "files.hotExit": "off",
    "git.enabled": false,
    "telemetry.telemetryLevel": "off",
    "update.mode": "none",
  };
}
