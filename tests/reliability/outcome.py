"""What a part of the harness says: one line with its figure, and each failure on a line of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """`figure` is one line for the table."""

    figure: str
    failures: Sequence[str] = ()
