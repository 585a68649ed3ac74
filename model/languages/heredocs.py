"""How text is read that begins with the next line: `<<EOF`, and the blocks of YAML."""

from __future__ import annotations

import re
from collections.abc import Iterator

from model.languages.language import Heredoc, Quote
from model.languages.run import LINE_END, Grammar, LexerRun, Mode, Modes, Token, line_before, pop_at_line_end
from model.languages.state import Heir, Scope
from model.languages.strings import StringModes


class HeredocModes:
    """The modes of one language's heredocs."""

    def __init__(self, heredoc: Heredoc, strings: StringModes) -> None:
        self._heredoc = heredoc
        self._strings = strings
        self._quote = Quote("<<", multiline=True, interpolations=heredoc.interpolations)
        self._modes = Modes()

    def tokens(self) -> Iterator[Token]:
        """What announces a heredoc, and the line end with which it begins."""
        is_marked = "(?P<mark>" in self._heredoc.start
        yield Token(
            self._heredoc.start, "<" if is_marked else "|>", self._marked if is_marked else self._indented
        )
        yield Token(LINE_END, "\r\n", _begin)

    def _marked(self, run: LexerRun, match: re.Match[str], start: int) -> None:
        closer = f"\n{match['mark']}"
        mode = self._strings.mode(self._quote, closer)
        run.heirs.append(Heir(run.text[start : run.at], closer, mode))

    def _indented(self, run: LexerRun, match: re.Match[str], start: int) -> None:
        line = line_before(run.text, start)
        indent = len(line) - len(line.lstrip(" "))
        mode = self._modes.get(indent, lambda: Mode(lambda: _deeper_than(indent), quote=self._quote))
        run.heirs.append(Heir(run.text[start : run.at], "", mode))


def _begin(run: LexerRun, match: re.Match[str], start: int) -> None:
    """A line end: what was announced on the line begins, the last of it outermost."""
    heirs, run.heirs = run.heirs, []
    for heir in reversed(heirs):
        run.push(Scope.STRING, heir.closer, run.at, heir.mode, heir.opener)


def _deeper_than(indent: int) -> Grammar:
    """Lines that are deeper, or blank; read from the start of one."""
    deep = rf" {{{indent + 1}}}[^\r\n]*+(?:{LINE_END}|\Z)| *(?:{LINE_END}|\Z)"
    return Grammar([Token(r"(?=[\s\S])", " ", pop_at_line_end)], plain=deep)
