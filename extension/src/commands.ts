/** The commands, by their names in package.json. Each only translates. */
import * as vscode from "vscode";
import type { Assistant, ServerRequest } from "./assist/assistant";
import type { Attribution } from "./attribution/attribution";
import { PAUSED, OPEN, snoozed } from "./completion/gate";
import type { Completions } from "./completions";
import type { Configuration } from "./configuration";
import { reasonOf } from "./errors";
import { selectModel } from "./models";
import type { Server } from "./server/server";
import { OPEN_ATTRIBUTION_SOURCE, RESTART_ENGINE, SHOW_LATENCY_BOOK, type Reference } from "./server/wire";
import { licenseLabel, referencePlace, safeLink } from "./attribution/describe";
import { showMenu } from "./status/menu";
import type { StatusBar } from "./status/statusBar";

export interface Parts {
  readonly server: Server;
  readonly completions: Completions;
  readonly attribution: Attribution;
  readonly assistant: Assistant;
  readonly configuration: Configuration;
  readonly statusBar: StatusBar;
  readonly log: vscode.LogOutputChannel;
  readonly install: () => Promise<void>;
  readonly openWalkthrough: () => Promise<void>;
}

type Handler = (...args: never[]) => unknown;

const SNOOZES_MIN = [5, 15, 30, 60, 240];

export function registerCommands(parts: Parts): vscode.Disposable {
  const handlers: Record<string, Handler> = {
    ...completionCommands(parts),
    ...attributionCommands(parts),
    ...assistantCommands(parts),
    ...serverCommands(parts),
  };
  const own = Object.entries(handlers).map(([name, handler]) =>
    vscode.commands.registerCommand(`starcoder.${name}`, guarded(handler, parts.log)),
  );
  const known = new Set(Object.keys(handlers).map((name) => `starcoder.${name}`));
  return vscode.Disposable.from(...own, forwardOthers(parts, known));
}

/** Commands that only the server knows (its code actions name them) are passed on to it. */
function forwardOthers({ server, log }: Parts, known: Set<string>): vscode.Disposable {
  const forwarded: vscode.Disposable[] = [];
  const listening = server.onDidChange(() => {
    for (const command of server.commands.filter((name) => !known.has(name))) {
      known.add(command);
      const forward = guarded((...args: unknown[]) => server.execute(command, ...args), log);
      forwarded.push(vscode.commands.registerCommand(command, forward));
    }
  });
  return new vscode.Disposable(() => {
    listening.dispose();
    vscode.Disposable.from(...forwarded).dispose();
  });
}

/** A command that fails says why, in one sentence. */
export function guarded(handler: Handler, log: vscode.LogOutputChannel): (...args: never[]) => Promise<unknown> {
  return async (...args) => {
    try {
      return await handler(...args);
    } catch (error) {
      const reason = reasonOf(error);
      log.error(reason);
      void vscode.window.showErrorMessage(`StarCoder: ${reason}`, "Show the Log").then((choice) => {
        if (choice !== undefined) {
          log.show();
        }
      });
      return undefined;
    }
  };
}

function completionCommands(parts: Parts): Record<string, Handler> {
  const { completions, configuration } = parts;
  return {
    trigger: () => completions.trigger(),
    dismiss: () => completions.dismiss(),
    pause: () => completions.setGate(PAUSED),
    resume: () => completions.setGate(OPEN),
    snooze: async () => {
      const picked = await vscode.window.showQuickPick(
        SNOOZES_MIN.map((minutes) => ({
          label: minutes < 60 ? `${minutes} minutes` : `${minutes / 60} hour${minutes === 60 ? "" : "s"}`,
          minutes,
        })),
        { title: "No suggestions for …" },
      );
      if (picked !== undefined) {
        await completions.setGate(snoozed(picked.minutes, Date.now()));
      }
    },
    toggleLanguage: async () => {
      const language = vscode.window.activeTextEditor?.document.languageId;
      if (language !== undefined) {
        const isOn = await configuration.toggleLanguage(language);
        void vscode.window.setStatusBarMessage(
          `Suggestions for ${language} are ${isOn ? "on" : "off"}`,
          4000,
        );
      }
    },
  };
}

function attributionCommands({ attribution, completions, server }: Parts): Record<string, Handler> {
  const idOf = (target: string | { readonly match: { readonly id: string } }): string =>
    typeof target === "string" ? target : target.match.id;
  return {
    check: () => attribution.check(),
    checkAttribution: () => attribution.check(),
    clearSources: () => {
      attribution.clear();
    },
    compareSource: (target: Parameters<typeof idOf>[0]) => attribution.compare(idOf(target)),
    openSource: (target: Parameters<typeof idOf>[0]) => attribution.open(idOf(target)),
    openAttributionSource: async (target: { readonly id: string; readonly text?: boolean }) => {
      await (target.text === true
        ? attribution.open(target.id)
        : server.execute(OPEN_ATTRIBUTION_SOURCE, target));
    },
    openSourceLink: (target: Parameters<typeof idOf>[0]) => attribution.openLink(idOf(target)),
    lastSuggestionSources: () => showReferences(completions.lastReferences),
  };
}

function assistantCommands({ assistant }: Parts): Record<string, Handler> {
  return {
    assist: (request: ServerRequest) => assistant.assist(request),
    ask: () => assistant.askAbout("ask"),
    edit: () => assistant.askAbout("edit"),
    explain: () => assistant.askAbout("explain"),
    document: () => assistant.askAbout("document"),
    fix: () => assistant.askAbout("fix"),
    test: () => assistant.askAbout("test"),
    acceptProposal: () => assistant.proposals.accept(),
    rejectProposal: () => assistant.proposals.reject(),
    newConversation: () => {
      assistant.startAnew();
    },
  };
}

function serverCommands(parts: Parts): Record<string, Handler> {
  const { server, configuration, log } = parts;
  return {
    restart: () => server.restart(),
    restartEngine: () => server.execute(RESTART_ENGINE),
    showLog: () => {
      log.show();
    },
    showLatencyBook: async () => {
      const { text } = await server.execute<{ text: string }>(SHOW_LATENCY_BOOK);
      const document = await vscode.workspace.openTextDocument({ content: text, language: "plaintext" });
      await vscode.window.showTextDocument(document, { preview: true });
    },
    selectModel: () => selectModel(server, configuration),
    installServer: () => parts.install(),
    welcome: () => parts.openWalkthrough(),
    openSettings: () =>
      vscode.commands.executeCommand("workbench.action.openSettings", "@ext:starcoder-lsp.starcoder"),
    menu: () => {
      const language = vscode.window.activeTextEditor?.document.languageId ?? null;
      return showMenu({
        state: parts.statusBar.state,
        model: server.engine?.model ?? "",
        latencyMs: server.engine?.latencyMs ?? null,
        gate: parts.completions.gate,
        language,
        isLanguageOn: language === null || configuration.isOnFor(language),
      });
    },
  };
}

async function showReferences(references: readonly Reference[]): Promise<void> {
  if (references.length === 0) {
    void vscode.window.showInformationMessage("The last suggestion was not found in the training set.");
    return;
  }
  const picked = await vscode.window.showQuickPick(
    references.map((each) => ({
      label: `$(law) ${licenseLabel([each]) ?? ""}`,
      description: referencePlace(each),
      detail: safeLink(each.url) ?? "",
    })),
    { title: "Sources of the last suggestion", placeHolder: "Choose one to open its page" },
  );
  if (picked !== undefined && picked.detail !== "") {
    await vscode.env.openExternal(vscode.Uri.parse(picked.detail, true));
  }
}
