/** The language client: vscode-languageclient's, less what the extension does itself. */
import {
  CloseAction,
  ErrorAction,
  LanguageClient,
  RevealOutputChannelOn,
  type ClientCapabilities,
  type DynamicFeature,
  type FeatureState,
  type StaticFeature,
} from "vscode-languageclient/node";
import type { LogOutputChannel, TextDocument } from "vscode";
import { SCHEMES } from "../schemes";

/** The extension answers these itself: streaming ghost text, and commands under its own names. */
const OWN_METHODS: ReadonlySet<string> = new Set(["textDocument/inlineCompletion", "workspace/executeCommand"]);

export interface Launch {
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
}

export interface ClientEvents {
  /** What the user set, as the server takes it. */
  readonly settings: () => Record<string, unknown>;
  readonly closed: () => void;
}

export class StarcoderClient extends LanguageClient {
  override registerFeature(feature: StaticFeature | DynamicFeature<unknown>): void {
    const method = "registrationType" in feature ? feature.registrationType.method : "";
    if (!OWN_METHODS.has(method)) {
      super.registerFeature(feature);
    }
  }

  /** Logged only: the supervisor tells the user, once and in its own words. */
  override error(message: string, data?: unknown): void {
    super.error(message, data, false);
  }

  override info(message: string, data?: unknown): void {
    super.info(message, data, false);
  }
}

export function createClient(launch: Launch, log: LogOutputChannel, events: ClientEvents): StarcoderClient {
  const client: StarcoderClient = new StarcoderClient(
    "starcoder",
    "StarCoder",
    { command: launch.command, args: [...launch.args], options: { cwd: launch.cwd, env: launch.env } },
    {
      documentSelector: SCHEMES.map((scheme) => ({ scheme })),
      outputChannel: log,
      revealOutputChannelOn: RevealOutputChannelOn.Never,
      diagnosticCollectionName: "starcoder",
      initializationFailedHandler: () => false,
      errorHandler: {
        error: () => ({ action: ErrorAction.Continue, handled: true }),
        closed: () => {
          events.closed();
          return { action: CloseAction.DoNotRestart, handled: true };
        },
      },
      middleware: {
        didOpen: inTurn,
        didClose: inTurn,
        // Ours are the marks of attribution, which the extension draws itself and only until the next edit.
        handleDiagnostics: () => undefined,
        workspace: {
          configuration: (params) =>
            params.items.map((item) => (item.section === "starcoder" ? events.settings() : null)),
          // The server asks for the values itself.
          didChangeConfiguration: () =>
            client.sendNotification("workspace/didChangeConfiguration", { settings: null }),
        },
      },
    },
  );
  client.registerFeature(new OwnCapabilities());
  return client;
}

/**
 * vscode-languageclient 11.0.0 sends an opening or closing one turn sooner than an edit or a request (`sendNotification`
 * in its client.ts waits for pending openings before the others only). One that follows an edit at once would overtake
 * it, and the server be told of an edit to a document that is closed, or that has it already.
 */
async function inTurn(document: TextDocument, next: (document: TextDocument) => Promise<void>): Promise<void> {
  await Promise.resolve();
  await next(document);
}

/** Says that the extension knows the server's own messages, and what the left-out features would say. */
class OwnCapabilities implements StaticFeature {
  fillClientCapabilities(capabilities: ClientCapabilities): void {
    capabilities.experimental = { starcoder: { debounces: true } };
    capabilities.textDocument = { ...capabilities.textDocument, inlineCompletion: {} };
    capabilities.workspace = { ...capabilities.workspace, executeCommand: {} };
  }

  initialize(): void {
    // Nothing to register: the provider and the commands are the extension's.
  }

  getState(): FeatureState {
    return { kind: "static" };
  }

  clear(): void {
    // Holds nothing.
  }
}
