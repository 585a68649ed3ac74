"""The lexer of half-written code: never fails, never slow, the same in parts, right about real files."""

from __future__ import annotations

import gc
import os
import sys
import sysconfig
import time
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.languages.language import Language
from model.languages.languages import LANGUAGES, UNKNOWN, language_of_id, language_of_path
from model.languages.lexer import lexer_of
from model.languages.state import LexerState, Open, Scope

ALL = [*LANGUAGES, UNKNOWN]
FRAGMENTS = [
    *("a", "B", "f", "r", "q", "s", "1", " ", "  ", "\n", "\n", "\r\n", "\r", "\\", "\t"),
    *(
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "<",
        ">",
        "</a>",
        "<a",
        "/>",
        "<script>",
        "</script>",
        "<?php ",
        "?>",
    ),
    *("'", '"', '"""', "'''", "`", "${", "#{", "$(", "{{", "}}", "{%", "\\(", "$", "@", "%"),
    *("#", "//", "/*", "*/", "--", "--[[", "]]", "(*", "*)", ";", "<!--", "-->", "/", "=begin", "=end"),
    *("<<EOS", "EOS", "<<<EOS", "|", "a: |", "- ", ": ", "=", ",", "&&", "return ", "'a'", "%w[", "~s("),
]
CODE = st.lists(st.sampled_from(FRAGMENTS), max_size=40).map("".join)


def opened(state: LexerState) -> list[tuple[Scope, str, str]]:
    return [(one.kind, one.opener, one.closer) for one in state.stack]


@settings(max_examples=400)
@given(language=st.sampled_from(ALL), text=CODE)
def test_marks_and_regions_account_for_the_whole_text(language: Language, text: str) -> None:
    lexer = lexer_of(language)
    start = lexer.start(text)
    scan = lexer.scan(text, start)
    kinds = [one.kind for one in start.stack]
    at = 0
    for edge in scan.edges:
        assert at <= edge.start_char <= edge.end_char <= len(text)
        at = edge.start_char
        if edge.step > 0:
            kinds.append(edge.kind)
        elif edge.step < 0:
            assert kinds.pop() is edge.kind
        assert edge.n_brackets == kinds.count(Scope.BRACKET)
    assert kinds == [one.kind for one in scan.state.stack]
    regions = lexer.regions(text, start)
    assert "".join(text[one.start_char : one.end_char] for one in regions) == text
    assert all(one.start_char < one.end_char for one in regions)


@settings(max_examples=400)
@given(language=st.sampled_from(ALL), text=CODE, data=st.data())
def test_parts_that_end_with_lines_are_read_as_the_whole(
    language: Language, text: str, data: st.DataObject
) -> None:
    lexer = lexer_of(language)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").splitlines(keepends=True)
    text = "".join(lines)
    cut = data.draw(st.integers(0, len(lines)))
    start = lexer.start(text)
    before, after = "".join(lines[:cut]), "".join(lines[cut:])
    whole, first = lexer.scan(text, start), lexer.scan(before, start)
    second = lexer.scan(after, first.state)
    assert opened(second.state) == opened(whole.state)
    shifted = [
        edge._replace(start_char=edge.start_char + len(before), end_char=edge.end_char + len(before))
        for edge in second.edges
    ]
    assert first.edges + shifted == whole.edges


@pytest.mark.parametrize("language", ALL, ids=lambda language: language.name)
def test_every_language_reads_every_beginning(language: Language) -> None:
    """Each mode's expression is compiled where it is first met."""
    for fragment in FRAGMENTS:
        regions = lexer_of(language).regions(f"x = {fragment}a 1 {fragment * 2}\n{fragment}")
        assert regions


# Texts that would make careless expressions start over and over again.
ADVERSARIAL = [
    *(("python", piece) for piece in ('f"{', "(", "}", "({", "'", '"""', "\\", " ", "f'{:")),
    *(("typescriptreact", piece) for piece in ("/[", "=/[", "`${", "a<", "=<a", "</b>", "<T", "/*")),
    *(("cpp", piece) for piece in ("a<", 'R"', "'a", "#include <")),
    *(("rust", piece) for piece in ("/*", 'r#"', "'a", "a::<")),
    *(("ruby", piece) for piece in ("<<EOS\n", "%w[", "=begin\n", "/", '"#{')),
    *(("perl", piece) for piece in ("s/", "q{", "s{", "=pod\n", "<<EOS;\n")),
    *(("html", piece) for piece in ("<a", "<a></b>", "<script>", "<!--", "</script")),
    *(("php", piece) for piece in ("<?php ?>", "<<<A\n", '"{$')),
    *(("vue", piece) for piece in ("{{", "{{{ }}")),
    *(("yaml", piece) for piece in ("a: |\n", "\n ", "- [")),
    *(("haskell", piece) for piece in ("--", "{-", "-->")),
    *(("vim", piece) for piece in (' "', '"\n')),
    *(("", piece) for piece in ("it's ", '"', "//")),
]


