/** Makes an environment of the extension's own, with the language server that came with the extension. */
import * as fs from "node:fs/promises";
import * as path from "node:path";
import * as vscode from "vscode";
import { interpreterOf } from "./environment";
import {
  compiledCodeCheck,
  installPlan,
  isNewEnough,
  pinOf,
  pythonNames,
  torchPlan,
  type InstallFacts,
  type Step,
} from "./installPlan";
import { isFile } from "./machine";
import { run, type Outcome } from "./processes";

/** Written last: an environment without it was interrupted. */
const STAMP = "starcoder-complete";

type Progress = vscode.Progress<{ message?: string; increment?: number }>;

export class Installer {
  constructor(
    private readonly storage: string,
    private readonly bundle: string,
    private readonly version: string,
    private readonly log: vscode.LogOutputChannel,
  ) {}

  get environment(): string {
    return path.join(this.storage, `server-${this.version}`);
  }

  /** The interpreter of the finished environment, or null. */
  get python(): string | null {
    return isFile(path.join(this.environment, STAMP))
      ? interpreterOf(this.environment, process.platform)
      : null;
  }

  /** The server that the extension carries: a source archive, so that one extension serves every platform. */
  async #archive(): Promise<string | null> {
    const names = await fs.readdir(this.bundle).catch(() => []);
    const name = names.find((each) => each.endsWith(".tar.gz"));
    return name === undefined ? null : path.join(this.bundle, name);
  }

  /** Returns whether it is done; what went wrong is told here. */
  async install(): Promise<boolean> {
    const archive = await this.#archive();
    const basePython = await this.#basePython();
    if (archive === null) {
      this.#fail("this build of the extension carries no language server; set starcoder.server.path");
      return false;
    }
    if (basePython === null) {
      this.#fail("no Python 3.11 or newer was found; install one, or set starcoder.server.path");
      return false;
    }
    const constraints = path.join(this.bundle, "constraints.txt");
    const facts: InstallFacts = {
      platform: process.platform,
      basePython,
      environment: this.environment,
      archive,
      constraints,
      torch: pinOf(await fs.readFile(constraints, "utf8"), "torch") ?? "torch",
      hasNvidia: isFile("/proc/driver/nvidia/version"),
    };
    return vscode.window.withProgress(
      { location: vscode.ProgressLocation.Notification, title: "StarCoder", cancellable: true },
      (progress, token) => this.#makeEnvironment(facts, progress, token),
    );
  }

  async #makeEnvironment(
    facts: InstallFacts,
    progress: Progress,
    token: vscode.CancellationToken,
  ): Promise<boolean> {
    const abort = new AbortController();
    token.onCancellationRequested(() => {
      abort.abort();
    });
    await fs.mkdir(this.storage, { recursive: true });
    await fs.rm(path.join(this.environment, STAMP), { force: true });
    if (!(await this.#carryOut(installPlan(facts), progress, abort.signal))) {
      return false;
    }
    const needsTorch = !facts.hasNvidia && (await this.#run(compiledCodeCheck(facts), abort.signal)).code !== 0;
    if (needsTorch && !abort.signal.aborted) {
      this.log.warn("No compiled code could be built (is there a C++ compiler?): PyTorch will run the engine.");
      if (!(await this.#carryOut(torchPlan(facts), progress, abort.signal))) {
        return false;
      }
    }
    if (abort.signal.aborted) {
      return false;
    }
    await fs.writeFile(path.join(this.environment, STAMP), this.version);
    await this.#removeOlder();
    return true;
  }

  /** Returns whether all went well; it does not when the user cancels. */
  async #carryOut(plan: readonly Step[], progress: Progress, signal: AbortSignal): Promise<boolean> {
    for (const step of plan) {
      progress.report({ message: `${step.title} …`, increment: 100 / (plan.length + 1) });
      const outcome = await this.#run(step, signal);
      if (signal.aborted) {
        return false;
      }
      if (outcome.code !== 0 && !step.isOptional) {
        this.#fail(`${step.title} failed: ${lastLine(outcome.output)}`);
        return false;
      }
    }
    return true;
  }

  #run(step: Step, signal: AbortSignal): Promise<Outcome> {
    this.log.info(`${step.title}: ${[step.command, ...step.args].join(" ")}`);
    return run(step.command, step.args, {
      cwd: this.storage,
      signal,
      ...(step.env !== undefined && { env: step.env }),
      onLine: (line) => {
        this.log.info(line);
      },
    });
  }

  async #basePython(): Promise<string | null> {
    for (const name of pythonNames(process.platform)) {
      const { code, output } = await run(name, ["-I", "--version"], { cwd: this.bundle, timeoutMs: 10_000 });
      if (code === 0 && isNewEnough(output)) {
        return name;
      }
    }
    return null;
  }

  async #removeOlder(): Promise<void> {
    const current = path.basename(this.environment);
    for (const name of await fs.readdir(this.storage)) {
      if (/^server-/.test(name) && name !== current) {
        await fs.rm(path.join(this.storage, name), { recursive: true, force: true });
      }
    }
  }

  #fail(reason: string): void {
    this.log.error(reason);
    void vscode.window.showErrorMessage(`StarCoder: ${reason}.`, "Show the Log").then((choice) => {
      if (choice !== undefined) {
        this.log.show();
      }
    });
  }
}

function lastLine(output: string): string {
  return output.trimEnd().split(/\r?\n/).at(-1) ?? "";
}
