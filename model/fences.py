"""Fenced code blocks of Markdown (CommonMark 0.31, §4.5), read line by line.

Only what a conversation about code needs: where blocks begin and end. Fences within lists and quotes
are read as if they stood alone. Knows nothing about what is in the blocks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})[ \t]*(.*)")
LINE = re.compile(r"[^\n]*\n|[^\n]+\Z")


class FenceState:
    """Whether a text, given line by line, is inside a fenced block."""

    def __init__(self) -> None:
        self.fence = ""
        """The fence that opened the block, "" outside of blocks."""
        self.info = ""
        """What stood behind that fence: the language."""

    def take(self, line: str) -> bool:
        """Take the next line; returns whether it is a fence itself."""
        match = _FENCE.fullmatch(line.rstrip("\r\n"))
        if match is None:
            return False
        fence, info = match[1], match[2].strip()
        if not self.fence:
            if fence[0] == "`" and "`" in info:
                return False  # inline code of several backticks
            self.fence, self.info = fence, info
            return True
        if fence[0] != self.fence[0] or len(fence) < len(self.fence) or info:
            return False
        self.fence = self.info = ""
        return True


@dataclass(frozen=True, kw_only=True)
class CodeBlock:
    """One fenced block: `text[start:end]` is its code, line ends included."""

    start: int
    end: int
    info: str
    closed: bool

    @property
    def language(self) -> str:
        """The first word behind the fence, "" if there is none."""
        return (self.info.split() or [""])[0]


def code_blocks(text: str) -> Iterator[CodeBlock]:
    """The fenced blocks of a text, in order; one that is never closed reaches to the text's end."""
    state = FenceState()
    start, info = 0, ""
    for match in LINE.finditer(text):
        was_inside = bool(state.fence)
        if not state.take(match[0]):
            continue
        if not was_inside:
            start, info = match.end(), state.info
        else:
            yield CodeBlock(start=start, end=match.start(), info=info, closed=True)
    if state.fence:
        yield CodeBlock(start=start, end=len(text), info=info, closed=False)


def closed_off(text: str) -> str:
    """The text with an end to the block that it leaves open."""
    state = FenceState()
    for match in LINE.finditer(text):
        state.take(match[0])
    return f"{text.rstrip()}\n{state.fence}" if state.fence else text


def fenced(code: str, language: str = "") -> str:
    """Code as a block of its own, by a fence that nothing in it can end."""
    longest = max((len(run) for run in re.findall(r"`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{code.rstrip()}\n{fence}"
