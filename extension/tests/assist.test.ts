import { describe, expect, it } from "vitest";
import { fromPage } from "../src/assist/messages";
import { conversationPage, makeNonce } from "../src/assist/page";
import { applyEdits, editsByDocument } from "../src/assist/textEdits";
import { answered, begun, codeBlocks, failed, grown, questionText, settled, stopped } from "../src/assist/transcript";
import { createRenderer } from "../src/webview/markdown";

const outcome = { text: "Whole.", model: "starter", finishReason: "stop", hasProposal: false, references: [], remark: "" };

describe("a conversation", () => {
  const one = begun([], 1, "Why?", "a.py, line 3");

  it("grows piece by piece and ends with the whole answer", () => {
    const growing = grown(grown(one, 1, "Be"), 1, "cause");
    expect(growing[0]).toMatchObject({ answer: "Because", state: "running" });
    expect(answered(growing, 1, outcome)[0]).toMatchObject({ answer: "Whole.", state: "done", note: "starter" });
  });

  it("does not grow after its end: late pieces are dropped", () => {
    expect(grown(stopped(one, 1), 1, "late")[0]?.answer).toBe("");
    expect(grown(one, 99, "elsewhere")).toEqual(one);
  });

  it("says that it was cut, stopped or failed, and what became of a change", () => {
    expect(answered(one, 1, { ...outcome, finishReason: "length" })[0]?.note).toContain("cut");
    expect(answered(one, 1, { ...outcome, remark: "no code block" })[0]?.note).toBe("starter · no code block");
    expect(failed(one, 1, "offline")[0]).toMatchObject({ state: "failed", note: "offline" });
    const proposed = answered(one, 1, { ...outcome, hasProposal: true });
    expect(settled(proposed, 1, "change accepted")[0]).toMatchObject({ hasProposal: false, note: "change accepted" });
  });

  it("puts the user's words first", () => {
    expect(questionText("explain", undefined)).toBe("Explain this");
    expect(questionText("ask", "  Why? ")).toBe("Why?");
  });
});

describe("code blocks of an answer", () => {
  it("are found with either fence, in order", () => {
    expect(codeBlocks("a\n```python\nx = 1\ny\n```\nb\n~~~\nz\n~~~\n")).toEqual(["x = 1\ny", "z"]);
  });

  it("may be unfinished while the answer streams", () => {
    expect(codeBlocks("```py\nx = 1")).toEqual(["x = 1"]);
    expect(codeBlocks("no code")).toEqual([]);
  });

  it("are numbered as the page numbers them", () => {
    const markdown = "```py\na\n```\ntext\n```js\nb\n```\n";
    const buttons = [...createRenderer()(markdown).matchAll(/data-action="copy" data-block="(\d+)"/g)];
    expect(buttons.map((match) => Number(match[1]))).toEqual(codeBlocks(markdown).map((_, index) => index));
  });
});

describe("an answer as HTML", () => {
  const render = createRenderer();

  it("shows HTML as text", () => {
    const html = render('<script>alert(1)</script> <img src=x onerror="alert(1)">');
    expect(html).not.toContain("<script");
    expect(html).not.toContain("<img");
    expect(html).toContain("&lt;script&gt;");
  });

  it("links to web pages only, and loads no pictures", () => {
    expect(render("[x](https://example.org)")).toContain('href="https://example.org"');
    for (const url of ["javascript:alert(1)", "command:evil", "file:///etc/passwd", "data:text/html,x", "vscode:x"]) {
      expect(render(`[x](${url})`)).not.toContain("href");
    }
    expect(render("![x](https://example.org/pixel.png)")).not.toContain("<img");
  });

  it("escapes code and its language", () => {
    const html = render('```py"><script>\n</code><script>x</script>\n```');
    expect(html).not.toContain("<script");
    expect(html).toContain("&lt;/code&gt;");
  });
});

describe("the page", () => {
  const sources = { script: "https://host/out.js", style: "https://host/a.css", cspSource: "https://host", nonce: "abc" };

  it("allows its own script and style and nothing else", () => {
    const html = conversationPage(sources);
    const policy = /Content-Security-Policy" content="([^"]*)"/.exec(html)?.[1] ?? "";
    expect(policy).toBe("default-src 'none'; style-src https://host; script-src 'nonce-abc'");
    expect(html).not.toMatch(/style="|onclick=|unsafe/);
    expect([...html.matchAll(/<script/g)]).toHaveLength(1);
  });

  it("has another nonce each time", () => {
    expect(makeNonce()).not.toBe(makeNonce());
  });

  it("is heard only where it says something known", () => {
    expect(fromPage({ type: "ask", question: "x" })).toEqual({ type: "ask", question: "x" });
    expect(fromPage({ type: "copy", turn: 1, block: 0, extra: 1 })).toEqual({ type: "copy", turn: 1, block: 0 });
    for (const bad of [null, 3, {}, { type: "ask" }, { type: "copy", turn: "1", block: 0 }, { type: "run" }]) {
      expect(fromPage(bad)).toBeNull();
    }
  });
});

describe("text edits", () => {
  const edit = (from: [number, number], to: [number, number], newText: string) => ({
    range: { start: { line: from[0], character: from[1] }, end: { line: to[0], character: to[1] } },
    newText,
  });

  it("count from the text before, in any order", () => {
    const text = "a\nb\nc\n";
    expect(applyEdits(text, [edit([2, 0], [2, 1], "C"), edit([0, 0], [0, 1], "A\nA")])).toBe("A\nA\nb\nC\n");
  });

  it("keep the order of insertions at one place", () => {
    expect(applyEdits("x", [edit([0, 0], [0, 0], "1"), edit([0, 0], [0, 0], "2")])).toBe("12x");
  });

  it("know CRLF, emoji and the end of the text", () => {
    expect(applyEdits("a\r\nb", [edit([0, 5], [1, 0], "\r\n")])).toBe("a\r\nb");
    expect(applyEdits('"😀"x', [edit([0, 4], [0, 5], "y")])).toBe('"😀"y');
    expect(applyEdits("a", [edit([9, 0], [9, 0], "!")])).toBe("a!");
  });

  it("come in both of LSP's forms", () => {
    const edits = [edit([0, 0], [0, 0], "x")];
    const expected = [{ uri: "file:///a", edits }];
    expect(editsByDocument({ changes: { "file:///a": edits } })).toEqual(expected);
    const textDocument = { uri: "file:///a", version: 1 };
    expect(editsByDocument({ documentChanges: [{ textDocument, edits }] })).toEqual(expected);
  });
});
