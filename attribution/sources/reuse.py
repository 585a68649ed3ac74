"""Licences that stand beside files: REUSE.toml (REUSE 3.3, "REUSE.toml").

Knows nothing of folders but the paths in them.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from attribution.sources.declarations import joined_by

REUSE_FILE = "REUSE.toml"
_GLOB = re.compile(r"\\(.)|\*\*|\*|[^\\*]+", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """A path of `[[annotations]]`, its licence, and what that does to what the files say themselves."""

    pattern: re.Pattern[str]
    expression: str
    precedence: str  # closest, aggregate or override

    def with_own(self, own: str | None) -> str:
        """The licence of a file that says `own` of itself."""
        if own is None or self.precedence == "override":
            return self.expression
        if self.precedence == "aggregate":
            return joined_by(" AND ", [own, self.expression]) or own
        return own


def read_annotations(text: str) -> tuple[Annotation, ...]:
    """What a REUSE.toml says, the last first, which counts; nothing if it is malformed."""
    try:
        raw = tomllib.loads(text)
    except ValueError:
        return ()
    entries = raw.get("annotations", [])
    found = [one for entry in entries if isinstance(entry, dict) for one in _annotations(entry)]
    return tuple(reversed(found))


def _annotations(entry: Mapping[str, Any]) -> Iterator[Annotation]:
    expression = joined_by(" AND ", _texts(entry.get("SPDX-License-Identifier")))
    if expression is not None:
        precedence = str(entry.get("precedence", "closest"))
        for path in _texts(entry.get("path")):
            yield Annotation(pattern=_compiled(path), expression=expression, precedence=precedence)


def _texts(value: Any) -> list[str]:
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]


def _compiled(glob: str) -> re.Pattern[str]:
    """`*` is all but a slash, `**` all, `\\` takes the next character as it is."""
    parts = []
    for match in _GLOB.finditer(glob):
        word = match[0]
        parts.append(
            re.escape(match[1]) if match[1] else {"*": "[^/]*", "**": ".*"}.get(word, re.escape(word))
        )
    return re.compile("".join(parts), re.DOTALL)
