"""What a check of `starcoder-lsp doctor` says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a check went."""

    GOOD = "good"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One finding. `remedy` is a sentence or a command; empty where nothing is to be done."""

    name: str
    verdict: Verdict
    finding: str
    remedy: str = ""
