/** What a click on the status bar offers. */
import * as vscode from "vscode";
import { minutesLeft, type Gate } from "../completion/gate";
import type { ExtensionState } from "./statusText";

interface Entry extends vscode.QuickPickItem {
  readonly command?: string;
  readonly args?: readonly unknown[];
}

export interface MenuFacts {
  readonly state: ExtensionState;
  readonly model: string;
  readonly latencyMs: number | null;
  readonly gate: Gate;
  readonly language: string | null;
  readonly isLanguageOn: boolean;
}

export async function showMenu(facts: MenuFacts): Promise<void> {
  const entry = await vscode.window.showQuickPick(entries(facts), {
    title: "StarCoder",
    placeHolder: placeHolder(facts),
  });
  if (entry?.command !== undefined) {
    await vscode.commands.executeCommand(entry.command, ...(entry.args ?? []));
  }
}

function placeHolder(facts: MenuFacts): string {
  const latency = facts.latencyMs === null ? "" : `, last suggestion after ${Math.round(facts.latencyMs)} ms`;
  return `${facts.state}${facts.model === "" ? "" : `, model ${facts.model}`}${latency}`;
}

function entries(facts: MenuFacts): Entry[] {
  return [
    ...(facts.state === "missing" ? [entry("cloud-download", "Install the language server…", "installServer")] : []),
    ...gateEntries(facts.gate),
    ...languageEntries(facts),
    entry("server-process", "Model…", "selectModel", facts.model),
    separator("Look"),
    entry("dashboard", "Latency book", "showLatencyBook", "measured on this machine, kept on it"),
    entry("law", "Sources of the last suggestion", "lastSuggestionSources"),
    entry("search", "Check for copied code", "check", "Ctrl+Esc"),
    entry("comment-discussion", "Ask…", "ask"),
    separator("Mend"),
    entry("output", "Log", "showLog"),
    entry("debug-restart", "Restart the engine", "restartEngine"),
    entry("refresh", "Restart the language server", "restart"),
    entry("gear", "Settings", "openSettings"),
  ];
}

function gateEntries(gate: Gate): Entry[] {
  if (gate.kind === "paused") {
    return [entry("debug-start", "Resume suggestions", "resume")];
  }
  if (gate.kind === "snoozed") {
    return [entry("bell", "Wake suggestions", "resume", `${minutesLeft(gate, Date.now())} minutes left`)];
  }
  return [
    entry("debug-pause", "Pause suggestions", "pause", "in this window"),
    entry("bell-slash", "Snooze suggestions…", "snooze"),
  ];
}

function languageEntries(facts: MenuFacts): Entry[] {
  if (facts.language === null) {
    return [];
  }
  const label = `${facts.isLanguageOn ? "Switch off" : "Switch on"} for ${facts.language}`;
  return [entry(facts.isLanguageOn ? "circle-slash" : "check", label, "toggleLanguage")];
}

function entry(icon: string, label: string, command: string, description = ""): Entry {
  return { label: `$(${icon}) ${label}`, description, command: `starcoder.${command}` };
}

function separator(label: string): Entry {
  return { label, kind: vscode.QuickPickItemKind.Separator };
}
