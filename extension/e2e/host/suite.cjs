// @ts-check
/**
 * Tests inside of VS Code's extension host: the installed extension as another extension sees it. VS Code calls `run`;
 * each test is a function below. What happened is written, as JSON, into the file that STARCODER_SUITE_REPORT names.
 */
"use strict";

const assert = require("node:assert/strict");
const fs = require("node:fs");
const vscode = require("vscode");

const LIMIT_MS = Number(process.env["STARCODER_E2E_LIMIT_MS"] ?? 60_000);

/** @typedef {{ state(): string, lastLatencyMs(): number | null, onDidChangeState: vscode.Event<string>, activationMs: number }} Api */

/** @type {Record<string, (api: Api) => Promise<void>>} */
const tests = {
  "tells its state, and how long it took to activate": async (api) => {
    await until("the engine", () => api.state() === "ready");
    assert.ok(api.activationMs > 0);
  },

  "registers every command of its manifest": async () => {
    const { packageJSON } = extension();
    /** @type {{ command: string }[]} */
    const declared = packageJSON.contributes.commands;
    const known = new Set(await vscode.commands.getCommands(true));
    assert.deepEqual(
      declared.map(({ command }) => command).filter((command) => !known.has(command)),
      [],
    );
  },

  "completes, and a commit puts the suggestion into the document": async (api) => {
    const text = "class Account:\n    def __init__(self, owner, balance):\n        self.owner = o";
    const committed = await complete(api, text);
    assert.ok(committed.startsWith(text) && committed.length > text.length, committed);
  },

  "completes behind emoji, in a document with Windows line ends": async (api) => {
    const text = "# 🙂👍 naïve\r\nclass Account:\r\n    def __init__(self, owner, balance):\r\n        self.owner = o";
    const committed = await complete(api, text);
    assert.ok(committed.startsWith(text) && committed.length > text.length, JSON.stringify(committed));
    assert.ok(!/[^\r]\n/.test(committed), "no bare line feed");
  },

  "is silent in a language that is switched off, and says so": async (api) => {
    const section = vscode.workspace.getConfiguration("starcoder");
    const text = "def area(radius)\n  return Math::PI * r";
    await section.update("completion.disabledLanguages", ["ruby"], vscode.ConfigurationTarget.Global);
    try {
      const { document } = await open(text, "ruby");
      await until("a state that says so", async () => {
        await vscode.commands.executeCommand("starcoder.trigger");
        return api.state() === "excluded";
      });
      await vscode.commands.executeCommand("editor.action.inlineSuggest.commit");
      assert.equal(document.getText(), text);
    } finally {
      await section.update("completion.disabledLanguages", undefined, vscode.ConfigurationTarget.Global);
    }
  },

  "restarts the engine by a command": async (api) => {
    await throughStarting(api, () => vscode.commands.executeCommand("starcoder.restartEngine"));
  },

  "restarts the language server by a command": async (api) => {
    await throughStarting(api, () => vscode.commands.executeCommand("starcoder.restart"));
  },

  "offers what can be done about code": async () => {
    const editor = await open("def area(radius):\n    return 3.14159 * radius**2\n", "python");
    const whole = new vscode.Range(0, 0, editor.document.lineCount, 0);
    const actions = await until("actions", async () => {
      /** @type {vscode.CodeAction[]} */
      const found = await vscode.commands.executeCommand(
        "vscode.executeCodeActionProvider",
        editor.document.uri,
        whole,
      );
      return found.length > 0 && found;
    });
    const titles = actions.map(({ title }) => title);
    assert.ok(titles.includes("Explain") && titles.includes("Write a test"), titles.join(", "));
  },
};

/** Called by VS Code. */
exports.run = async function run() {
  /** @type {{ name: string, error: string | null }[]} */
  const results = [];
  /** @type {Api} */
  const api = await extension().activate();
  for (const [name, test] of Object.entries(tests)) {
    try {
      await test(api);
      results.push({ name, error: null });
    } catch (error) {
      results.push({ name, error: error instanceof Error ? String(error.stack) : String(error) });
    }
  }
  fs.writeFileSync(String(process.env["STARCODER_SUITE_REPORT"]), JSON.stringify(results));
};

function extension() {
  const found = vscode.extensions.getExtension("starcoder-lsp.starcoder");
  assert.ok(found, "the packaged extension is installed");
  return found;
}

/**
 * @param {string} content
 * @param {string} language
 */
async function open(content, language) {
  const document = await vscode.workspace.openTextDocument({ content, language });
  return vscode.window.showTextDocument(document);
}

/**
 * A document's text when the suggestion at its end was taken.
 *
 * @param {Api} api
 * @param {string} text
 */
async function complete(api, text) {
  const editor = await open(text, "python");
  const { document } = editor;
  const end = document.positionAt(text.length);
  editor.selection = new vscode.Selection(end, end);
  await until("the engine", () => api.state() === "ready");
  await vscode.commands.executeCommand("starcoder.trigger");
  // Committing does nothing until ghost text is there, so it is the question, too.
  await until("a suggestion", async () => {
    await vscode.commands.executeCommand("editor.action.inlineSuggest.commit");
    return document.getText().length > text.length;
  });
  return document.getText();
}

/**
 * Do something that starts the engine anew, and wait until it is ready again.
 *
 * @param {Api} api
 * @param {() => Thenable<unknown>} act
 */
async function throughStarting(api, act) {
  await open("", "python"); // a file that is excluded would hide the engine's state
  /** @type {string[]} */
  const states = [];
  const listening = api.onDidChangeState((state) => states.push(state));
  try {
    await act();
    await until(`"starting", then "ready" after ${states}`, () => {
      return states.includes("starting") && api.state() === "ready";
    });
  } finally {
    listening.dispose();
  }
}

/**
 * @template T
 * @param {string} what
 * @param {() => T | false | undefined | Promise<T | false | undefined>} ask
 * @returns {Promise<T>}
 */
async function until(what, ask) {
  const deadline = Date.now() + LIMIT_MS;
  for (;;) {
    const value = await ask();
    if (value !== false && value !== undefined) {
      return value;
    }
    if (Date.now() > deadline) {
      throw new Error(`waited ${LIMIT_MS / 1000} s for ${what}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
