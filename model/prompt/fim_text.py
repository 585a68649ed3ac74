"""Fill-in-the-middle prompts that were written out as text, with the names of the model's sentinels.

Clients that know a model's own form send its prompt so instead of `prompt` and `suffix`. Knows how the parts
are told from one another; what is made of them is `model.prompt.fim`'s.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class FimText:
    """The parts of a written-out prompt."""

    before: str
    """What stands before the first sentinel: other files, or what is no such prompt."""
    prefix: str
    suffix: str


class FimTextReader:
    """Tells prompts of one model's form from other texts."""

    def __init__(self, *, prefix: str, suffix: str, middle: str) -> None:
        """The names of the three sentinels."""
        self._names = (prefix, suffix, middle)
        p, s, m = map(re.escape, self._names)
        # Prefix first; suffix first; and suffix first as StarCoder has it, with the prefix at the end.
        self._forms = [
            re.compile(form, re.DOTALL)
            for form in (
                f"(?P<before>.*?){p}(?P<prefix>.+){s}(?P<suffix>.*){m}",
                f"(?P<before>.*?){s}(?P<suffix>.*){p}(?P<prefix>.*){m}",
                f"(?P<before>.*?){p}{s}(?P<suffix>.*){m}(?P<prefix>.*)",
            )
        ]

    def read(self, text: str) -> FimText | None:
        """The parts, if the text is in exactly one of the forms, with each sentinel once."""
        if any(text.count(name) != 1 for name in self._names):
            return None
        for form in self._forms:
            if match := form.fullmatch(text):
                return FimText(**match.groupdict())
        return None
