"""What a finder of personal data answers: kinds and places."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum


class PiiKind(StrEnum):
    """Kinds of personal data; of two findings that overlap, the kind that stands first here counts."""

    KEY = "key"
    EMAIL = "email"
    IP = "ip"
    PASSWORD = "password"
    NAME = "name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Characters [start, end) of a text."""

    kind: PiiKind
    start: int
    end: int


Finder = Callable[[str], Iterable[Finding]]
