/**
 * Where a language server may be found, in the order of preference. Pure: what the machine has comes in as facts.
 *
 * Never code from an untrusted workspace: neither its own Python setting nor a PATH entry inside of it counts.
 */
import * as path from "node:path";

export type CandidateOrigin = "setting" | "own" | "path" | "python";

export interface Candidate {
  readonly origin: CandidateOrigin;
  /** A Python interpreter or the `starcoder-lsp` command: an absolute path. */
  readonly executable: string;
}

export interface EnvironmentFacts {
  readonly platform: NodeJS.Platform;
  readonly home: string;
  /** `starcoder.server.path`, "" if unset. */
  readonly setting: string;
  /** The interpreter of the environment that the extension made, if it is complete. */
  readonly ownPython: string | null;
  /** The variable PATH. */
  readonly searchPath: string;
  readonly pythonInUserSettings: string | null;
  readonly pythonInWorkspaceSettings: string | null;
  readonly isTrusted: boolean;
  readonly workspaceFolders: readonly string[];
  readonly isFile: (file: string) => boolean;
  /** With links resolved; the path itself where that fails. */
  readonly realPath: (file: string) => string;
}

/** The candidates that exist. A setting stands alone: whoever names a server wants no other. */
export function candidates(facts: EnvironmentFacts): Candidate[] {
  if (facts.setting !== "") {
    const executable = settingPath(facts);
    return executable === null ? [] : [{ origin: "setting", executable }];
  }
  const found: Candidate[] = [];
  if (facts.ownPython !== null) {
    found.push({ origin: "own", executable: facts.ownPython });
  }
  const command = commandOnPath(facts);
  if (command !== null) {
    found.push({ origin: "path", executable: command });
  }
  for (const executable of pythonSettings(facts)) {
    found.push({ origin: "python", executable });
  }
  return found;
}

/** Arguments that make an executable serve on stdio. `-I`: a `model.py` of the workspace stays a text file. */
export function serveArguments(executable: string): string[] {
  return isPython(executable) ? ["-I", "-m", "lsp"] : ["serve"];
}

export function isPython(executable: string): boolean {
  return /^(python|pypy)[\d.]*(\.exe)?$/i.test(lastPart(executable));
}

/** The interpreter inside a virtual environment. */
export function interpreterOf(environment: string, platform: NodeJS.Platform): string {
  const flavour = flavourOf(platform);
  return platform === "win32"
    ? flavour.join(environment, "Scripts", "python.exe")
    : flavour.join(environment, "bin", "python");
}

function settingPath(facts: EnvironmentFacts): string | null {
  const flavour = flavourOf(facts.platform);
  const expanded = /^~(?=$|[\\/])/.test(facts.setting)
    ? flavour.join(facts.home, facts.setting.slice(1))
    : facts.setting;
  if (!flavour.isAbsolute(expanded)) {
    return null;
  }
  // A folder is taken as an environment.
  const inside = interpreterOf(expanded, facts.platform);
  return facts.isFile(expanded) ? expanded : facts.isFile(inside) ? inside : null;
}

function commandOnPath(facts: EnvironmentFacts): string | null {
  const flavour = flavourOf(facts.platform);
  const name = facts.platform === "win32" ? "starcoder-lsp.exe" : "starcoder-lsp";
  for (const folder of facts.searchPath.split(flavour.delimiter)) {
    const file = flavour.join(folder, name);
    if (flavour.isAbsolute(folder) && facts.isFile(file) && !isInWorkspace(file, facts)) {
      return file;
    }
  }
  return null;
}

function pythonSettings(facts: EnvironmentFacts): string[] {
  const flavour = flavourOf(facts.platform);
  const named = [facts.isTrusted ? facts.pythonInWorkspaceSettings : null, facts.pythonInUserSettings];
  return named.filter(
    (file): file is string =>
      file !== null &&
      flavour.isAbsolute(file) &&
      isPython(file) &&
      facts.isFile(file) &&
      (facts.isTrusted || !isInWorkspace(file, facts)),
  );
}

function isInWorkspace(file: string, facts: EnvironmentFacts): boolean {
  const flavour = flavourOf(facts.platform);
  return facts.workspaceFolders.some((folder) =>
    [file, facts.realPath(file)].some((each) => {
      const relative = flavour.relative(facts.realPath(folder), each);
      const plain = flavour.relative(folder, each);
      return [relative, plain].some((way) => !way.startsWith("..") && !flavour.isAbsolute(way));
    }),
  );
}

function lastPart(file: string): string {
  return file.split(/[\\/]/).at(-1) ?? file;
}

function flavourOf(platform: NodeJS.Platform): path.PlatformPath {
  return platform === "win32" ? path.win32 : path.posix;
}
