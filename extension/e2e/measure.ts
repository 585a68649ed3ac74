/**
 * Figures for the documents, measured in the real editor in one run: from a key to ghost text, the extension's
 * activation, and memory with two windows. Written to dist/e2e-measurements.json.
 */

import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { dirname, join } from "node:path";

import { recorded, type Look } from "./frames.ts";
import { options } from "./options.ts";
import { ROOT } from "./places.ts";
import { memoryMiB } from "./processes.ts";
import { READY, type Stage } from "./stage.ts";
import { until } from "./until.ts";
import type { EditorWindow } from "./window.ts";

const WANTED_KEYS = 100;
/** Then the model has nothing to say there, and the key counts as one without a suggestion. */
const PATIENCE_MS = 1500;

/** What is typed; the cursor stands in a method's body. Longer than needed, for keys without a suggestion. */
const BEFORE = `import json
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Item:
    name: str
    price: float
    amount: int = 1


class Cart:
    """A shopping cart."""

    def __init__(self, owner):
        self.owner = owner
        self.items = []

`;
const TYPED = [
  "    def add(self, item):",
  "self.items.append(item)",
  "return len(self.items)",
  "",
  "def total(self):",
  "result = 0.0",
  "for item in self.items:",
  "result += item.price * item.amount",
  "return result",
];

interface Sample {
  key: string;
  ms: number;
  /** The key was the suggestion's next character: nothing had to be asked. */
  isTypedThrough: boolean;
}

export async function measure(stage: Stage): Promise<void> {
  const window = await stage.open();
  await window.status(READY);
  const keys = await keyLatencies(window);
  const memory = await memoryOfTwoWindows(stage);
  const activation = await activationMs(window);
  const report = {
    model: options.model,
    machine: { cpu: cpus()[0]?.model ?? "", cores: cpus().length, load1: loadavg()[0] },
    activationMs: activation,
    keypressToGhostTextMs: keys,
    memoryMiB: memory,
  };
  const path = join(ROOT, "dist", "e2e-measurements.json");
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify(report, null, 2)}\n`);
  console.log(JSON.stringify(report, null, 2));
}

/** What the editor itself measured: see "Developer: Show Running Extensions". */
async function activationMs(window: EditorWindow): Promise<number> {
  await window.command("Developer: Show Running Extensions");
  const row = window.page.locator(".runtime-extensions-editor .monaco-list-row", { hasText: /StarCoder/ }).first();
  const text = await until("the activation time", async () => {
    const shown = await row.innerText().catch(() => "");
    return /Activation: (\d+)\s*ms/.exec(shown)?.[1];
  });
  return Number(text);
}

async function keyLatencies(window: EditorWindow): Promise<object> {
  window.write("cart.py", BEFORE);
  await window.openFile("cart.py");
  await window.press("Control+End");
  const samples: Sample[] = [];
  let pressed = 0;
  for (const line of TYPED) {
    for (const key of line) {
      if (samples.length === WANTED_KEYS) {
        break;
      }
      pressed += 1;
      const sample = await press(window, key);
      if (sample) {
        samples.push(sample);
      }
    }
    await window.press("Escape");
    await window.press("Enter");
  }
  const typedThrough = samples.filter(({ isTypedThrough }) => isTypedThrough);
  const asked = samples.filter(({ isTypedThrough }) => !isTypedThrough);
  return {
    ...quantiles(samples),
    asked: quantiles(asked),
    typedThrough: quantiles(typedThrough),
    keys: pressed,
    withoutSuggestion: pressed - samples.length,
  };
}

/** Press a key and wait for ghost text behind it; undefined if none comes. */
async function press(window: EditorWindow, key: string): Promise<Sample | undefined> {
  const before = await window.shown();
  await window.clearFrames();
  await window.page.keyboard.press(key === " " ? "Space" : key);
  const isSuggested = (look: Look) => look.ghost !== "" && look.line.length > before.line.length;
  const found = await until(
    "ghost text",
    async () => {
      const { looks, keys } = await recorded(window.page);
      const look = looks.find(isSuggested);
      const down = keys[0];
      return look && down && { ms: look.atMs - down.atMs };
    },
    { limitMs: PATIENCE_MS },
  ).catch(() => undefined);
  return found && { key, ms: found.ms, isTypedThrough: before.ghost.startsWith(key) };
}

/** Two windows: each has a language server, both share one engine. */
async function memoryOfTwoWindows(stage: Stage): Promise<object> {
  const second = await stage.open();
  await second.status(READY);
  await until("the second server", () => stage.home.servers().length === 2);
  const [engine, ...others] = stage.home.engines();
  const servers = stage.home.servers().map((pid) => Math.round(memoryMiB(pid)));
  const report = {
    engines: 1 + others.length,
    engine: Math.round(memoryMiB(engine ?? 0)),
    servers,
    sum: servers.reduce((sum, each) => sum + each, Math.round(memoryMiB(engine ?? 0))),
    counted: "proportional set size of our processes: one engine, a language server for each window",
  };
  await second.close();
  return report;
}

function quantiles(samples: Sample[]): { n: number; p50: number | null; p95: number | null } {
  const sorted = samples.map(({ ms }) => ms).sort((one, other) => one - other);
  const at = (share: number) => {
    const value = sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
    return value === undefined ? null : Math.round(value * 10) / 10;
  };
  return { n: sorted.length, p50: at(0.5), p95: at(0.95) };
}
