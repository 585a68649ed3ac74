/** What the extension exports to other extensions and to its own tests. */
import type { Event } from "vscode";
import type { ExtensionState } from "./status/statusText";

export interface StarcoderApi {
  state(): ExtensionState;
  /** From the editor's question to the first text that could be shown, of the last suggestion. */
  lastLatencyMs(): number | null;
  readonly onDidChangeState: Event<ExtensionState>;
  /** How long `activate` took. The server starts after it. */
  readonly activationMs: number;
}
