/** The side panel's list of sources. */
import * as vscode from "vscode";
import type { AttributionReport, Match } from "../server/wire";
import { kindInWords, lines, safeLink, sourceDetail, sourceName, summary } from "./describe";

export type Node = { readonly match: Match } | { readonly match: Match; readonly fact: Fact };

interface Fact {
  readonly icon: string;
  readonly label: string;
  readonly command?: string;
}

export class SourcesView implements vscode.TreeDataProvider<Node>, vscode.Disposable {
  readonly #changed = new vscode.EventEmitter<void>();
  readonly onDidChangeTreeData = this.#changed.event;
  readonly #view: vscode.TreeView<Node>;
  #matches: readonly Match[] = [];

  constructor() {
    this.#view = vscode.window.createTreeView("starcoder.sources", { treeDataProvider: this });
  }

  show(report: AttributionReport): void {
    this.#put(report.matches, summary(report));
  }

  clear(): void {
    this.#put([], "");
  }

  async reveal(): Promise<void> {
    const [match] = this.#matches;
    if (match !== undefined) {
      await this.#view.reveal({ match }, { select: false, focus: false, expand: true });
    }
  }

  getChildren(node?: Node): Node[] {
    if (node === undefined) {
      return this.#matches.map((match) => ({ match }));
    }
    return "fact" in node ? [] : factsOf(node.match).map((fact) => ({ match: node.match, fact }));
  }

  getParent(node: Node): Node | undefined {
    return "fact" in node ? { match: node.match } : undefined;
  }

  getTreeItem(node: Node): vscode.TreeItem {
    return "fact" in node ? factItem(node.match, node.fact) : sourceItem(node.match);
  }

  dispose(): void {
    this.#view.dispose();
    this.#changed.dispose();
  }

  #put(matches: readonly Match[], message: string): void {
    this.#matches = matches;
    this.#view.message = message;
    this.#view.badge =
      matches.length === 0 ? undefined : { value: matches.length, tooltip: `${matches.length} sources` };
    this.#changed.fire();
  }
}

function sourceItem(match: Match): vscode.TreeItem {
  // The list is narrow: the file's name first, its licence beside it, the rest in the tooltip and below.
  const name = match.source?.path.split("/").at(-1) ?? sourceName(null);
  const item = new vscode.TreeItem(name, vscode.TreeItemCollapsibleState.Expanded);
  item.id = match.id;
  item.description = sourceDetail(match);
  item.tooltip = `${sourceName(match.source)}\n${sourceDetail(match)}`;
  item.iconPath = new vscode.ThemeIcon(match.source === null ? "question" : "law");
  item.contextValue = contextOf(match);
  return item;
}

function contextOf(match: Match): string {
  if (match.source === null) {
    return "unknown";
  }
  return safeLink(match.source.url) === null ? "source" : "source link";
}

function factsOf(match: Match): Fact[] {
  const { source, range } = match;
  const facts: Fact[] = [];
  if (source !== null) {
    facts.push(
      { icon: "law", label: `Licence: ${source.license ?? "unknown"}` },
      { icon: "repo", label: `${source.repository}${atRevision(source.revision)}` },
      { icon: "file-code", label: source.path },
    );
  }
  if (range !== null) {
    const here = lines(range.start.line + 1, range.end.line + 1);
    facts.push({
      icon: "diff",
      label: source === null ? here : `${lines(source.startLine, source.endLine)}, here ${here.replace(/^lines? /, "")}`,
      ...(source !== null && { command: "starcoder.compareSource" }),
    });
  }
  const alike = match.kind === "exact" ? "" : `, ${Math.round(match.similarity * 100)} % alike`;
  facts.push({ icon: "info", label: `${kindInWords(match.kind)}, ${match.tokens} tokens${alike}` });
  if (source !== null && safeLink(source.url) !== null) {
    facts.push({ icon: "link-external", label: source.url ?? "", command: "starcoder.openSourceLink" });
  }
  return facts;
}

function atRevision(revision: string | null): string {
  return revision === null || revision === "" ? "" : ` @ ${revision.slice(0, 12)}`;
}

function factItem(match: Match, fact: Fact): vscode.TreeItem {
  const item = new vscode.TreeItem(fact.label);
  item.iconPath = new vscode.ThemeIcon(fact.icon);
  item.tooltip = fact.label;
  if (fact.command !== undefined) {
    item.command = { title: "Open", command: fact.command, arguments: [match.id] };
  }
  return item;
}
