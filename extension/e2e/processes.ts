/** The processes of this machine, read from /proc: which of them are ours, what they need, and how to end one. */

import { readdirSync, readFileSync } from "node:fs";

export interface Process {
  pid: number;
  parent: number;
  command: string[];
}

/** All processes that can be read; those that end meanwhile are left out. */
export function processes(): Process[] {
  const found: Process[] = [];
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) {
      continue;
    }
    const command = read(name, "cmdline");
    const stat = read(name, "stat");
    if (command === undefined || stat === undefined) {
      continue;
    }
    // "pid (name) state parent …", and the name may have blanks and brackets.
    const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
    found.push({ pid: Number(name), parent, command: command.split("\0").filter((part) => part) });
  }
  return found;
}

/** Processes below `root`, whatever their depth. */
export function descendants(root: number): Process[] {
  const all = processes();
  const pids = new Set([root]);
  for (let grown = true; grown; ) {
    grown = false;
    for (const { pid, parent } of all) {
      if (pids.has(parent) && !pids.has(pid)) {
        pids.add(pid);
        grown = true;
      }
    }
  }
  return all.filter(({ pid }) => pids.has(pid) && pid !== root);
}

/** Whether this process was started in our user's home: its environment says so. */
export function belongsTo(pid: number, home: string): boolean {
  return read(String(pid), "environ")?.split("\0").includes(`HOME=${home}`) ?? false;
}

/** Proportional set size in MiB: memory that processes share is divided among them. */
export function memoryMiB(pid: number): number {
  const line = read(String(pid), "smaps_rollup")?.match(/^Pss:\s+(\d+) kB$/m);
  return line ? Number(line[1]) / 1024 : 0;
}

export function isAlive(pid: number): boolean {
  const stat = read(String(pid), "stat");
  return stat !== undefined && stat.slice(stat.lastIndexOf(")") + 2, stat.lastIndexOf(")") + 3) !== "Z";
}

/** Send a signal; a process that is gone already is as good. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") {
      throw error;
    }
  }
}

function read(pid: string, file: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return undefined; // ended meanwhile, or somebody else's
  }
}
