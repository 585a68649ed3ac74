/** Pictures for the documents, in a light and a dark theme: one run for each. Taken only when they are asked for. */

import { execFileSync } from "node:child_process";
import { mkdirSync, statSync } from "node:fs";
import { join } from "node:path";

import { PICTURES, PYTHON } from "./places.ts";
import { until } from "./until.ts";
import type { EditorWindow } from "./window.ts";

export const THEMES = { light: "Default Light Modern", dark: "Default Dark Modern" };
export type Theme = keyof typeof THEMES;
const MIDDLE_OF_STATUS_BAR = { x: 260, y: 704 };
const MAX_BYTES = 150_000;

export class Pictures {
  readonly #theme: Theme | null;

  /** `theme`: the one that the windows have; null: no pictures are wanted. */
  constructor(theme: Theme | null) {
    this.#theme = theme;
  }

  /** Take `docs/pictures/NAME-light.png` or `NAME-dark.png`. */
  async take(window: EditorWindow, name: string): Promise<void> {
    if (this.#theme === null) {
      return;
    }
    mkdirSync(PICTURES, { recursive: true });
    const path = join(PICTURES, `${name}-${this.#theme}.png`);
    await window.page.mouse.move(MIDDLE_OF_STATUS_BAR.x, MIDDLE_OF_STATUS_BAR.y); // nothing pops up there
    const hovers = window.page.locator(".monaco-hover:visible");
    await until("hovers to be gone", async () => (await hovers.count()) === 0);
    await window.page.screenshot({ path, animations: "disabled" });
    execFileSync(PYTHON, ["-I", "-c", COMPRESS, path]);
    if (statSync(path).size > MAX_BYTES) {
      throw new Error(`${path} has ${statSync(path).size} bytes, more than ${MAX_BYTES}`);
    }
  }
}

/** An interface has few colours: 128 of them look the same and take a third of the space. */
const COMPRESS = `
import sys
from PIL import Image

path = sys.argv[1]
image = Image.open(path).convert("RGB")
image.quantize(128, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(path, optimize=True)
`;
