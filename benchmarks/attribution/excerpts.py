"""Excerpts of twenty lines, and what becomes of code that is copied: new lay-out, new names, edits."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from attribution.source import SourceDocument
from attribution.tokens.shape import KEYWORDS
from benchmarks.attribution.judge import tokens_of

LINES = 20
# Shorter excerpts (blank lines, brackets) are nobody's.
MIN_TOKENS = 40
_NAME = re.compile(rb"[A-Za-z_]\w{2,}")
_KEYWORDS = frozenset(KEYWORDS.split())


@dataclass(frozen=True, kw_only=True)
class Excerpt:
    """A query, what stood there before it was changed, and the document it was cut from."""

    text: bytes
    original: bytes
    document: SourceDocument


def draw_excerpts(documents: Sequence[SourceDocument], count: int, dice: random.Random) -> list[Excerpt]:
    """Twenty lines each from files drawn at random. Raises `ValueError` if there are too few."""
    drawn: list[Excerpt] = []
    for _ in range(200 * count):
        document = dice.choice(documents)
        lines = document.text.splitlines(keepends=True)
        if len(lines) >= LINES:
            start = dice.randrange(len(lines) - LINES + 1)
            text = b"".join(lines[start : start + LINES])
            if len(tokens_of(text)) >= MIN_TOKENS:
                drawn.append(Excerpt(text=text, original=text, document=document))
                if len(drawn) == count:
                    return drawn
    raise ValueError(f"only {len(drawn)} of {count} excerpts found; give more sources or ask for fewer")


def changed(excerpts: Sequence[Excerpt], change: str) -> list[Excerpt]:
    """The excerpts after a change of `CHANGES`, the same one every time."""
    apply, dice = CHANGES[change], random.Random(change)
    return [
        Excerpt(text=apply(one.original, dice), original=one.original, document=one.document)
        for one in excerpts
    ]


def _verbatim(text: bytes, dice: random.Random) -> bytes:
    return text


def _reformatted(text: bytes, dice: random.Random) -> bytes:
    """Every stretch of white space is another one."""
    return re.sub(rb"\s+", lambda _: dice.choice([b" ", b"  ", b"\t", b"\n", b"\r\n    "]), text)


def _renamed(text: bytes, dice: random.Random) -> bytes:
    """Three in ten of its names, wherever they stand, are others."""
    names = sorted(set(_NAME.findall(text)) - _KEYWORDS)
    others = {name: b"renamed_%d" % at for at, name in enumerate(names) if dice.random() < 0.3}
    return re.sub(rb"[A-Za-z_]\w*", lambda name: others.get(name[0], name[0]), text)


def _edited(text: bytes, dice: random.Random) -> bytes:
    """One word in twenty is another."""
    parts = re.split(rb"(\s+)", text)
    words = [at for at in range(0, len(parts), 2) if parts[at]]
    for start in range(0, len(words), 20):
        parts[dice.choice(words[start : start + 20])] = b"edited"
    return b"".join(parts)


CHANGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "verbatim": _verbatim,
    "reformatted": _reformatted,
    "30 % of names changed": _renamed,
    "one word in 20 edited": _edited,
}
