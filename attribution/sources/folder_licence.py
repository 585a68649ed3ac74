"""The licence of a folder: what its metadata declares and its licence files hold, put together.

A folder that says something has spoken: what is not understood in it is unknown, and not the licence of the
folder above.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from attribution.errors import ExpressionError
from attribution.source import LicenceEvidence
from attribution.sources.declarations import bracketed, joined_by, licence_of_declaration, restricts
from attribution.sources.licences import licence_of_text
from attribution.sources.spdx import licences_in, parse

# What is kept of a declaration: some projects paste the whole text.
_DECLARED_CHARS = 200
# `LICENSE-MIT` beside `LICENSE-APACHE`: Rust's way of saying OR.
_ONE_OF_SEVERAL = re.compile(r"(?:un)?licen[cs]e[-._](?!md$|txt$|rst$)\w", re.IGNORECASE)
# They speak of what is bundled, which has folders of its own.
_OF_OTHERS = re.compile(r"third|3rd|vendor|bundled|\bdeps\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderLicence:
    """`texts` are the licence files with what they were recognised as; `refers_to` a file that the metadata
    names instead of a licence."""

    declared: str = ""
    declared_in: str = ""
    refers_to: str | None = None
    texts: tuple[tuple[str, str | None], ...] = ()

    @classmethod
    def of_text(cls, path: str, text: str) -> FolderLicence | None:
        """What one licence file says; None where it is about others' code."""
        if _OF_OTHERS.search(PurePosixPath(path).name):
            return None
        return cls(texts=((path, licence_of_text(text) or _short_name(text)),))

    def beside(self, other: FolderLicence | None) -> FolderLicence:
        """This, and what a file beside it says: the first declaration counts, and all texts."""
        if other is None:
            return self
        declaring = self if self.declared else other
        texts = dict((*self.texts, *other.texts))
        return replace(
            declaring, refers_to=self.refers_to or other.refers_to, texts=tuple(sorted(texts.items()))
        )

    @property
    def expression(self) -> str | None:
        """The declared licence; the detected one, too, where the declaration does not cover it."""
        declared, detected = licence_of_declaration(self.declared), self._detected
        if declared is None:
            # What is declared and not understood may take away from what was detected.
            return None if restricts(self.declared) else detected
        if detected is None:
            return declared
        if _families(detected) <= _families(declared):
            return declared
        return f"{bracketed(declared)} AND {bracketed(detected)}"

    @property
    def evidence(self) -> LicenceEvidence:
        """What the licence is known by."""
        return LicenceEvidence(
            declared=self.declared[:_DECLARED_CHARS] or None,
            declared_in=self.declared_in if self.declared else None,
            detected=self._detected,
            detected_in=", ".join(path for path, _ in self.texts) or None,
        )

    @property
    def _detected(self) -> str | None:
        """The licence of all texts: LGPL for its two, OR for a set of choices, else all hold."""
        known = {path: licence for path, licence in self.texts if licence is not None}
        licences = list(known.values())
        if any(licence.startswith("LGPL") for licence in licences):
            # The LGPL adds to the GPL, whose text goes with it.
            licences = [licence for licence in licences if not licence.startswith("GPL")]
        if len(known) < len(self.texts) and not self.declared:
            # One of several texts is not understood, and nobody says that it does not matter.
            return None
        is_choice = all(_ONE_OF_SEVERAL.match(PurePosixPath(path).name) for path, _ in self.texts)
        return joined_by(" OR " if is_choice else " AND ", licences)


def _short_name(text: str) -> str | None:
    """The licence that a file of one line names."""
    return licence_of_declaration(text) if len(text.split()) <= 6 else None


def _families(expression: str) -> set[str]:
    """The licences of an expression; a text does not say whether a later version may be taken."""
    try:
        found = licences_in(parse(expression))
    except ExpressionError:
        return {expression}
    return {re.sub(r"-(?:only|or-later)$|\+$", "", licence.id) for licence in found}
