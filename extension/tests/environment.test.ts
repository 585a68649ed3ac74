import { describe, expect, it } from "vitest";
import { RestartPolicy, FIRST_DELAY_MS, HEALTHY_AFTER_MS, MAX_ATTEMPTS } from "../src/server/backOff";
import { candidates, interpreterOf, serveArguments, type EnvironmentFacts } from "../src/server/environment";
import { compiledCodeCheck, installPlan, isNewEnough, pinOf, torchPlan } from "../src/server/installPlan";
import { cleanEnvironment } from "../src/server/processes";

/** A machine on which just these files exist. */
function machine(files: readonly string[], changes: Partial<EnvironmentFacts> = {}): EnvironmentFacts {
  return {
    platform: "linux",
    home: "/home/ada",
    setting: "",
    ownPython: null,
    searchPath: "/usr/local/bin:/usr/bin",
    pythonInUserSettings: null,
    pythonInWorkspaceSettings: null,
    isTrusted: true,
    workspaceFolders: ["/home/ada/project"],
    isFile: (file) => files.includes(file),
    realPath: (file) => file,
    ...changes,
  };
}

const executables = (facts: EnvironmentFacts): string[] => candidates(facts).map((each) => each.executable);

describe("the search for a server", () => {
  it("prefers the extension's own environment, then PATH, then Python's setting", () => {
    const files = ["/usr/bin/starcoder-lsp", "/opt/py/bin/python3.12"];
    const facts = machine(files, {
      ownPython: "/storage/server-1/bin/python",
      pythonInUserSettings: "/opt/py/bin/python3.12",
    });
    expect(candidates(facts)).toEqual([
      { origin: "own", executable: "/storage/server-1/bin/python" },
      { origin: "path", executable: "/usr/bin/starcoder-lsp" },
      { origin: "python", executable: "/opt/py/bin/python3.12" },
    ]);
  });

  it("takes the setting and nothing else, be it a file, a folder or in the home", () => {
    const files = ["/venv/bin/python", "/home/ada/sc/bin/python", "/usr/bin/starcoder-lsp"];
    expect(executables(machine(files, { setting: "/venv/bin/python" }))).toEqual(["/venv/bin/python"]);
    expect(executables(machine(files, { setting: "/venv" }))).toEqual(["/venv/bin/python"]);
    expect(executables(machine(files, { setting: "~/sc" }))).toEqual(["/home/ada/sc/bin/python"]);
    expect(executables(machine(files, { setting: "/gone" }))).toEqual([]);
    expect(executables(machine(files, { setting: "venv/bin/python" }))).toEqual([]);
  });

  it("passes over relative parts of PATH, and those in the workspace", () => {
    const files = ["bin/starcoder-lsp", "/home/ada/project/bin/starcoder-lsp", "/usr/bin/starcoder-lsp"];
    const facts = machine(files, { searchPath: "bin::/home/ada/project/bin:/usr/bin" });
    expect(executables(facts)).toEqual(["/usr/bin/starcoder-lsp"]);
  });

  it("is not led into the workspace by a link", () => {
    const files = ["/home/ada/bin/starcoder-lsp"];
    const realPath = (file: string): string =>
      file === "/home/ada/bin/starcoder-lsp" ? "/home/ada/project/evil" : file;
    expect(executables(machine(files, { searchPath: "/home/ada/bin", realPath }))).toEqual([]);
  });

  it("uses the workspace's own Python only where the folder is trusted", () => {
    const files = ["/home/ada/project/.venv/bin/python"];
    const facts = { pythonInWorkspaceSettings: files[0] ?? null, pythonInUserSettings: files[0] ?? null };
    expect(executables(machine(files, { ...facts, isTrusted: true }))).toContain(files[0]);
    expect(executables(machine(files, { ...facts, isTrusted: false }))).toEqual([]);
  });

  it("knows Windows' names and separators", () => {
    const file = "C:\\tools\\starcoder-lsp.exe";
    const facts = machine([file], { platform: "win32", searchPath: "C:\\Windows;C:\\tools", workspaceFolders: ["D:\\code"] });
    expect(executables(facts)).toEqual([file]);
    expect(interpreterOf("C:\\venv", "win32")).toBe("C:\\venv\\Scripts\\python.exe");
  });

  it("isolates Python from the workspace", () => {
    expect(serveArguments("/venv/bin/python3.12")).toEqual(["-I", "-m", "lsp"]);
    expect(serveArguments("C:\\venv\\Scripts\\python.exe")).toEqual(["-I", "-m", "lsp"]);
    expect(serveArguments("/usr/bin/starcoder-lsp")).toEqual(["serve"]);
    expect(cleanEnvironment({ PATH: "/bin", PYTHONPATH: "/evil", PYTHONHOME: "/x" })).toEqual({ PATH: "/bin" });
  });
});

