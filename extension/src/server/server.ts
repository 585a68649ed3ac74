/**
 * The language server's life: started, started again when it ends, and spoken to. The rest of the extension sees one
 * server, whatever process is behind it just now.
 */
import * as vscode from "vscode";
import { ProgressType } from "vscode-languageclient/node";
import { reasonOf } from "../errors";
import { RestartPolicy } from "./backOff";
import { createClient, type Launch, type StarcoderClient } from "./client";
import {
  ASSIST_DELTA,
  COMPLETION_DELTA,
  MODEL_PROGRESS,
  STATUS,
  type CompletionDelta,
  type InlineItem,
  type ModelProgress,
  type Status,
} from "./wire";

export type ServerState = "stopped" | "missing" | "starting" | "running" | "failed";

export interface AssistDelta {
  readonly token: string | number;
  readonly text: string;
}

/** No server runs, so nothing can be asked. */
export class ServerNotRunningError extends Error {
  constructor() {
    super("the language server does not run");
  }
}

export class Server implements vscode.Disposable {
  readonly #changed = new vscode.EventEmitter<void>();
  readonly #deltas = new vscode.EventEmitter<CompletionDelta>();
  readonly #assistDeltas = new vscode.EventEmitter<AssistDelta>();
  readonly #policy = new RestartPolicy();
  readonly onDidChange = this.#changed.event;
  readonly onDelta = this.#deltas.event;
  readonly #modelProgress = new vscode.EventEmitter<ModelProgress>();
  readonly onModelProgress = this.#modelProgress.event;
  readonly onAssistDelta = this.#assistDeltas.event;
  #state: ServerState = "stopped";
  #message = "";
  #engine: Status | null = null;
  #client: StarcoderClient | null = null;
  #startedAtMs = 0;
  #retry: NodeJS.Timeout | null = null;
  /** Counts starts and stops: what an older start still waits for is no longer wanted. */
  #nAttempts = 0;

  constructor(
    private readonly log: vscode.LogOutputChannel,
    /** How to start it, or null: there is none on this machine. Rejects with a reason for the user. */
    private readonly findLaunch: () => Promise<Launch | null>,
    private readonly settings: () => Record<string, unknown>,
  ) {}

  get state(): ServerState {
    return this.#state;
  }

  /** Why it failed, "" if it did not. */
  get message(): string {
    return this.#message;
  }

  /** The server's last word about the engine. */
  get engine(): Status | null {
    return this.#engine;
  }

  /** Commands that the server announced. */
  get commands(): readonly string[] {
    return this.#client?.initializeResult?.capabilities.executeCommandProvider?.commands ?? [];
  }

  async start(): Promise<void> {
    this.#policy.reset();
    await this.#launch();
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  async stop(): Promise<void> {
    this.#cancelRetry();
    this.#nAttempts += 1;
    const client = this.#client;
    this.#client = null;
    this.#become("stopped");
    if (client !== null) {
      await this.#dispose(client);
    }
  }

  async request<R>(method: string, params: unknown, token?: vscode.CancellationToken): Promise<R> {
    // A token that is there and undefined would be taken for a second parameter.
    const client = this.#running();
    return token === undefined
      ? client.sendRequest<R>(method, params)
      : client.sendRequest<R>(method, params, token);
  }

  async notify(method: string, params: unknown): Promise<void> {
    await this.#running().sendNotification(method, params);
  }

  async execute<R>(command: string, ...args: unknown[]): Promise<R> {
    return this.request<R>("workspace/executeCommand", { command, arguments: args });
  }

  /** Items that come as partial results of the request with this token. */
  onItems(token: string, handler: (items: readonly InlineItem[]) => void): vscode.Disposable {
    return this.#running().onProgress(new ProgressType<readonly InlineItem[]>(), token, handler);
  }

  /** A document's URI as the server knows it. */
  uri(uri: vscode.Uri): string {
    return this.#client?.code2ProtocolConverter.asUri(uri) ?? uri.toString();
  }

  dispose(): void {
    this.#cancelRetry();
    this.#changed.dispose();
    this.#deltas.dispose();
    this.#assistDeltas.dispose();
    this.#modelProgress.dispose();
  }

  async #launch(): Promise<void> {
    this.#cancelRetry();
    const attempt = (this.#nAttempts += 1);
    this.#become("starting", this.#message);
    let launch: Launch | null = null;
    let failure = "";
    try {
      launch = await this.findLaunch();
    } catch (error) {
      failure = reasonOf(error);
    }
    if (attempt !== this.#nAttempts) {
      return;
    }
    if (launch === null) {
      this.#become(failure === "" ? "missing" : "failed", failure);
      return;
    }
    await this.#connect(launch);
  }

  async #connect(launch: Launch): Promise<void> {
    this.log.info(`starting ${[launch.command, ...launch.args].join(" ")}`);
    this.#startedAtMs = Date.now();
    const client = createClient(launch, this.log, {
      settings: this.settings,
      closed: () => {
        this.#ended(client, "it ended by itself");
      },
    });
    this.#client = client;
    this.#listen(client);
    try {
      await client.start();
    } catch (error) {
      this.#ended(client, reasonOf(error));
      return;
    }
    if (this.#client === client) {
      this.#become("running");
    } else {
      // Stopped meanwhile, when it could not be told yet.
      await this.#dispose(client);
    }
  }

  #listen(client: StarcoderClient): void {
    client.onNotification(STATUS, (status: Status) => {
      this.#engine = status;
      this.#changed.fire();
    });
    client.onNotification(COMPLETION_DELTA, (delta: CompletionDelta) => {
      this.#deltas.fire(delta);
    });
    client.onNotification(ASSIST_DELTA, (delta: AssistDelta) => {
      this.#assistDeltas.fire(delta);
    });
    client.onNotification(MODEL_PROGRESS, (progress: ModelProgress) => {
      this.#modelProgress.fire(progress);
    });
  }

  /** The process ended, or never answered. Told from two sides; the first counts. */
  #ended(client: StarcoderClient, reason: string): void {
    if (this.#client !== client) {
      return;
    }
    this.#client = null;
    this.#engine = null;
    void this.#dispose(client);
    const delayMs = this.#policy.ended(Date.now() - this.#startedAtMs);
    if (delayMs === null) {
      this.#become("failed", reason);
      return;
    }
    this.log.warn(`the language server is gone (${reason}); it is started again in ${delayMs} ms`);
    this.#become("starting", reason);
    this.#retry = setTimeout(() => void this.#launch(), delayMs);
  }

  async #dispose(client: StarcoderClient): Promise<void> {
    try {
      await client.dispose();
    } catch (error) {
      // A client whose process has died cannot say goodbye.
      this.log.debug(`closing the connection: ${reasonOf(error)}`);
    }
  }

  #cancelRetry(): void {
    if (this.#retry !== null) {
      clearTimeout(this.#retry);
      this.#retry = null;
    }
  }

  #running(): StarcoderClient {
    if (this.#client === null || this.#state !== "running") {
      throw new ServerNotRunningError();
    }
    return this.#client;
  }

  #become(state: ServerState, message = ""): void {
    this.#state = state;
    this.#message = message;
    if (state !== "running") {
      this.#engine = null;
    }
    this.#changed.fire();
  }
}
