"""The table of languages: found by id and name, complete, and of one mind with the corpus's."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from model.languages.language import Comment
from model.languages.languages import (
    LANGUAGES,
    language_id_of_path,
    language_of_id,
    language_of_path,
    relatedness,
)
from model.languages.line_kind import goes_on
from model.languages.words import words_and_marks

CORPUS_TABLE = Path(__file__).parents[3] / "training/corpus/records/languages.tsv"
# Endings that stand for whole names, or that the corpus counts with the language of the code within.
OTHERWISE = {
    *(("Dockerfile", "mustache"), ("Makefile", "cmake"), ("Makefile", "txt"), ("RMarkdown", "rmd")),
    *(("C#", "cshtml"), ("TypeScript", "tsx"), ("JavaScript", "jsx")),
}
# How each language is commented on, by the editors' ids.
COMMENTS = {
    ("#", ""): """python cython starlark mojo ruby crystal perl perl6 raku r julia elixir nim coffeescript awk
        tcl sed shellscript bash zsh sh fish powershell makefile cmake meson ninja just dockerfile
        dockercompose yaml toml terraform hcl nix puppet graphql gitignore ignore properties dotenv jq
        gdscript snakemake robotframework git-rebase git-commit github-actions-workflow spec systemd""",
    ("//", ""): """javascript javascriptreact typescript typescriptreact jsonc json5 c cpp objective-c
        objective-cpp cuda-cpp cuda csharp fsharp java kotlin scala swift go go.mod rust dart zig groovy php d
        v haxe solidity glsl hlsl wgsl opencl verilog systemverilog proto proto3 protobuf scss less sass
        stylus pascal odin gleam apex bicep qml typst asciidoc rescript reason thrift capnp prisma kdl""",
    ("--", ""): "sql plsql mysql pgsql lua luau haskell elm purescript ada vhdl agda idris applescript",
    (";;", ""): "lisp commonlisp emacs-lisp elisp clojure scheme racket fennel janet hy guile",
    (";", ""): "ini llvm asm-collection autohotkey",
    ("%", ""): "latex tex bibtex erlang matlab octave prolog postscript mercury logtalk",
    ("'", ""): "vb vba vbscript",
    ('"', ""): "vim viml",
    ("!", ""): "fortran FortranFreeForm fortran-modern",
    ("REM", ""): "bat",
    ("..", ""): "restructuredtext",
    ("/*", "*/"): "css",
    ("<!--", "-->"): "html xml xsl svg markdown vue svelte astro",
    ("(*", "*)"): "ocaml coq standard-ml sml",
    ("{#", "#}"): "jinja jinja-html jinja2 twig django-html",
    ("{{!--", "--}}"): "handlebars",
    ("<%#", "%>"): "erb html.erb",
    ("@*", "*@"): "razor aspnetcorerazor",
}


@pytest.mark.parametrize("field", ["ids", "extensions", "files"])
def test_each_name_is_said_of_one_language(field: str) -> None:
    names = Counter(name for language in LANGUAGES for name in getattr(language, field).split())
    assert [name for name, count in names.items() if count > 1] == []
    assert all(name == name.lower() for name in names)


@pytest.mark.parametrize(
    ("path", "language_id"),
    [("a.py", "python"), ("a.jsx", "javascriptreact"), ("a.rs", "rust"), ("a.cu", "cuda-cpp"), ("a.q", None)],
)
def test_what_editors_call_a_file(path: str, language_id: str | None) -> None:
    assert language_id_of_path(path) == language_id


def test_languages_have_names_of_their_own() -> None:
    assert max(Counter(language.name for language in LANGUAGES).values()) == 1
    assert len(LANGUAGES) > 100


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a.py", "Python"),
        ("src/A.HPP", "C++"),
        ("CMakeLists.txt", "CMake"),
        ("notes.txt", "Text"),
        ("sub/Makefile", "Makefile"),
        ("Dockerfile", "Dockerfile"),
        (".bashrc", "Shell"),
        ("a.component.tsx", "TSX"),
        ("a.m", "Objective-C"),
    ],
)
def test_a_file_is_known_by_its_name(path: str, name: str) -> None:
    found = language_of_path(path)
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize("path", ["a", "a.unheard-of", "", "."])
def test_other_files_are_not_known(path: str) -> None:
    assert language_of_path(path) is None


@pytest.mark.parametrize(
    ("comment", "language_id"),
    [(comment, each) for comment, ids in COMMENTS.items() for each in ids.split()],
)
def test_comments_to_write(comment: tuple[str, str], language_id: str) -> None:
    language = language_of_id(language_id)
    assert language is not None
    assert language.comment is not None
    assert language.comment[:2] == comment


@pytest.mark.parametrize("language_id", ["json", "csv", "plaintext", "unheard-of"])
def test_what_has_no_comments_has_none_to_write(language_id: str) -> None:
    language = language_of_id(language_id)
    assert language is None or language.comment is None


def test_a_comment_that_is_written_is_read_as_one() -> None:
    """But for what only stands for a comment: reStructuredText's is a directive."""
    unread = []
    for language in LANGUAGES:
        written = language.comment or Comment("")
        starts = tuple(each.start.strip().lower() for each in language.read_comments)
        if written.start and not written.start.lower().startswith(starts):
            unread.append(language.name)
    assert unread == ["reStructuredText"]


