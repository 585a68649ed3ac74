/**
 * The steps that make an environment with the language server in it. Pure.
 *
 * The engine computes with code that is compiled at the installation; PyTorch is for NVIDIA GPUs, and for machines without
 * a C++ compiler.
 */
import { interpreterOf } from "./environment";

export interface Step {
  readonly title: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** A step that only saves time or space: its failure is logged, and the next step does without. */
  readonly isOptional: boolean;
}

export interface InstallFacts {
  readonly platform: NodeJS.Platform;
  /** A Python 3.11 or newer. */
  readonly basePython: string;
  readonly environment: string;
  readonly archive: string;
  /** The versions that were tested together. */
  readonly constraints: string;
  /** The pinned requirement of PyTorch, "torch==2.9.1". */
  readonly torch: string;
  readonly hasNvidia: boolean;
}

const PIP = ["-I", "-m", "pip", "--disable-pip-version-check", "install", "--progress-bar", "off"];

export function installPlan(facts: InstallFacts): Step[] {
  const extra = facts.hasNvidia ? "[gpu]" : "";
  return [
    {
      title: "Making an environment",
      command: facts.basePython,
      args: ["-I", "-m", "venv", "--clear", facts.environment],
      isOptional: false,
    },
    {
      title: "Installing the language server and the model",
      command: interpreterOf(facts.environment, facts.platform),
      args: [...PIP, "--constraint", facts.constraints, facts.archive + extra],
      isOptional: false,
    },
  ];
}

/** Fails where the installation could compile nothing: then the steps of `torchPlan` follow. */
export function compiledCodeCheck(facts: InstallFacts): Step {
  const program = "import sys; from model.native.library import native_library; sys.exit(native_library() is None)";
  return {
    title: "Looking for compiled code",
    command: interpreterOf(facts.environment, facts.platform),
    args: ["-I", "-c", program],
    isOptional: true,
  };
}

/** PyTorch, to run the engine where there is no compiled code. */
export function torchPlan(facts: InstallFacts): Step[] {
  const python = interpreterOf(facts.environment, facts.platform);
  const pinned = ["--constraint", facts.constraints];
  const steps: Step[] = [];
  if (facts.platform === "linux") {
    // The ordinary index serves PyTorch with gigabytes of CUDA; uv knows where the small build is.
    steps.push(
      {
        title: "Fetching an installer",
        command: python,
        args: [...PIP, ...pinned, "uv"],
        isOptional: true,
      },
      {
        title: "Fetching PyTorch (CPU), as no C++ compiler was found",
        command: python,
        args: [
          ...["-I", "-m", "uv", "pip", "install", "--no-config", "--python", python],
          ...["--no-deps", "--torch-backend=cpu", facts.torch],
        ],
        // That index may be out of reach: do not wait for it long.
        env: { UV_HTTP_TIMEOUT: "20", UV_HTTP_RETRIES: "0" },
        isOptional: true,
      },
    );
  }
  steps.push({
    title: "Installing PyTorch, as no C++ compiler was found",
    command: python,
    args: [...PIP, ...pinned, `${facts.archive}[gpu]`],
    isOptional: false,
  });
  return steps;
}

/** The pin of a package in a constraints file, without its environment marker. */
export function pinOf(constraints: string, name: string): string | null {
  const line = constraints.split("\n").find((each) => each.startsWith(`${name}==`));
  return line === undefined ? null : (line.split(/[\s;]/)[0] ?? null);
}

/** Commands that may be a Python, the likeliest first. */
export function pythonNames(platform: NodeJS.Platform): string[] {
  const names = ["python3.13", "python3.12", "python3.11", "python3", "python"];
  return platform === "win32" ? ["python", "python3"] : names;
}

/** Whether `python --version` says 3.11 or newer. */
export function isNewEnough(version: string): boolean {
  const match = /Python (\d+)\.(\d+)/.exec(version);
  if (match === null) {
    return false;
  }
  const [major, minor] = [Number(match[1]), Number(match[2])];
  return major > 3 || (major === 3 && minor >= 11);
}
