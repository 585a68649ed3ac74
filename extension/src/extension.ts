/** Puts the parts together when VS Code activates the extension. */
import * as vscode from "vscode";
import type { StarcoderApi } from "./api";
import { Assistant } from "./assist/assistant";
import { PROPOSAL_SCHEME } from "./assist/proposals";
import { Attribution } from "./attribution/attribution";
import { SOURCE_SCHEME } from "./attribution/sourceDocuments";
import { guarded, registerCommands } from "./commands";
import { Completions } from "./completions";
import { Configuration } from "./configuration";
import { offerInstall, openWalkthrough, welcome } from "./firstRun";
import { offerModels } from "./models";
import { Installer } from "./server/installer";
import { Machine } from "./server/machine";
import { Server } from "./server/server";
import { StatusBar } from "./status/statusBar";

/** VS Code hands nothing to `deactivate`. */
let running: Server | null = null;

export async function deactivate(): Promise<void> {
  await running?.stop();
  running = null;
}

export function activate(context: vscode.ExtensionContext): StarcoderApi {
  const beganMs = performance.now();
  const log = vscode.window.createOutputChannel("StarCoder", { log: true });
  const configuration = new Configuration(context.extension);
  const storage = context.globalStorageUri.fsPath;
  const version = (context.extension.packageJSON as { version: string }).version;
  const bundle = vscode.Uri.joinPath(context.extensionUri, "server").fsPath;
  const installer = new Installer(storage, bundle, version, log);
  const machine = new Machine(storage, () => installer.python, log);
  const server = new Server(
    log,
    async () => {
      await vscode.workspace.fs.createDirectory(context.globalStorageUri);
      return machine.findLaunch();
    },
    () => configuration.forServer(),
  );
  const completions = new Completions(server, log);
  const attribution = new Attribution(server);
  const assistant = new Assistant(server, context.extensionUri, log);
  const statusBar = new StatusBar();
  const install = async (isAskedFor: boolean): Promise<void> => {
    if (await offerInstall(context, installer, { isAskedFor })) {
      await server.restart();
    }
  };
  context.subscriptions.push(
    ...[log, server, completions, attribution, assistant, statusBar],
    vscode.workspace.registerTextDocumentContentProvider(SOURCE_SCHEME, attribution.documents),
    vscode.workspace.registerTextDocumentContentProvider(PROPOSAL_SCHEME, assistant.proposals),
    vscode.workspace.onDidChangeTextDocument((event) => {
      if (event.contentChanges.length > 0) {
        attribution.edited(event.document);
      }
    }),
    vscode.window.onDidChangeVisibleTextEditors(() => {
      attribution.refreshMarks();
    }),
    registerCommands({
      ...{ server, completions, attribution, assistant, configuration, statusBar, log },
      install: () => install(true),
      openWalkthrough: () => openWalkthrough(context.extension, server.state === "running"),
    }),
    watchStatus(context, server, completions, statusBar, log, () => install(false)),
    watchServerPath(server),
  );
  running = server;
  // The editor need not wait for it.
  void server.start();
  const activationMs = performance.now() - beganMs;
  return {
    state: () => statusBar.state,
    lastLatencyMs: () => completions.lastLatencyMs,
    onDidChangeState: statusBar.onDidChangeState,
    activationMs,
  };
}

function watchStatus(
  context: vscode.ExtensionContext,
  server: Server,
  completions: Completions,
  statusBar: StatusBar,
  log: vscode.LogOutputChannel,
  offerToInstall: () => Promise<void>,
): vscode.Disposable {
  let last = server.state;
  const offer = guarded(() => offerModels(context, server), log);
  let isOffered = false;
  const update = (): void => {
    statusBar.update({
      server: server.state,
      serverMessage: server.message,
      engine: server.engine,
      gate: completions.gate,
      nowMs: Date.now(),
      label: completions.shownLabel,
    });
    if (server.state !== last) {
      last = server.state;
      void vscode.commands.executeCommand("setContext", "starcoder.serverRuns", last === "running");
      if (last === "failed") {
        tellFailure(server.message);
      } else if (last === "missing") {
        void offerToInstall();
      }
    }
    if (server.engine?.state === "ready") {
      const url = vscode.workspace.getConfiguration("starcoder").get<string | null>("engine.url", null);
      const remoteUrl = url === "" ? null : url;
      void welcome(context, server.engine.model, remoteUrl);
      if (remoteUrl === null && !isOffered) {
        isOffered = true;
        void offer();
      }
    }
  };
  update();
  return vscode.Disposable.from(server.onDidChange(update), completions.onDidChange(update));
}

function tellFailure(reason: string): void {
  const message = `StarCoder's language server does not run: ${reason}`;
  void vscode.window.showErrorMessage(message, "Show the Log", "Restart", "Set its Path…").then((choice) => {
    const commands: Record<string, string> = {
      "Show the Log": "starcoder.showLog",
      Restart: "starcoder.restart",
      "Set its Path…": "starcoder.openSettings",
    };
    const command = choice === undefined ? undefined : commands[choice];
    return command === undefined ? undefined : vscode.commands.executeCommand(command);
  });
}

/** Another path, or trust given to the folder, may lead to another server. */
function watchServerPath(server: Server): vscode.Disposable {
  return vscode.Disposable.from(
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration("starcoder.server.path")) {
        void server.restart();
      }
    }),
    vscode.workspace.onDidGrantWorkspaceTrust(() => {
      if (server.state === "missing") {
        void server.start();
      }
    }),
  );
}
