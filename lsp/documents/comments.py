"""How a language writes a comment, and where in a file one may stand.

By the editor's language ids. What is not listed has no comments (JSON) or none that is known: then
nothing is written, because a wrong guess would break the file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple


class CommentSyntax(NamedTuple):
    """What begins a comment and, if it does not end with its line, what ends it."""

    start: str
    end: str = ""

    def comment(self, text: str) -> str:
        """One line of comment. Whatever in `text` could end it, or hide code in it, is replaced."""
        # A backslash continues a C comment on the next line, and \\u000a ends a line in Java.
        text = " ".join(text.replace("\\", "/").split())
        # `?>` ends PHP, `--` may not stand in a comment of XML. %XX, so that an address stays one.
        for closing in filter(None, (self.end, "?>", "--" if "--" in self.start + self.end else "")):
            if closing != self.start:
                text = text.replace(closing, f"{closing[0]}%{ord(closing[1]):02X}{closing[2:]}")
        return f"{self.start} {text} {self.end}".rstrip()


def _each(syntax: CommentSyntax, names: str) -> dict[str, CommentSyntax]:
    return dict.fromkeys(names.split(), syntax)


_HASH, _SLASHES, _DASHES = CommentSyntax("#"), CommentSyntax("//"), CommentSyntax("--")
_MARKUP, _BLOCK = CommentSyntax("<!--", "-->"), CommentSyntax("/*", "*/")
_SYNTAXES: dict[str, CommentSyntax] = {
    **_each(
        _HASH,
        "python cython starlark mojo ruby crystal perl perl6 raku r julia elixir nim coffeescript awk tcl "
        "sed shellscript bash zsh sh fish powershell makefile cmake meson ninja just dockerfile "
        "dockercompose yaml toml terraform hcl nix puppet graphql gitignore ignore properties dotenv jq "
        "gdscript snakemake robotframework git-rebase git-commit github-actions-workflow spec systemd",
    ),
    **_each(
        _SLASHES,
        "javascript javascriptreact typescript typescriptreact jsonc json5 c cpp objective-c objective-cpp "
        "cuda-cpp cuda csharp fsharp java kotlin scala swift go go.mod rust dart zig groovy php d v haxe "
        "solidity glsl hlsl wgsl opencl verilog systemverilog proto proto3 protobuf scss less sass stylus "
        "pascal odin gleam apex bicep qml typst asciidoc rescript reason thrift capnp prisma kdl",
    ),
    **_each(_DASHES, "sql plsql mysql pgsql lua luau haskell elm purescript ada vhdl agda idris applescript"),
    **_each(
        CommentSyntax(";;"), "lisp commonlisp emacs-lisp elisp clojure scheme racket fennel janet hy guile"
    ),
    **_each(CommentSyntax(";"), "ini llvm asm-collection autohotkey"),
    **_each(
        CommentSyntax("%"),
        "latex tex bibtex erlang matlab octave prolog postscript mercury logtalk",
    ),
    **_each(CommentSyntax("'"), "vb vba vbscript"),
    **_each(CommentSyntax('"'), "vim viml"),
    **_each(CommentSyntax("!"), "fortran FortranFreeForm fortran-modern"),
    **_each(CommentSyntax("REM"), "bat"),
    **_each(CommentSyntax(".."), "restructuredtext"),
    **_each(_BLOCK, "css"),
    **_each(_MARKUP, "html xml xsl svg markdown vue svelte astro"),
    **_each(CommentSyntax("(*", "*)"), "ocaml coq standard-ml sml"),
    **_each(CommentSyntax("{#", "#}"), "jinja jinja-html jinja2 twig django-html"),
    **_each(CommentSyntax("{{!--", "--}}"), "handlebars"),
    **_each(CommentSyntax("<%#", "%>"), "erb html.erb"),
    **_each(CommentSyntax("@*", "*@"), "razor aspnetcorerazor"),
}
# Languages in which others stand: their files' markup, and the tags that open and close a part.
_PART = re.compile(r"<(?P<end>/)?(?P<name>script|style)\b|(?P<php><\?(?:php|=))|(?P<html>\?>)", re.IGNORECASE)
_WITH_PARTS = frozenset({"html", "vue", "svelte", "astro", "php"})
# First lines that must stay first.
_FIRST_LINES = re.compile(r"#!|<\?|<!doctype|\ufeff|@charset|%!", re.IGNORECASE)


def comment_syntax(language: str) -> CommentSyntax | None:
    """How a file of this language writes a comment; None if it cannot or nobody here knows."""
    return _SYNTAXES.get(language)


def syntax_above(lines: Sequence[str], line: int, language: str) -> CommentSyntax | None:
    """How a comment above a line is written: in a `<script>` of an HTML file as in JavaScript."""
    if language not in _WITH_PARTS:
        return comment_syntax(language)
    # PHP files begin as HTML.
    part = _MARKUP
    for text in lines[:line]:
        for tag in _PART.finditer(text):
            if tag["php"]:
                part = _SLASHES
            elif tag["html"] or tag["end"]:
                part = _MARKUP
            elif tag["name"]:
                part = _SLASHES if tag["name"].lower() == "script" else _BLOCK
    return part


def line_for_comment(lines: Sequence[str], line: int) -> int:
    """The line above which a comment about `line` can stand, at most `len(lines) - 1`.

    Not between a line and the one that continues it (`\\`), and not above `#!` or `<?xml`.
    """
    while line > 0 and lines[line - 1].rstrip("\r\n").endswith("\\"):
        line -= 1
    if line == 0 and len(lines) > 1 and _FIRST_LINES.match(lines[0]):
        return 1
    return line


def comment_line(lines: Sequence[str], line: int, language: str, text: str) -> tuple[int, str] | None:
    """(line before which to insert, the whole line to insert), None where there is no comment to write.

    Indented as the line that it stands above, with the file's own line end.
    """
    at = line_for_comment(lines, line)
    syntax = syntax_above(lines, at, language)
    if syntax is None:
        return None
    indentation = lines[at][: len(lines[at]) - len(lines[at].lstrip(" \t"))]
    ends = (end for text in (lines[at], lines[0]) for end in ("\r\n", "\n", "\r") if text.endswith(end))
    return at, indentation + syntax.comment(text) + next(ends, "\n")
