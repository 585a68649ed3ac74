"""Whether a document's licence allows training on it.

The file's own `SPDX-License-Identifier:` counts before what its repository says. The permissive
list is the Blue Oak Council's, as in The Stack (arXiv 2211.15533, §3.1). Of `A OR B` one is
enough, of `A AND B` both are needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from attribution.errors import ExpressionError
from attribution.sources.declarations import licence_of_declaration
from attribution.sources.spdx import evaluate
from training.corpus.errors import CorpusError
from training.corpus.records.document import Reason

PERMISSIVE_LIST = Path(__file__).with_name("permissive.txt")


@dataclass(frozen=True, kw_only=True)
class LicencePolicy:
    """`permissive`: SPDX identifiers in lower case. `unknown_kept`: documents without one are kept."""

    permissive: frozenset[str]
    unknown_kept: bool = False

    def why_not(self, license: str | None) -> Reason | None:
        """The reason to drop a document of this licence, or None."""
        if not license or license == "unknown":
            return None if self.unknown_kept else Reason.NO_LICENCE
        return None if self._allows(license) else Reason.NOT_PERMISSIVE

    def _allows(self, license: str) -> bool:
        try:
            return self._meets(license)
        except ExpressionError:  # not SPDX: the name of a licence, perhaps
            named = licence_of_declaration(license)
            return named is not None and self._meets(named)

    def _meets(self, expression: str) -> bool:
        return evaluate(expression, lambda licence: licence.id.lower() in self.permissive)


@lru_cache(maxsize=8)
def permissive_policy(
    lists: tuple[Path, ...] = (PERMISSIVE_LIST,), *, unknown_kept: bool = False
) -> LicencePolicy:
    """A policy of lists with one SPDX identifier a line; raises CorpusError."""
    return LicencePolicy(permissive=frozenset(_identifiers(lists)), unknown_kept=unknown_kept)


def _identifiers(lists: Sequence[Path]) -> list[str]:
    found = []
    for path in lists:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise CorpusError(f"cannot read the list of licences {path}: {error}") from error
        found += [name.lower() for line in lines if (name := line.partition("#")[0].strip())]
    return found
