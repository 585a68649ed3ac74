/** Ask StarCoder: sends questions about code to the server and keeps the conversation that the panel shows. */
import * as vscode from "vscode";
import { lines } from "../attribution/describe";
import { reasonOf } from "../errors";
import type { Server } from "../server/server";
import { ASSIST, type AssistKind, type AssistResult, type Range } from "../server/wire";
import { ConversationView } from "./conversationView";
import { Proposals } from "./proposals";
import {
  answered,
  begun,
  codeBlocks,
  failed,
  grown,
  questionText,
  settled,
  stopped,
  type Transcript,
} from "./transcript";
import type { FromPage } from "./messages";

/** What a code action of the server asks for. */
export interface ServerRequest {
  readonly kind: AssistKind;
  readonly uri: string;
  readonly range: Range;
  readonly diagnostics?: readonly unknown[];
}

interface Target {
  readonly uri: vscode.Uri;
  readonly range: vscode.Range;
}

interface Question {
  readonly kind: AssistKind;
  readonly question?: string;
  readonly target: Target | null;
  readonly diagnostics?: readonly unknown[];
}

const PROMPTS: Readonly<Partial<Record<AssistKind, string>>> = {
  ask: "What do you want to know about this code?",
  edit: "How should this code change?",
};

export class Assistant implements vscode.Disposable {
  readonly proposals: Proposals;
  readonly view: ConversationView;
  #transcript: Transcript = [];
  #conversation: string | null = null;
  #nTurns = 0;
  #running: vscode.CancellationTokenSource | null = null;
  #target: Target | null = null;

  constructor(
    private readonly server: Server,
    extension: vscode.Uri,
    private readonly log: vscode.LogOutputChannel,
  ) {
    this.proposals = new Proposals({
      settled: (turn, note) => {
        this.#put(settled(this.#transcript, turn, note));
      },
    });
    this.view = new ConversationView(extension, (message) => this.#heard(message));
  }

  /** Ask about what is selected in the active editor; the kinds that need words ask for them first. */
  async askAbout(kind: AssistKind, given: Target | null = null): Promise<void> {
    const editor = vscode.window.activeTextEditor;
    const target = given ?? (editor === undefined ? null : targetOf(editor));
    this.#target = target;
    const prompt = PROMPTS[kind];
    if (prompt === undefined) {
      const diagnostics = kind === "fix" && target !== null ? diagnosticsAt(target) : undefined;
      await this.#ask({ kind, target, ...(diagnostics !== undefined && { diagnostics }) });
      return;
    }
    const question = await vscode.window.showInputBox({
      title: target === null ? "Ask StarCoder" : `Ask StarCoder about ${aboutOf(target)}`,
      prompt,
    });
    if (question !== undefined && question.trim() !== "") {
      await this.#ask({ kind, question, target });
    }
  }

  /** A code action of the server. */
  async assist(request: ServerRequest): Promise<void> {
    const uri = vscode.Uri.parse(request.uri, true);
    const { start, end } = request.range;
    const range = new vscode.Range(start.line, start.character, end.line, end.character);
    const { kind, diagnostics } = request;
    if (PROMPTS[kind] !== undefined) {
      await this.askAbout(kind, { uri, range });
      return;
    }
    await this.#ask({ kind, target: { uri, range }, ...(diagnostics !== undefined && { diagnostics }) });
  }

  startAnew(): void {
    this.#running?.cancel();
    this.#conversation = null;
    this.#target = null;
    this.#put([]);
  }

  dispose(): void {
    this.#running?.cancel();
    this.proposals.dispose();
    this.view.dispose();
  }

  async #ask(asked: Question): Promise<void> {
    this.#running?.cancel();
    const turn = (this.#nTurns += 1);
    const about = asked.target === null ? "" : aboutOf(asked.target);
    this.#put(begun(this.#transcript, turn, questionText(asked.kind, asked.question), about));
    await this.view.reveal();
    const cancellation = new vscode.CancellationTokenSource();
    this.#running = cancellation;
    const token = `assist-${turn}`;
    const listening = this.server.onAssistDelta((delta) => {
      if (delta.token === token) {
        this.#put(grown(this.#transcript, turn, delta.text));
      }
    });
    try {
      const result = await this.server.request<AssistResult>(
        ASSIST,
        { token, conversation: this.#conversation, ...this.#toWire(asked) },
        cancellation.token,
      );
      await this.#answered(turn, result);
    } catch (error) {
      this.#failed(turn, error, cancellation.token.isCancellationRequested);
    } finally {
      listening.dispose();
      if (this.#running === cancellation) {
        this.#running = null;
      }
    }
  }

  #toWire({ kind, question, target, diagnostics }: Question): object {
    return {
      kind,
      ...(question !== undefined && { question }),
      ...(target !== null && {
        textDocument: { uri: this.server.uri(target.uri) },
        range: plain(target.range),
      }),
      ...(diagnostics !== undefined && { diagnostics }),
    };
  }

  async #answered(turn: number, result: AssistResult): Promise<void> {
    this.#conversation = result.conversation;
    const { text, model, finishReason, references = [], note } = result;
    const hasProposal = result.edit !== null && (await this.proposals.propose(turn, result.edit));
    const outcome = { text, model, finishReason, references, hasProposal, remark: note ?? "" };
    this.#put(answered(this.#transcript, turn, outcome));
  }

