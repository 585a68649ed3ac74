/** The status bar's words. Pure. */
import { isOpen, minutesLeft, type Gate } from "../completion/gate";
import type { Status } from "../server/wire";

export type ExtensionState =
  | "stopped"
  | "missing"
  | "failed"
  | "starting"
  | "ready"
  | "busy"
  | "offline"
  | "excluded"
  | "error"
  | "paused"
  | "snoozed";

export interface StatusFacts {
  readonly server: "stopped" | "missing" | "starting" | "running" | "failed";
  readonly serverMessage: string;
  readonly engine: Status | null;
  readonly gate: Gate;
  readonly nowMs: number;
  /** Where the suggestion on screen was found; beside a long line it is out of sight. */
  readonly label: string | null;
}

export interface StatusText {
  readonly state: ExtensionState;
  readonly text: string;
  readonly tooltip: readonly string[];
  readonly severity: "none" | "warning" | "error";
}

const ICONS: Readonly<Record<ExtensionState, string>> = {
  stopped: "circle-slash",
  missing: "cloud-download",
  failed: "error",
  starting: "loading~spin",
  ready: "sparkle",
  busy: "sparkle",
  offline: "debug-disconnect",
  excluded: "eye-closed",
  error: "warning",
  paused: "debug-pause",
  snoozed: "bell-slash",
};

const WORDS: Readonly<Record<ExtensionState, string>> = {
  stopped: "stopped",
  missing: "not installed",
  failed: "failed",
  starting: "starting",
  ready: "ready",
  busy: "busy",
  offline: "offline",
  excluded: "excluded file",
  error: "error",
  paused: "paused",
  snoozed: "snoozed",
};

const WARNINGS: ReadonlySet<ExtensionState> = new Set(["missing", "offline", "error"]);

export function stateOf(facts: StatusFacts): ExtensionState {
  if (facts.server !== "running") {
    return facts.server;
  }
  if (!isOpen(facts.gate, facts.nowMs)) {
    return facts.gate.kind === "paused" ? "paused" : "snoozed";
  }
  return facts.engine?.state ?? "starting";
}

export function statusText(facts: StatusFacts): StatusText {
  const state = stateOf(facts);
  return {
    state,
    text: `$(${ICONS[state]}) ${[`StarCoder: ${words(state, facts)}`, ...details(state, facts)].join(" · ")}`,
    tooltip: tooltip(facts),
    severity: state === "failed" ? "error" : WARNINGS.has(state) ? "warning" : "none",
  };
}

function words(state: ExtensionState, facts: StatusFacts): string {
  if (state === "snoozed") {
    return `snoozed, ${minutesLeft(facts.gate, facts.nowMs)} min`;
  }
  return state === "excluded" ? excludedWords(facts.engine?.message ?? "") : WORDS[state];
}

/** Why nothing is shown here, in a word or three; the tooltip has the server's sentence. */
function excludedWords(message: string): string {
  if (/^(blocked|not checked) by attribution/.test(message)) {
    return message.startsWith("blocked") ? "blocked by attribution" : "not checked by attribution";
  }
  return message.startsWith("completions are off") ? "off" : WORDS.excluded;
}

function details(state: ExtensionState, facts: StatusFacts): string[] {
  const { engine } = facts;
  if (engine === null || (state !== "ready" && state !== "busy")) {
    return [];
  }
  if (facts.label !== null) {
    return [`§ ${facts.label}`];
  }
  const latency = engine.latencyMs === null ? [] : [`${Math.round(engine.latencyMs)} ms`];
  return [...(engine.model === "" ? [] : [modelName(engine.model)]), ...latency];
}

function tooltip(facts: StatusFacts): string[] {
  const { engine } = facts;
  const lines = [facts.serverMessage, engine?.message ?? ""];
  if (engine !== null && engine.model !== "") {
    lines.push(`Model: ${engine.model}`);
  }
  if (engine?.latencyMs != null) {
    lines.push(`Last suggestion after ${engine.latencyMs.toFixed(1)} ms`);
  }
  lines.push("Click for the menu");
  return lines.filter((line) => line !== "");
}

/** The last part of a folder or a hub id: the bar has little room. */
export function modelName(model: string): string {
  return model.replace(/[\\/]+$/, "").split(/[\\/]/).at(-1) ?? model;
}
