"""What a check of `starcoder-lsp doctor` says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from model.local.redaction import without_credentials


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

    def __post_init__(self) -> None:
        """What is printed names no password."""
        object.__setattr__(self, "finding", without_credentials(self.finding))
        object.__setattr__(self, "remedy", without_credentials(self.remedy))