@pytest.mark.parametrize(
    ("language_id", "family"),
    [("python", "python"), ("typescriptreact", "script"), ("rust", "c"), ("haskell", None), ("ruby", None)],
)
def test_families(language_id: str, family: str | None) -> None:
    language = language_of_id(language_id)
    assert language is not None
    assert language.family == family


@pytest.mark.parametrize(
    ("language_id", "blocks", "indent"),
    [
        ("python", "indentation", "    "),
        ("go", "braces", "\t"),
        ("ruby", "words", "  "),
        ("html", "tags", "  "),
    ],
)
def test_blocks_and_their_depth(language_id: str, blocks: str, indent: str) -> None:
    language = language_of_id(language_id)
    assert language is not None
    assert (language.blocks, language.indent) == (blocks, indent)


@pytest.mark.parametrize(("first", "second"), [("c", "cpp"), ("typescript", "javascript"), ("json", "yaml")])
def test_relations_go_both_ways(first: str, second: str) -> None:
    assert relatedness(first, first) == 1.0
    assert relatedness(first, second) == relatedness(second, first) == 0.7
    assert relatedness(first, "haskell") == 0.3


def test_the_corpus_calls_files_the_same() -> None:
    """Where both know an ending. The corpus's table is StarCoder's own, and says more: what is taken."""
    rows = [line.split("\t") for line in CORPUS_TABLE.read_text(encoding="utf-8").splitlines()]
    files = {(row[1], row[2]) for row in rows if len(row) > 3 and row[0] in ("starcoder", "starter")}
    known = [(name, ending, language_of_path(f"a.{ending}")) for name, ending in sorted(files - OTHERWISE)]
    both = [(name, ending, found.name) for name, ending, found in known if found is not None]
    assert len(both) > 200
    assert [row for row in both if row[0] != row[2]] == []


def test_the_room_needs_nothing_else_of_ours() -> None:
    script = (
        "import sys, model.languages.lexer, model.languages.line_kind, model.languages.words\n"
        "print(*(name for name in sys.modules if name.split('.')[0] in sys.argv[1:]))"
    )
    packages = ["lsp", "model", "training", "attribution", "numpy", "torch", "attrs"]
    shown = subprocess.run(
        [sys.executable, "-c", script, *packages], check=True, capture_output=True, text=True
    ).stdout.split()
    assert "model.languages.lexer" in shown
    assert [name for name in shown if not name.startswith("model.languages") and name != "model"] == []


@pytest.mark.parametrize("line", ["  )", "} else {", "else:", "elif x:", "end", "</p>", "finally {", "  fi"])
def test_lines_that_go_on_with_the_statement_above(line: str) -> None:
    assert goes_on(line)


@pytest.mark.parametrize("line", ["x = 1", "while x:", "ending = 1", "(a)", "<p>", ""])
def test_lines_that_do_not(line: str) -> None:
    assert not goes_on(line)


def test_words_and_marks() -> None:
    assert words_and_marks("foo_1(x) += 'é'\n") == ["foo_1", "(", "x", ")", "+", "=", "'", "é", "'"]