  #failed(turn: number, error: unknown, isCancelled: boolean): void {
    if (isCancelled) {
      this.#put(stopped(this.#transcript, turn));
      return;
    }
    const reason = reasonOf(error);
    this.log.error(`assist: ${reason}`);
    this.#put(failed(this.#transcript, turn, reason));
  }

  async #heard(message: FromPage): Promise<void> {
    switch (message.type) {
      case "ready":
        this.#put(this.#transcript);
        break;
      case "ask":
        // A question in the panel is about the selection, or goes on with the conversation.
        await this.#ask({ kind: "ask", question: message.question, target: this.#selected() });
        break;
      case "stop":
        this.#running?.cancel();
        break;
      case "copy":
        await vscode.env.clipboard.writeText(this.#block(message.turn, message.block));
        break;
      case "insert":
        await insert(this.#block(message.turn, message.block));
        break;
      case "show":
        await this.proposals.show(message.turn);
        break;
      case "accept":
        await this.proposals.accept(message.turn);
        break;
      case "reject":
        await this.proposals.reject(message.turn);
        break;
    }
  }

  #selected(): Target | null {
    const editor = vscode.window.activeTextEditor;
    if (editor !== undefined && !editor.selection.isEmpty) {
      this.#target = targetOf(editor);
    }
    return this.#target;
  }

  #block(turn: number, block: number): string {
    const answer = this.#transcript.find((each) => each.id === turn)?.answer ?? "";
    return codeBlocks(answer)[block] ?? "";
  }

  #put(transcript: Transcript): void {
    this.#transcript = transcript;
    this.view.post({ type: "transcript", turns: transcript });
  }
}

async function insert(text: string): Promise<void> {
  const editor = vscode.window.activeTextEditor ?? vscode.window.visibleTextEditors[0];
  if (editor === undefined) {
    throw new Error("open a file to insert the code into");
  }
  await editor.edit((edit) => {
    edit.replace(editor.selection, text);
  });
}

function targetOf(editor: vscode.TextEditor): Target {
  return { uri: editor.document.uri, range: editor.selection };
}

function aboutOf({ uri, range }: Target): string {
  const name = vscode.workspace.asRelativePath(uri, false);
  return `${name}, ${lines(range.start.line + 1, range.end.line + 1)}`;
}

function diagnosticsAt({ uri, range }: Target): object[] {
  return vscode.languages
    .getDiagnostics(uri)
    .filter((each) => each.range.intersection(range) !== undefined)
    .map((each) => ({
      range: plain(each.range),
      message: each.message,
      severity: each.severity + 1, // LSP counts from 1
      ...(each.source !== undefined && { source: each.source }),
    }));
}

function plain({ start, end }: vscode.Range): Range {
  return {
    start: { line: start.line, character: start.character },
    end: { line: end.line, character: end.character },
  };
}