@pytest.mark.parametrize(("language", "piece"), ADVERSARIAL)
def test_time_grows_with_the_text(language: str, piece: str) -> None:
    """Twice the text takes about twice the time; what is quadratic would take four times."""
    lexer = lexer_of(language_of_id(language))
    lexer.scan(piece * 10)  # compiles

    def seconds(chars: int) -> float:
        text = piece * (chars // len(piece))
        gc.disable()  # it visits all that was made so far, again and again
        started = time.process_time()
        lexer.scan(text)
        found = time.process_time() - started
        gc.enable()
        return found

    long, short = seconds(50_000), seconds(25_000)
    if long > 2.5 * short:  # what else the machine does may have been in between
        long, short = (min(found, seconds(n), seconds(n)) for found, n in ((long, 50_000), (short, 25_000)))
    assert long < 3 * short + 0.02


class TestState:
    def at(self, language: str, drawn: str) -> LexerState:
        return lexer_of(language_of_id(language)).scan(drawn.split("║")[0]).state

    def innermost(self, language: str, drawn: str) -> Open | None:
        return self.at(language, drawn).innermost

    def test_regions(self) -> None:
        text = 'x = f"a{b}c"  # d\n'
        shown = [
            (text[one.start_char : one.end_char], one.kind)
            for one in lexer_of(language_of_id("python")).regions(text)
        ]
        assert shown == [
            ("x = f", Scope.CODE),
            ('"a', Scope.STRING),
            ("{b}", Scope.INTERPOLATION),
            ('c"', Scope.STRING),
            ("  ", Scope.CODE),
            ("# d", Scope.COMMENT),
            ("\n", Scope.CODE),
        ]

    def test_a_string_knows_its_escapes_and_interpolations(self) -> None:
        one = self.innermost("kotlin", 'f("a║')
        assert one is not None
        assert one.quote is not None
        assert (one.kind, one.closer, one.quote.escape, one.quote.multiline) == (
            Scope.STRING,
            '"',
            "\\",
            False,
        )
        assert [code.start for code in one.quote.interpolations] == ["${", "$"]

    def test_code_in_a_string_is_code(self) -> None:
        state = self.at("python", 'f"{a + (║')
        assert not state.is_text
        assert state.innermost is not None
        assert state.innermost.kind is Scope.INTERPOLATION

    def test_depth_of_code_in_code(self) -> None:
        kinds = [one.kind for one in self.at("javascript", "`${`${a║").stack]
        assert kinds.count(Scope.INTERPOLATION) == 2

    def test_attributes_and_types(self) -> None:
        one = self.innermost("html", "<a href ║")
        assert one is not None
        assert one.kind is Scope.TAG
        assert self.at("java", "List<║").stack[-1].kind is Scope.ANGLE

    def test_what_a_line_end_closes(self) -> None:
        comment, string, block = (self.innermost("c", text) for text in ("// a", '"a', "/* a"))
        assert comment is not None
        assert string is not None
        assert block is not None
        assert (comment.ends_with_line, string.ends_with_line, block.ends_with_line) == (True, True, False)

    def test_a_text_may_begin_in_a_script(self) -> None:
        assert self.at("vue", "if (a) {\n</script>\n<template>║").closers == ("</template>",)

    def test_what_follows_a_cursor_closes_what_is_open_there(self) -> None:
        lexer = lexer_of(language_of_id("python"))
        state = lexer.scan('print(f"{x').state
        assert lexer.scan('}")\n', state).state == LexerState()

    def test_a_bracket_without_its_opener(self) -> None:
        edges = lexer_of(language_of_id("c")).scan("a ) ]").edges
        assert [(edge.kind, edge.step) for edge in edges] == [(Scope.BRACKET, 0), (Scope.BRACKET, 0)]


FOLDERS = (
    *(sysconfig.get_path("stdlib"), sys.prefix, "/usr/include", "/usr/local/go/src", "/usr/lib/node_modules"),
    *("/usr/lib/git-core", "/usr/share/cmake-3.25", "/usr/share/perl", "/usr/share/tcltk", "/usr/share/fish"),
    *("/usr/share/nvim", "/usr/share/doc"),
)


@cache
def files() -> dict[str, list[Path]]:
    """Source files that came with what is installed here, by the endings of their names."""
    found: dict[str, list[Path]] = {}
    for folder in FOLDERS:
        for root, _, names in os.walk(folder):
            for name in sorted(names):
                path = Path(root, name)
                if not any(word in str(path) for word in ODD):
                    found.setdefault(path.suffix[1:], []).append(path)
    return found


# Files that are no valid text of what their name says, or that test what no lexer without a grammar sees.
ODD = ("test", "bad", "lib2to3", "invalid", "TUTORIAL", "FindSelfPackers")
SUFFIXES = (
    "py pyi pyx c h cpp hpp js mjs cjs ts css html xml json toml yml go lua pl php sh fish cmake tcl el"
)


@pytest.mark.parametrize("suffix", SUFFIXES.split())
def test_finished_files_leave_nothing_open(suffix: str) -> None:
    lexer = lexer_of(language_of_path(f"a.{suffix}"))
    paths = [path for path in files().get(suffix, []) if path.is_file() and path.stat().st_size < 100_000]
    if not paths:
        pytest.skip(f"no .{suffix} files on this machine")
    unfinished = []
    chosen = paths[:: max(len(paths) // 100, 1)]
    for path in chosen:
        text = path.read_text(encoding="utf-8", errors="replace")
        still = [one for one in lexer.scan(text).state.stack if one.closer and one.kind is not Scope.COMMENT]
        if still:
            unfinished.append((str(path), [one.opener for one in still]))
    # Macros that open what others close are no fault of the lexer.
    assert len(unfinished) <= 0.03 * len(chosen), unfinished
