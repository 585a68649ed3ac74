/** Looks at this machine and the editor's settings for a language server (`environment.ts` decides). */
import * as fs from "node:fs";
import * as os from "node:os";
import * as vscode from "vscode";
import { candidates, isPython, serveArguments, type Candidate, type EnvironmentFacts } from "./environment";
import type { Launch } from "./client";
import { cleanEnvironment, run } from "./processes";

const PROBE_TIMEOUT_MS = 20_000;
/** Prints the version if the environment has our package; a package of another author is not taken for it. */
const PROBE = "import importlib.metadata as m; print('starcoder-lsp', m.version('starcoder-lsp'))";

export class Machine {
  /** Executables that were found to have the server; asked once in a window. */
  readonly #proven = new Set<string>();

  constructor(
    private readonly storage: string,
    private readonly ownPython: () => string | null,
    private readonly log: vscode.LogOutputChannel,
  ) {}

  /** How to start the server, or null if there is none. Throws if a setting names what does not exist. */
  async findLaunch(): Promise<Launch | null> {
    const facts = this.#facts();
    const found = candidates(facts);
    if (facts.setting !== "" && found.length === 0) {
      throw new Error(
        `starcoder.server.path is ${facts.setting}, and no such file exists (an absolute path is needed)`,
      );
    }
    for (const candidate of found) {
      if (await this.#works(candidate)) {
        return this.#launch(candidate.executable);
      }
    }
    return null;
  }

  #launch(executable: string): Launch {
    return {
      command: executable,
      args: serveArguments(executable),
      cwd: this.storage,
      env: cleanEnvironment(process.env),
    };
  }

  async #works(candidate: Candidate): Promise<boolean> {
    const { origin, executable } = candidate;
    // What the user named, or the extension made, is started as it is: a failure is then worth a message.
    if (origin === "setting" || origin === "own" || !isPython(executable) || this.#proven.has(executable)) {
      return true;
    }
    const probe = await run(executable, ["-I", "-c", PROBE], {
      cwd: this.storage,
      timeoutMs: PROBE_TIMEOUT_MS,
    });
    this.log.debug(`${executable}: ${probe.output.trim()}`);
    if (probe.code !== 0) {
      return false;
    }
    this.#proven.add(executable);
    return true;
  }

  #facts(): EnvironmentFacts {
    const python = vscode.workspace.getConfiguration("python").inspect<string>("defaultInterpreterPath");
    return {
      platform: process.platform,
      home: os.homedir(),
      setting: vscode.workspace.getConfiguration("starcoder").get<string>("server.path", "").trim(),
      ownPython: this.ownPython(),
      searchPath: process.env["PATH"] ?? "",
      pythonInUserSettings: python?.globalValue ?? null,
      pythonInWorkspaceSettings: python?.workspaceFolderValue ?? python?.workspaceValue ?? null,
      isTrusted: vscode.workspace.isTrusted,
      workspaceFolders: (vscode.workspace.workspaceFolders ?? []).map((folder) => folder.uri.fsPath),
      isFile,
      realPath,
    };
  }
}

export function isFile(file: string): boolean {
  return fs.statSync(file, { throwIfNoEntry: false })?.isFile() ?? false;
}

function realPath(file: string): string {
  return fs.existsSync(file) ? fs.realpathSync(file) : file;
}
