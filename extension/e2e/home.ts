/**
 * A user of their own: home, settings, a project to work in, and a small real attribution index.
 *
 * Nothing of the real user is seen and nothing is left behind. The folder's name is short: the path of a unix
 * socket in it is limited to 107 bytes.
 */

import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import { PYTHON, ROOT } from "./places.ts";
import { belongsTo, isAlive, processes, signal } from "./processes.ts";
import { until } from "./until.ts";

/** Installed packages whose sources become the index: a permissive licence of each of two kinds. */
const INDEXED = ["httpx", "starlette", "huggingface_hub"];

export class Home {
  readonly folder = mkdtempSync(join(tmpdir(), "sc-"));
  readonly userData = join(this.folder, "user");
  readonly extensions = join(this.folder, "extensions");
  readonly index = join(this.folder, "index");
  readonly sources = join(this.folder, "sources");
  readonly suiteReport = join(this.folder, "suite.json");

  #nProjects = 0;

  constructor() {
    for (const name of ["run", "user/User", "user/Machine", "extensions"]) {
      mkdirSync(join(this.folder, name), { recursive: true, mode: 0o700 });
    }
  }

  get environment(): NodeJS.ProcessEnv {
    const { PATH = "", LANG = "C.UTF-8", STARCODER_E2E_LIMIT_MS: limit } = process.env;
    // How this machine reaches its package index.
    const indexes = Object.entries(process.env).filter(([name]) => /^(PIP|UV)_/.test(name));
    return {
      ...Object.fromEntries(indexes),
      PATH,
      LANG,
      HOME: this.folder,
      XDG_CONFIG_HOME: join(this.folder, "config"),
      XDG_STATE_HOME: join(this.folder, "state"),
      XDG_CACHE_HOME: join(this.folder, "cache"),
      XDG_DATA_HOME: join(this.folder, "data"),
      XDG_RUNTIME_DIR: join(this.folder, "run"),
      // For host/suite.cjs: where its report goes.
      STARCODER_SUITE_REPORT: this.suiteReport,
      ...(limit !== undefined && { STARCODER_E2E_LIMIT_MS: limit }),
      // The server must show what it can do with no network at all.
      HF_HUB_OFFLINE: "1",
      // No shop of extensions is asked: nobody listens there.
      EXTENSIONS_GALLERY: JSON.stringify({ serviceUrl: "http://127.0.0.1:9", itemUrl: "http://127.0.0.1:9" }),
    };
  }

  /** An empty project. Each window has one of its own: VS Code gives a folder back what was open in it. */
  newProject(): string {
    this.#nProjects += 1;
    const folder = join(this.folder, `project-${this.#nProjects}`);
    mkdirSync(join(folder, ".git"), { recursive: true });
    return folder;
  }

  /** Another folder that wants its own program started as the language server, and notes when it is. */
  hostileProject(): { folder: string; wasRun: () => boolean } {
    const folder = join(this.folder, "cloned");
    const program = join(folder, ".venv", "bin", "python");
    const marker = join(this.folder, "was-run");
    mkdirSync(join(folder, ".vscode"), { recursive: true });
    mkdirSync(dirname(program), { recursive: true });
    const script = `#!/bin/sh\ntouch '${marker}'\n`;
    for (const path of [program, join(dirname(program), "starcoder-lsp")]) {
      writeFileSync(path, script, { mode: 0o755 });
    }
    const settings = { "starcoder.server.path": program, "python.defaultInterpreterPath": program };
    writeFileSync(join(folder, ".vscode", "settings.json"), JSON.stringify(settings));
    writeFileSync(join(folder, "model.py"), `open(${JSON.stringify(marker)}, "w").close()\n`);
    const code = "class Account:\n    def __init__(self, owner, balance):\n        self.owner = owner\n        ";
    writeFileSync(join(folder, "account.py"), code);
    return { folder, wasRun: () => existsSync(marker) };
  }

  /** The editor's own keys, beside those it comes with. Read when a window opens. */
  bindKeys(bindings: { key: string; command: string }[]): void {
    writeFileSync(join(this.userData, "User", "keybindings.json"), JSON.stringify(bindings));
  }

  /**
   * The editor's user settings, replaced as a whole, for windows that are opened from now on. Where the extensions run
   * elsewhere than the window, as here, settings of the scope "machine" are in a file of that machine.
   */
  configure(settings: Record<string, unknown>): void {
    const ours = Object.entries(settings).filter(([name]) => name.startsWith("starcoder."));
    const others = Object.entries(settings).filter(([name]) => !name.startsWith("starcoder."));
    for (const [folder, entries] of [["Machine", ours], ["User", others]] as const) {
      writeFileSync(join(this.userData, folder, "settings.json"), JSON.stringify(Object.fromEntries(entries), null, 2));
    }
  }

