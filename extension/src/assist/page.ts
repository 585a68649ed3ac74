/** The panel's page. Its script comes from the extension, its colours from the theme, and nothing from elsewhere. */
import { randomBytes } from "node:crypto";

export interface PageSources {
  readonly script: string;
  readonly style: string;
  /** Where the editor serves the extension's own files from. */
  readonly cspSource: string;
  readonly nonce: string;
}

export function makeNonce(): string {
  return randomBytes(16).toString("base64url");
}

export function conversationPage({ script, style, cspSource, nonce }: PageSources): string {
  const policy = `default-src 'none'; style-src ${cspSource}; script-src 'nonce-${nonce}'`;
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="UTF-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="${style}">
<title>Ask StarCoder</title>
</head>
<body>
<main id="turns" role="log" aria-live="polite"></main>
<form id="form">
<div id="about"></div>
<textarea id="question" rows="3" aria-label="Question" placeholder="Ask about the code you have selected"></textarea>
<div class="row">
<button type="submit" id="send">Ask</button>
<button type="button" id="stop" class="secondary" hidden>Stop</button>
</div>
</form>
<script nonce="${nonce}" src="${script}"></script>
</body>
</html>`;
}
