/** What a new user is told: once, and no more than needed. */
import * as vscode from "vscode";
import type { Installer } from "./server/installer";

const WELCOMED = "welcomed";
const ASKED_TO_INSTALL = "askedToInstall";

export async function openWalkthrough(extension: vscode.Extension<unknown>, serverRuns: boolean): Promise<void> {
  await vscode.commands.executeCommand("workbench.action.openWalkthrough", `${extension.id}#start`, false);
  // VS Code ticks a step when a context becomes true, not for one that was true when it read the walkthrough.
  await vscode.commands.executeCommand("setContext", "starcoder.serverSeen", serverRuns);
}

/** The first time that the model is ready: what it is, where it runs, what leaves the machine. */
export async function welcome(
  context: vscode.ExtensionContext,
  model: string,
  remoteUrl: string | null,
): Promise<void> {
  if (model === "" || context.globalState.get<boolean>(WELCOMED) === true) {
    return;
  }
  await context.globalState.update(WELCOMED, true);
  const where =
    remoteUrl === null
      ? `StarCoder is ready: the model “${model}” runs on this machine, and nothing leaves it.`
      : `StarCoder is ready: the model “${model}” is asked at ${remoteUrl}, which your settings name. Code around the cursor is sent there and nowhere else.`;
  const choice = await vscode.window.showInformationMessage(where, "Getting Started");
  if (choice !== undefined) {
    await openWalkthrough(context.extension, true);
  }
}

/** Nothing was found that could be started: offer to make it, once. Returns whether it was made. */
export async function offerInstall(
  context: vscode.ExtensionContext,
  installer: Installer,
  { isAskedFor }: { readonly isAskedFor: boolean },
): Promise<boolean> {
  if (!isAskedFor && context.globalState.get<boolean>(ASKED_TO_INSTALL) === true) {
    return false;
  }
  await context.globalState.update(ASKED_TO_INSTALL, true);
  const choice = await vscode.window.showInformationMessage(
    "StarCoder needs its language server, a Python program with the model. It is installed into a folder of this extension, which takes a minute and 200 MB on disk (with an NVIDIA GPU or without a C++ compiler, PyTorch too: some minutes and gigabytes).",
    "Install",
    "Set the Path…",
  );
  if (choice === "Install") {
    return installer.install();
  }
  if (choice !== undefined) {
    await vscode.commands.executeCommand("workbench.action.openSettings", "starcoder.server.path");
  }
  return false;
}
