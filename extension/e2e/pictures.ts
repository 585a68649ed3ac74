/** Pictures for the documents, of the same moment in a light and a dark theme. Taken only when they are asked for. */

import { execFileSync } from "node:child_process";
import { mkdirSync, statSync } from "node:fs";
import { join } from "node:path";

import { PICTURES, PYTHON } from "./places.ts";
import type { Stage } from "./stage.ts";
import type { EditorWindow } from "./window.ts";

const THEMES = { light: "Default Light Modern", dark: "Default Dark Modern" };
const MAX_BYTES = 150_000;

export class Pictures {
  readonly #stage: Stage;
  readonly #isOn: boolean;

  constructor(stage: Stage, isOn: boolean) {
    this.#stage = stage;
    this.#isOn = isOn;
  }

  /** Take `docs/pictures/NAME-light.png` and `NAME-dark.png`. */
  async take(window: EditorWindow, name: string): Promise<void> {
    if (!this.#isOn) {
      return;
    }
    mkdirSync(PICTURES, { recursive: true });
    // The dark one first: the run goes on in the light theme.
    for (const kind of ["dark", "light"] as const) {
      this.#stage.configure({ "workbench.colorTheme": THEMES[kind] });
      const root = kind === "dark" ? ".monaco-workbench.vs-dark" : ".monaco-workbench.vs";
      await window.page.waitForSelector(root);
      const path = join(PICTURES, `${name}-${kind}.png`);
      // Two frames: the first one after the change of colours may still be drawn in parts.
      await window.page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
      await window.page.screenshot({ path, animations: "disabled" });
      execFileSync(PYTHON, ["-I", "-c", COMPRESS, path]);
      if (statSync(path).size > MAX_BYTES) {
        throw new Error(`${path} has ${statSync(path).size} bytes, more than ${MAX_BYTES}`);
      }
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
