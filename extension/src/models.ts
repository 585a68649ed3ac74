/** The models: what the server knows of them, one fetched, one chosen. The server does the work. */
import * as vscode from "vscode";
import type { Configuration } from "./configuration";
import type { Server } from "./server/server";
import { GET_MODEL, MODELS, type ListedModel, type Models } from "./server/wire";

const OFFERED = "offeredModels";

interface ModelItem extends vscode.QuickPickItem {
  readonly model?: ListedModel;
  readonly ask?: "folder" | "id";
}

export async function selectModel(server: Server, configuration: Configuration): Promise<void> {
  const { models, proposed } = await server.request<Models>(MODELS, {});
  const picked = await vscode.window.showQuickPick<ModelItem>(
    [
      { label: "auto", description: "the best that is here" },
      ...inOrder(models, proposed.name).map((model) => ({ ...describeModel(model, proposed.name), model })),
      { label: "A folder…", description: "with config.json, tokenizer.json and *.safetensors", ask: "folder" },
      { label: "Another…", description: "the id of a model on the Hugging Face hub", ask: "id" },
    ],
    { title: "Model", placeHolder: `For this machine: ${proposed.name} (${proposed.reason})` },
  );
  if (picked === undefined) {
    return;
  }
  const name = picked.ask === undefined ? picked.label : await nameOf(picked.ask);
  if (name === undefined || name === "") {
    return;
  }
  if (picked.model?.isHere === false) {
    await fetchModel(server, picked.model);
  }
  await configuration.setModel(picked.model?.name ?? name);
}

/** The first time that the starter answers and nothing better is here: what could be had. */
export async function offerModels(context: vscode.ExtensionContext, server: Server): Promise<void> {
  if (context.globalState.get<boolean>(OFFERED) === true) {
    return;
  }
  const { setting, models, proposed } = await server.request<Models>(MODELS, {});
  const better = inOrder(models, proposed.name).filter((model) => model.infilling !== null);
  if (setting !== "auto" || better.some((model) => model.isHere)) {
    return;
  }
  await context.globalState.update(OFFERED, true);
  const labels = new Map(better.map((model) => [`${model.name} (${factsOf(model)})`, model]));
  const choice = await vscode.window.showInformationMessage(
    "The bundled model is small. A better one can be fetched; meanwhile this one answers.",
    ...labels.keys(),
  );
  const model = choice === undefined ? undefined : labels.get(choice);
  if (model !== undefined) {
    await fetchModel(server, model);
  }
}

/** Size and licence. Pure. */
export function factsOf(model: ListedModel): string {
  const size = model.bytes === null ? [] : [`${Math.round(model.bytes / 1e6)} MB`];
  return [...size, ...(model.license === null ? [] : [model.license])].join(", ");
}

/** What is here, then what is proposed and what suits this machine, and what does not at last. Pure. */
export function inOrder(models: readonly ListedModel[], proposed: string): ListedModel[] {
  const rank = (model: ListedModel): number =>
    model.isHere ? 0 : model.name === proposed ? 1 : model.lack === null ? 2 : 3;
  return [...models].sort((one, other) => rank(one) - rank(other));
}

/** A model as the list shows it. Pure. */
export function describeModel(model: ListedModel, proposed: string): { label: string; description: string; detail: string } {
  const infilling = model.infilling === null ? [] : [`completes ${Math.round(model.infilling * 100)} % of lines`];
  const latency = model.latencyMs === null ? "not measured yet" : `${Math.round(model.latencyMs)} ms from a key to its text`;
  const state = model.isHere ? `here (${model.place}) · ${latency}` : "to be fetched";
  const lack = model.lack === null ? [] : [model.lack];
  return {
    label: model.name,
    description: [...(model.inUse ? ["in use"] : []), ...(model.name === proposed ? ["proposed"] : [])].join(", "),
    detail: [state, factsOf(model), model.what, ...infilling, ...lack].filter((word) => word !== "").join(" · "),
  };
}

async function fetchModel(server: Server, model: ListedModel): Promise<void> {
  const options = { location: vscode.ProgressLocation.Window, title: `StarCoder: fetching ${model.name}` };
  await vscode.window.withProgress(options, async (progress) => {
    const listening = server.onModelProgress(({ name, bytes }) => {
      if (name === model.name && model.bytes !== null) {
        progress.report({ message: `${Math.floor((100 * bytes) / model.bytes)} %` });
      }
    });
    try {
      await server.request(GET_MODEL, { name: model.name });
    } finally {
      listening.dispose();
    }
  });
}

async function nameOf(what: "folder" | "id"): Promise<string | undefined> {
  if (what === "id") {
    return vscode.window.showInputBox({ title: "Model", placeHolder: "owner/name" });
  }
  const picks = await vscode.window.showOpenDialog({ canSelectFolders: true, canSelectFiles: false });
  return picks?.[0]?.fsPath;
}
