/** code-server (VS Code's workbench in a browser) as a process, with our extension installed. */

import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { openSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";

import type { Home } from "./home.ts";
import { until } from "./until.ts";

/** The machine, not the code under test, may keep an editor from starting: that alone is tried again. */
const ATTEMPTS = 3;
const START_LIMIT_MS = 60_000;

export class CodeServer {
  readonly url: string;
  readonly #child: ChildProcess;

  private constructor(url: string, child: ChildProcess) {
    this.url = url;
    this.#child = child;
  }

  /** Install an extension for this user. Throws with what code-server said. */
  static install(entry: string, home: Home, vsix: string): void {
    const args = [...base(entry, home), "--install-extension", vsix];
    const done = spawnSync(process.execPath, args, { env: home.environment, encoding: "utf8" });
    if (done.status !== 0) {
      throw new Error(`code-server does not install ${vsix}:\n${done.stdout}${done.stderr}`);
    }
  }

  static async start(entry: string, home: Home): Promise<CodeServer> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await CodeServer.#start(entry, home);
      } catch (error) {
        if (attempt === ATTEMPTS) {
          throw error;
        }
        console.error(`code-server did not start, attempt ${attempt}: ${String(error)}`);
      }
    }
  }

  static async #start(entry: string, home: Home): Promise<CodeServer> {
    const port = await freePort();
    const address = ["--auth", "none", "--bind-addr", `127.0.0.1:${port}`];
    const quiet = ["--disable-telemetry", "--disable-update-check", "--disable-getting-started-override"];
    const log = openSync(join(home.folder, "code-server.log"), "a");
    const child = spawn(process.execPath, [...base(entry, home), ...address, ...quiet], {
      cwd: home.folder,
      env: home.environment,
      stdio: ["ignore", log, log],
    });
    const url = `http://127.0.0.1:${port}`;
    try {
      await until("code-server to answer", async () => child.exitCode === null && (await answers(url)), {
        limitMs: START_LIMIT_MS,
        seen: () => (child.exitCode === null ? "it runs" : `it ended with ${child.exitCode}`),
      });
    } catch (error) {
      child.kill("SIGKILL");
      throw error;
    }
    return new CodeServer(url, child);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  async stop(): Promise<void> {
    this.#child.kill("SIGTERM");
    await until("code-server to end", () => this.#child.exitCode !== null || this.#child.signalCode !== null);
  }
}

function base(entry: string, home: Home): string[] {
  return [entry, "--user-data-dir", home.userData, "--extensions-dir", home.extensions];
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(`${url}/healthz`)).ok;
  } catch {
    return false; // not listening yet
  }
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, "127.0.0.1", resolve));
  const address = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  if (address === null || typeof address === "string") {
    throw new Error("no free port");
  }
  return address.port;
}
