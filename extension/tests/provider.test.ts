/** The order of events between editor, provider and server, forced. The editor and the server do as they are told. */
import { beforeEach, describe, expect, it, vi } from "vitest";
import type * as vscode from "vscode";
import { Acceptances } from "../src/completion/acceptances";
import { GhostTextProvider } from "../src/completion/provider";
import type { Server } from "../src/server/server";
import type { CompletionDelta } from "../src/server/wire";

const editor = vi.hoisted(() => {
  class EventEmitter<T> {
    readonly listeners = new Set<(value: T) => void>();
    readonly event = (listener: (value: T) => void) => {
      this.listeners.add(listener);
      return { dispose: () => this.listeners.delete(listener) };
    };
    fire(value: T): void {
      this.listeners.forEach((listener) => {
        listener(value);
      });
    }
    dispose(): void {
      this.listeners.clear();
    }
  }
  class CancellationTokenSource {
    readonly #cancelled = new EventEmitter<undefined>();
    readonly token = { isCancellationRequested: false, onCancellationRequested: this.#cancelled.event };
    cancel(): void {
      this.token.isCancellationRequested = true;
      this.#cancelled.fire(undefined);
    }
    dispose(): void {
      this.#cancelled.dispose();
    }
  }
  const commands: string[] = [];
  const window: { activeTextEditor?: object } = {};
  return { EventEmitter, CancellationTokenSource, commands, window };
});

vi.mock("vscode", () => ({
  version: "1.139.0",
  EventEmitter: editor.EventEmitter,
  CancellationTokenSource: editor.CancellationTokenSource,
  Disposable: {
    from: (...parts: { dispose(): void }[]) => ({
      dispose: () => {
        parts.forEach((part) => {
          part.dispose();
        });
      },
    }),
  },
  InlineCompletionTriggerKind: { Invoke: 0, Automatic: 1 },
  InlineCompletionItem: class {
    constructor(readonly insertText: string) {}
  },
  Range: function Range() {},
  window: editor.window,
  languages: { registerInlineCompletionItemProvider: () => ({ dispose: () => undefined }) },
  commands: {
    executeCommand: async (command: string) => {
      editor.commands.push(command);
      await Promise.resolve();
    },
  },
}));

const POSITION = { line: 0, character: 4 } as unknown as vscode.Position;

/** A line of code with the cursor at its end. */
function opened(): vscode.TextDocument {
  const document = {
    uri: { path: "/a.py", toString: () => "file:///a.py" },
    version: 1,
    offsetAt: ({ character }: vscode.Position) => character,
    lineAt: () => ({ text: "self" }),
  } as unknown as vscode.TextDocument;
  editor.window.activeTextEditor = { document, selection: { isEmpty: true, active: POSITION }, selections: [{}] };
  return document;
}

class ToldServer {
  readonly state = "running";
  readonly #deltas = new editor.EventEmitter<CompletionDelta>();
  readonly onDelta = this.#deltas.event;
  readonly tokens: string[] = [];

  readonly onItems = () => ({ dispose: () => undefined });
  readonly uri = String;
  readonly notify = () => Promise.resolve();

  request(_method: string, { partialResultToken }: { partialResultToken: string }): Promise<never> {
    this.tokens.push(partialResultToken);
    return new Promise(() => undefined);
  }

  say(shown: string): void {
    this.#deltas.fire({ token: this.tokens.at(-1) ?? "", uri: "", index: 0, shown, done: false });
  }
}

function provider(server: ToldServer): GhostTextProvider {
  const fail = (error: unknown): void => {
    throw error;
  };
  const given = server as unknown as Server;
  return new GhostTextProvider(given, new Acceptances(given, fail), {
    isWanted: () => true,
    asked: () => undefined,
    offered: () => undefined,
    measured: () => undefined,
    failed: fail,
    noted: () => undefined,
  });
}

type Items = Promise<vscode.InlineCompletionItem[] | undefined>;

function ask(from: GhostTextProvider, document: vscode.TextDocument, kind: "key" | "typing", token = live()): Items {
  const context = { triggerKind: kind === "key" ? 0 : 1 } as unknown as vscode.InlineCompletionContext;
  return from.provideInlineCompletionItems(document, POSITION, context, token.token);
}

function live(): InstanceType<typeof editor.CancellationTokenSource> {
  return new editor.CancellationTokenSource();
}

describe("ghost text, whatever comes first", () => {
  beforeEach(() => {
    editor.commands.length = 0;
    vi.useFakeTimers();
    return () => {
      vi.useRealTimers();
    };
  });

  it("a question that the editor gave up and asks again is asked once, and answered", async () => {
    const server = new ToldServer();
    const ghost = provider(server);
    const document = opened();
    const token = live();
    const first = ask(ghost, document, "typing", token);
    token.cancel();
    expect(await first).toBeUndefined();
    await vi.advanceTimersByTimeAsync(300);
    const second = ask(ghost, document, "typing");
    await vi.advanceTimersByTimeAsync(5000);
    server.say(".balance");
    expect((await second)?.map(({ insertText }) => insertText)).toEqual([".balance"]);
    expect(server.tokens).toHaveLength(1);
  });

  it("a question that was given up for good is asked anew", async () => {
    const server = new ToldServer();
    const ghost = provider(server);
    const document = opened();
    const token = live();
    void ask(ghost, document, "typing", token);
    token.cancel();
    await vi.advanceTimersByTimeAsync(5000);
    const second = ask(ghost, document, "typing");
    server.say(".owner");
    expect((await second)?.map(({ insertText }) => insertText)).toEqual([".owner"]);
    expect(server.tokens).toHaveLength(2);
  });

  it("what is turned down while it is being shown anew does not come back", async () => {
    const server = new ToldServer();
    const ghost = provider(server);
    const document = opened();
    const first = ask(ghost, document, "typing");
    server.say(".balance");
    expect(await first).toHaveLength(1);
    server.say(".balance += amount\n");
    await vi.advanceTimersByTimeAsync(100);
    expect(editor.commands).toContain("editor.action.inlineSuggest.showNext");
    await ghost.dismiss();
    expect(await ask(ghost, document, "key")).toBeUndefined();
    expect(server.tokens).toHaveLength(1);
  });
});
