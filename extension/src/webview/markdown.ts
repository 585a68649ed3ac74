/**
 * A model's markdown as HTML that is safe to insert: HTML in it is shown as text, pictures are not loaded, and a link
 * leads to a web page or nowhere. Code blocks get a bar with buttons. Pure.
 */
import MarkdownIt from "markdown-it";

const WEB = /^https?:\/\//i;

export function createRenderer(): (markdown: string) => string {
  const markdown = new MarkdownIt("commonmark", { html: false, linkify: false, breaks: false }).enable("table");
  markdown.disable("image");
  markdown.validateLink = (url) => WEB.test(url);
  const { escapeHtml } = markdown.utils;
  markdown.renderer.rules.fence = (tokens, index, _options, environment: { block: number }) => {
    const token = tokens[index];
    const language = escapeHtml(token?.info.trim().split(/\s+/)[0] ?? "");
    const block = environment.block++;
    if (token?.content.trim() === "") {
      return ""; // begun and not filled: nothing to copy
    }
    const button = (action: string, label: string): string =>
      `<button type="button" class="secondary" data-action="${action}" data-block="${block}">${label}</button>`;
    return (
      `<div class="code"><div class="bar"><span>${language}</span>${button("copy", "Copy")}${button("insert", "Insert")}</div>` +
      `<pre><code>${escapeHtml(token?.content ?? "")}</code></pre></div>`
    );
  };
  return (text) => markdown.render(text, { block: 0 });
}
