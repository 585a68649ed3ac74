"""Conditions on licences, as `--fail-on`, `--allow` and the policy file state them.

A condition joins SPDX identifiers and the words `any`, `copyleft` and `unknown` by AND and OR. A word that
is neither is an error with the nearest ones: a gate whose condition nothing can meet would stand open.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from itertools import product

from attribution.errors import ExpressionError
from attribution.sources.spdx import (
    UNKNOWN,
    Expression,
    Licence,
    binds,
    is_reference,
    licences_in,
    nearest,
    parse,
    permits,
)

ANY, COPYLEFT, UNKNOWN_WORD = "any", "copyleft", "unknown"
WORDS = (ANY, COPYLEFT, UNKNOWN_WORD)


@dataclass(frozen=True, slots=True)
class _Term:
    """One word or licence of a condition."""

    word: str | None = None
    licence: Licence = UNKNOWN

    def holds(self, licence: Licence) -> bool:
        """Of a licence. One without an exception also stands for itself with any."""
        if self.word is not None:
            meets = {ANY: True, COPYLEFT: licence.is_copyleft, UNKNOWN_WORD: not licence.is_known}
            return meets[self.word]
        same = licence.id.casefold() == self.licence.id.casefold()
        return same and self.licence.exception in (None, licence.exception)

    def allows(self, licence: Licence) -> bool:
        """As `holds`, but an exception that nobody knows may take away what the licence gives."""
        named = licence.exception == self.licence.exception
        return self.holds(licence) and (licence.is_exception_known or named)


@dataclass(frozen=True)
class Condition:
    """A condition in conjunctive form: each clause has to be met, by any of its terms."""

    text: str
    clauses: tuple[tuple[_Term, ...], ...]

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Raises `ExpressionError` that names an unknown word and the nearest known ones."""
        return cls(text, tuple(tuple(map(_term, clause)) for clause in _clauses(parse(text))))

    def met_by(self, expression: str | None) -> bool:
        """Whether a licence meets the condition, whatever choice it leaves (`OR`); all of `AND` apply."""
        return all(binds(expression, partial(_any_holds, clause)) for clause in self.clauses)


def _any_holds(clause: Iterable[_Term], licence: Licence) -> bool:
    return any(term.holds(licence) for term in clause)


@dataclass(frozen=True)
class AllowList:
    """Licences of which at least one choice must consist."""

    terms: tuple[_Term, ...]

    @classmethod
    def parse(cls, texts: Iterable[str]) -> AllowList:
        """Of expressions that join licences by OR. Raises `ExpressionError`."""
        terms: list[_Term] = []
        for text in texts:
            tree = parse(text)
            if len(_clauses(tree)) > 1:
                raise ExpressionError(f"{text!r}: an allow-list joins licences by OR, not by AND")
            terms += map(_term, licences_in(tree))
        return cls(tuple(terms))

    def allows(self, expression: str | None) -> bool:
        """Whether a licence leaves a choice that is allowed; one that nobody knows does not."""
        return permits(expression, lambda licence: any(term.allows(licence) for term in self.terms))


def _clauses(tree: Expression) -> list[tuple[Licence, ...]]:
    """The conjunctive form of a condition: clauses that all have to be met, each of alternatives."""
    if isinstance(tree, Licence):
        return [(tree,)]
    parts = [_clauses(part) for part in tree.parts]
    if not tree.is_or:
        return [clause for part in parts for clause in part]
    return [tuple(one for clause in chosen for one in clause) for chosen in product(*parts)]


def _term(licence: Licence) -> _Term:
    if licence.exception is None and licence.id.casefold() in WORDS:
        return _Term(word=licence.id.casefold())
    if licence.category is None and not is_reference(licence.id):
        close = nearest(licence.id, WORDS)
        hint = (
            f"the nearest: {', '.join(close)}" if close else f"use an SPDX identifier, or {', '.join(WORDS)}"
        )
        raise ExpressionError(f"{licence.id!r} is no licence that SPDX or LicenseDB knows; {hint}")
    if not licence.is_exception_known:
        raise ExpressionError(f"{licence.exception!r} is no exception that SPDX or LicenseDB knows")
    return _Term(licence=licence)
