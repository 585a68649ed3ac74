/** Short-lived processes: run to the end, with their output as text. */
import { spawn } from "node:child_process";

export interface Outcome {
  readonly code: number | null;
  readonly output: string;
}

const MAX_KEPT_CHARS = 64_000;

export interface RunOptions {
  readonly cwd: string;
  readonly timeoutMs?: number;
  /** Beside the editor's own. */
  readonly env?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  readonly onLine?: (line: string) => void;
}

/** Never rejects for a failing process: its code says so (null: not started, killed or too slow). */
export function run(command: string, args: readonly string[], options: RunOptions): Promise<Outcome> {
  return new Promise((resolve) => {
    let output = "";
    const child = spawn(command, [...args], {
      cwd: options.cwd,
      env: { ...cleanEnvironment(process.env), ...options.env },
      stdio: ["ignore", "pipe", "pipe"],
      windowsHide: true,
      ...(options.timeoutMs !== undefined && { timeout: options.timeoutMs }),
      ...(options.signal !== undefined && { signal: options.signal }),
    });
    const take = (data: Buffer): void => {
      const text = data.toString("utf8");
      output = (output + text).slice(-MAX_KEPT_CHARS);
      for (const line of text.split(/\r?\n/)) {
        if (line.trim() !== "") {
          options.onLine?.(line);
        }
      }
    };
    child.stdout.on("data", take);
    child.stderr.on("data", take);
    child.on("error", (error) => {
      resolve({ code: null, output: `${output}${error.message}` });
    });
    child.on("close", (code) => {
      resolve({ code, output });
    });
  });
}

/** What could make a Python load code from elsewhere stays out. */
export function cleanEnvironment(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const clean = { ...environment };
  for (const name of ["PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "__PYVENV_LAUNCHER__"]) {
    Reflect.deleteProperty(clean, name);
  }
  return clean;
}