  /** A copy of the bundled model, where LM Studio keeps those of a publisher. */
  addModel(name: string): void {
    cpSync(join(ROOT, "model", "starter"), join(this.folder, ".lmstudio", "models", "e2e", name), { recursive: true });
  }

  /** The user's own file of settings, which any editor's server reads. */
  writeConfiguration(toml: string): void {
    const folder = join(this.folder, "config", "starcoder-lsp");
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "config.toml"), toml);
  }

  /** The environment that the extension has made for this user, once it is complete. */
  installed(): string | undefined {
    const storage = join(this.userData, "User", "globalStorage", "starcoder-lsp.starcoder");
    const names = existsSync(storage) ? readdirSync(storage) : [];
    return names.map((name) => join(storage, name)).find((folder) => existsSync(join(folder, "starcoder-complete")));
  }

  /** Build the index with the real command from a few packages of the environment that we run in. */
  buildIndex(): void {
    const listing = execFileSync(
      PYTHON,
      ["-I", "-c", FIND_PACKAGES, this.sources, ...INDEXED],
      { encoding: "utf8" },
    );
    const sources = listing.trim().split("\n");
    this.starcoder(["index", "build", ...sources, "--into", this.index, "--processes", "1"]);
  }

  /** Run a `starcoder-lsp` command as this user; returns what it prints. */
  starcoder(args: string[]): string {
    return execFileSync(PYTHON, ["-I", "-m", "lsp", ...args], {
      cwd: this.folder,
      env: this.environment,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    });
  }

  /** A function of an indexed file, with the lines where it stands there, from 1. */
  indexedFunction(): { path: string; text: string; first: number; last: number } {
    const path = join("httpx", "_decoders.py");
    const [file = ""] = filesBelow(this.sources, (name) => name.endsWith(path));
    const lines = readFileSync(file, "utf8").split("\n");
    const start = lines.findIndex((line) => line.startsWith("class TextChunker"));
    const length = lines.slice(start + 1).findIndex((line) => /^\S/.test(line));
    const text = lines.slice(start, start + 1 + length);
    while (text.at(-1)?.trim() === "") {
      text.pop();
    }
    return { path, text: `${text.join("\n")}\n`, first: start + 1, last: start + text.length };
  }

  /** Logs that tell about a failure: of our extension and its server (one for each window), our engine, code-server. */
  logs(): string[] {
    const windows = filesBelow(join(this.userData, "logs"), (name) => name.endsWith("StarCoder.log"));
    const engine = filesBelow(join(this.folder, "state"), (name) => name.endsWith(".log"));
    return [...windows, ...engine, join(this.folder, "code-server.log")].filter(existsSync);
  }

  /** Our processes that still run: editor, servers, engine. */
  running(): ReturnType<typeof processes> {
    return processes().filter(({ pid }) => belongsTo(pid, this.folder));
  }

  /** The language servers of this user. */
  servers(): number[] {
    return this.#pids((command) => command.includes("lsp") && !command.includes("engine"));
  }

  /** The engines of this user; there should never be two. */
  engines(): number[] {
    return this.#pids((command) => command.includes("engine"));
  }

  /** End what still runs, and remove everything. */
  async remove(): Promise<void> {
    for (const { pid } of this.running()) {
      signal(pid, "SIGTERM");
    }
    const ended = () => this.running().every(({ pid }) => !isAlive(pid));
    await until("our processes to end", ended, { limitMs: 10_000 }).catch(() => {
      this.running().forEach(({ pid }) => signal(pid, "SIGKILL"));
    });
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }

  #pids(wanted: (command: string[]) => boolean): number[] {
    const python = this.running().filter(({ command }) => /python[\d.]*$/.test(command[0] ?? ""));
    return python.filter(({ command }) => command.includes("-m") && wanted(command)).map(({ pid }) => pid);
  }
}

function filesBelow(folder: string, wanted: (path: string) => boolean): string[] {
  const names = existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: "utf8" }) : [];
  return names.filter(wanted).map((name) => join(folder, name));
}

/** Copies installed packages with their metadata and licence beside them, as a source archive has it. */
const FIND_PACKAGES = `
import shutil, sys
from importlib import metadata
from pathlib import Path

into, *names = sys.argv[1:]
for name in names:
    found = metadata.distribution(name)
    folder = Path(into, f"{name}-{found.version}")
    package = Path(str(found.locate_file(name)))
    shutil.copytree(package, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "PKG-INFO").write_text(str(found.read_text("METADATA")), encoding="utf-8")
    for path in found.files or []:
        if "LICENSE" in path.name and ".dist-info" in str(path):
            shutil.copy(str(path.locate()), folder / path.name)
    print(folder)
`;
