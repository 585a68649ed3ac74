/** Where things are: this checkout, its Python, the packaged extension, and what `install` fetched. */

import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";

export const HERE = import.meta.dirname;
export const EXTENSION = dirname(HERE);
export const ROOT = dirname(EXTENSION);
export const PICTURES = join(ROOT, "docs", "pictures");
/** The environment whose server is tested (or another one: `STARCODER_E2E_PYTHON`). */
export const PYTHON = process.env["STARCODER_E2E_PYTHON"] ?? join(ROOT, ".venv", "bin", "python");

/** code-server's entry point; `install` prints its folder. */
export function codeServer(): string {
  const tools = execFileSync(join(HERE, "install"), { encoding: "utf8" }).trim();
  return join(tools, "node_modules", "code-server", "out", "node", "entry.js");
}

/** The packaged extension, as `make extension` left it (or another one: `STARCODER_E2E_VSIX`). */
export function vsix(): string {
  const file = process.env["STARCODER_E2E_VSIX"] ?? join(ROOT, "dist", "starcoder.vsix");
  if (!existsSync(file)) {
    throw new Error(`there is no ${file}: run make extension`);
  }
  return file;
}

/** Chromium, as the system has it (or another one: `CHROMIUM`). */
export function chromium(): string {
  for (const name of [process.env["CHROMIUM"], "chromium", "chromium-browser", "google-chrome"]) {
    for (const folder of ["", ...(process.env["PATH"] ?? "").split(":")]) {
      if (name && existsSync(join(folder, name)) && (folder || name.includes("/"))) {
        return join(folder, name);
      }
    }
  }
  throw new Error("there is no Chromium: run extension/e2e/install");
}
