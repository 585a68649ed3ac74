/** What the server says and takes beyond LSP (docs/lsp-messages.md). Types only, and the methods' names. */

export const COMPLETION_DELTA = "starcoder/completionDelta";
export const STATUS = "starcoder/status";
export const ASSIST = "starcoder/assist";
export const ASSIST_DELTA = "starcoder/assistDelta";
export const MODELS = "starcoder/models";
export const GET_MODEL = "starcoder/getModel";
export const MODEL_PROGRESS = "starcoder/modelProgress";
export const DID_SHOW = "textDocument/didShowCompletion";
export const DID_PARTIALLY_ACCEPT = "textDocument/didPartiallyAcceptCompletion";
export const ACCEPTED = "starcoder.accepted";
export const CHECK_ATTRIBUTION = "starcoder.checkAttribution";
export const ATTRIBUTION_SOURCE = "starcoder.attributionSource";
export const OPEN_ATTRIBUTION_SOURCE = "starcoder.openAttributionSource";
export const RESTART_ENGINE = "starcoder.restartEngine";
export const SHOW_LATENCY_BOOK = "starcoder.showLatencyBook";
export const SHOW_STATUS = "starcoder.showStatus";

export interface Position {
  readonly line: number;
  readonly character: number;
}

export interface Range {
  readonly start: Position;
  readonly end: Position;
}

export type EngineState = "starting" | "ready" | "busy" | "offline" | "excluded" | "error";

export interface Status {
  readonly state: EngineState;
  readonly model: string;
  readonly message: string;
  readonly latencyMs: number | null;
}

/** A model that can be named; of published ones the server also knows size, licence and quality. */
export interface ListedModel {
  readonly name: string;
  readonly inUse: boolean;
  readonly isHere: boolean;
  readonly place: string;
  readonly bytes: number | null;
  readonly what: string;
  readonly license: string | null;
  readonly infilling: number | null;
  /** Why it does not suit this machine, as the rest of a sentence about it. */
  readonly lack: string | null;
  /** From a key to the first text, the median that was measured here. */
  readonly latencyMs: number | null;
}

export interface Models {
  readonly setting: string;
  readonly proposed: { readonly name: string; readonly reason: string };
  readonly models: readonly ListedModel[];
}

export interface ModelProgress {
  readonly name: string;
  readonly bytes: number;
}

/** Where a piece of a suggestion or an answer was found; `span` counts UTF-16 units of its text. */
export interface Reference {
  readonly name: string | null;
  readonly path: string | null;
  readonly url: string | null;
  readonly license: string | null;
  readonly kind: MatchKind;
  readonly tokens: number;
  readonly startLine: number | null;
  readonly endLine: number | null;
  readonly span: { readonly start: number; readonly end: number };
  readonly verdict: "denied" | "review" | "ignored" | "passed" | null;
}

export interface InlineItem {
  readonly insertText: string;
  readonly range?: Range;
  readonly starcoder?: { readonly id: string; readonly index: number; readonly latencyMs: number | null };
  readonly references?: readonly Reference[];
  readonly label?: string;
}

export interface InlineResult {
  readonly items: readonly InlineItem[];
}

export interface CompletionDelta {
  readonly token: string | number | null;
  readonly uri: string;
  readonly index: number;
  readonly shown: string;
  readonly done: boolean;
  readonly references?: readonly Reference[];
  readonly label?: string;
}

export type MatchKind = "exact" | "reformatted" | "near" | "renamed" | "seen";

export interface Source {
  readonly repository: string;
  readonly path: string;
  readonly revision: string | null;
  readonly license: string | null;
  readonly url: string | null;
  readonly startLine: number;
  readonly endLine: number;
}

export interface Match {
  readonly id: string;
  readonly kind: MatchKind;
  readonly tokens: number;
  readonly similarity: number;
  readonly range: Range | null;
  readonly source: Source | null;
  readonly alsoIn: number;
}

export interface AttributionReport {
  readonly uri: string;
  readonly version: number | null;
  readonly checked: Range | null;
  readonly searched: {
    readonly kind: "index" | "portrait" | "none";
    readonly index: string | null;
    readonly documents: number;
  };
  readonly message: string;
  readonly matches: readonly Match[];
}

export interface SourceText {
  readonly name: string;
  readonly text: string;
  readonly startLine: number;
  readonly endLine: number;
  readonly license: string | null;
  readonly url: string | null;
}

export type AssistKind = "ask" | "explain" | "document" | "fix" | "test" | "edit";

export interface TextEdit {
  readonly range: Range;
  readonly newText: string;
}

export interface WorkspaceEdit {
  readonly changes?: Readonly<Record<string, readonly TextEdit[]>>;
  readonly documentChanges?: readonly {
    readonly textDocument: { readonly uri: string; readonly version: number | null };
    readonly edits: readonly TextEdit[];
  }[];
}

export interface AssistResult {
  readonly conversation: string;
  readonly model: string;
  readonly text: string;
  readonly finishReason: string;
  readonly edit: WorkspaceEdit | null;
  readonly references?: readonly Reference[];
  /** A line for the user: why there is no edit, what was not sent or not shown. */
  readonly note?: string | null;
}