describe("restarts", () => {
  it("come later and later, and end", () => {
    const policy = new RestartPolicy();
    const delays = Array.from({ length: MAX_ATTEMPTS + 1 }, () => policy.ended(10));
    expect(delays).toEqual([250, 500, 1000, 2000, 4000, 8000, null]);
  });

  it("begin anew after a healthy run, and when the user asks", () => {
    const policy = new RestartPolicy();
    policy.ended(10);
    policy.ended(10);
    expect(policy.ended(HEALTHY_AFTER_MS)).toBe(FIRST_DELAY_MS);
    policy.reset();
    expect(policy.ended(10)).toBe(FIRST_DELAY_MS);
  });
});

describe("the installation", () => {
  const facts = {
    platform: "linux",
    basePython: "python3.12",
    environment: "/storage/server-1",
    archive: "/ext/server/starcoder_lsp-1.tar.gz",
    constraints: "/ext/server/constraints.txt",
    torch: "torch==2.9.1",
    hasNvidia: false,
  } as const;

  it("makes an environment and installs the pinned server into it", () => {
    const plan = installPlan({ ...facts, platform: "darwin" });
    expect(plan.map((step) => step.command)).toEqual(["python3.12", "/storage/server-1/bin/python"]);
    expect(plan[1]?.args).toEqual(expect.arrayContaining(["--constraint", facts.constraints, facts.archive]));
    expect(plan.every((step) => step.args[0] === "-I")).toBe(true);
  });

  it("brings PyTorch for an NVIDIA card only", () => {
    expect(JSON.stringify(installPlan(facts))).not.toMatch(/torch|\buv\b|gpu/);
    expect(installPlan({ ...facts, hasNvidia: true })[1]?.args.at(-1)).toBe(`${facts.archive}[gpu]`);
  });

  it("looks for compiled code with the environment's own Python", () => {
    const check = compiledCodeCheck(facts);
    expect(check.command).toBe("/storage/server-1/bin/python");
    expect(check.args[0]).toBe("-I");
    expect(check.args.at(-1)).toContain("native_library() is None");
  });

  it("takes the small PyTorch on Linux where there is no compiled code, and can do without that step", () => {
    const plan = torchPlan(facts);
    const small = plan.find((step) => step.args.includes("--torch-backend=cpu"));
    expect(small).toMatchObject({ isOptional: true, args: expect.arrayContaining(["torch==2.9.1"]) as unknown });
    expect(plan.at(-1)).toMatchObject({
      isOptional: false,
      args: expect.arrayContaining(["--constraint", facts.constraints, `${facts.archive}[gpu]`]) as unknown,
    });
    expect(torchPlan({ ...facts, platform: "darwin" })).toHaveLength(1);
  });

  it("reads pins and versions", () => {
    const constraints = "tokenizers==0.22.1\ntorch==2.9.1 ; python_version < '4'\ntorchao==1\n";
    expect(pinOf(constraints, "torch")).toBe("torch==2.9.1");
    expect(pinOf(constraints, "numpy")).toBeNull();
    expect(isNewEnough("Python 3.11.0")).toBe(true);
    expect(isNewEnough("Python 3.10.14")).toBe(false);
    expect(isNewEnough("Python 4.0")).toBe(true);
    expect(isNewEnough("command not found")).toBe(false);
  });
});
