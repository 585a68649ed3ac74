/**
 * What the user saw, frame by frame: the ghost text of every animation frame, with the frame's time.
 *
 * Recorded in the page itself, so that nothing between two frames is missed, whatever the machine does.
 */

import type { Page } from "playwright-core";

/** The state from one frame on; the frames after it that look the same are not listed. */
export interface Look {
  /** Number of the frame since the recording began. */
  frame: number;
  /** `performance.now()` of the page. */
  atMs: number;
  /** The ghost text, "" if there is none. */
  ghost: string;
  /** The line with the cursor, without ghost text. */
  line: string;
}

/** A key that went down in the editor. */
export interface Key {
  atMs: number;
  key: string;
}

declare global {
  interface Window {
    starcoderFrames: { looks: Look[]; keys: Key[]; frame: number; read: () => { ghost: string; line: string } };
  }
}

/** To be given to `page.addInitScript`: runs in the page, before anything else. */
export function recordFrames(): void {
  const plain = (text: string) => text.replaceAll("\u00a0", " ");

  /** Ghost text in the order in which it is seen: spans in the cursor's line, and whole lines below it. */
  function read(): { ghost: string; line: string } {
    const editor = document.querySelector(".monaco-editor.focused") ?? document.querySelector(".editor-instance .monaco-editor");
    if (!editor) {
      return { ghost: "", line: "" };
    }
    const inline = [...editor.querySelectorAll<HTMLElement>(".view-lines [class*='ghost-text']")].filter(
      (part) => !part.parentElement?.closest("[class*='ghost-text']"),
    );
    const below = [...editor.querySelectorAll<HTMLElement>(".view-zones .suggest-preview-text .view-line")];
    const ghost = [inline.map((part) => part.innerText).join(""), ...below.map((part) => part.innerText)];
    const row = inline[0]?.closest(".view-line") ?? cursorLine(editor);
    let line = "";
    row?.querySelectorAll<HTMLElement>(":scope > span > span").forEach((part) => {
      line += part.matches("[class*='ghost-text']") ? "" : (part.textContent ?? "");
    });
    return { ghost: plain(ghost.join("\n")).replace(/^\n$/, ""), line: plain(line) };
  }

  function cursorLine(editor: Element): Element | undefined {
    const cursor = editor.querySelector<HTMLElement>(".cursors-layer .cursor");
    return [...editor.querySelectorAll<HTMLElement>(".view-lines > .view-line")].find(
      (line) => line.style.top === cursor?.style.top,
    );
  }

  const state = { looks: [] as Look[], keys: [] as Key[], frame: 0, read };
  window.starcoderFrames = state;
  function sample(): void {
    state.frame += 1;
    const { ghost, line } = read();
    const last = state.looks.at(-1);
    if (!last || last.ghost !== ghost || last.line !== line) {
      state.looks.push({ frame: state.frame, atMs: performance.now(), ghost, line });
    }
    requestAnimationFrame(sample);
  }
  requestAnimationFrame(sample);
  const note = (event: KeyboardEvent) => state.keys.push({ atMs: event.timeStamp, key: event.key });
  addEventListener("keydown", note, { capture: true });
}

/** Forget what was recorded so far. */
export async function clearFrames(page: Page): Promise<void> {
  await page.evaluate(() => {
    window.starcoderFrames.looks.length = 0;
    window.starcoderFrames.keys.length = 0;
  });
}

/** What was seen since the recording was cleared, and which keys went down. */
export function recorded(page: Page): Promise<{ looks: Look[]; keys: Key[]; frame: number }> {
  return page.evaluate(() => {
    const { looks, keys, frame } = window.starcoderFrames;
    return { looks, keys, frame };
  });
}

/** What is shown now. */
export function shown(page: Page): Promise<{ ghost: string; line: string }> {
  return page.evaluate(() => window.starcoderFrames.read());
}

/** Looks without ghost text between two with some: what a user sees as flicker. */
export function vanished(looks: Look[]): Look[] {
  const first = looks.findIndex(({ ghost }) => ghost !== "");
  const last = looks.findLastIndex(({ ghost }) => ghost !== "");
  return looks.slice(first + 1, last).filter(({ ghost }) => ghost === "");
}

/** Looks whose ghost text is not that of the look before it, or more. */
export function shrunk(looks: Look[]): Look[] {
  return looks.filter((look, index) => !look.ghost.startsWith(looks[index - 1]?.ghost ?? ""));
}

/**
 * Without the looks in which the ghost text is not drawn as a whole yet: VS Code draws its lines below the cursor's a
 * frame before the one at the cursor.
 */
export function drawn(looks: Look[]): Look[] {
  return looks.filter(({ ghost, line }, index) => {
    const next = looks[index + 1];
    const isTorn = ghost.startsWith("\n") && next?.line === line && next.ghost !== ghost && next.ghost.endsWith(ghost);
    return !isTorn;
  });
}
