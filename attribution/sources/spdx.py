"""SPDX licence expressions, evaluated over licences with their categories.

Syntax is the library license-expression's; identifiers and categories are those of ScanCode's LicenseDB,
whose index that library bundles. It is loaded when an expression is read: an installation without the extra
`attribution` lacks it. Knows nothing of texts of licences, and not what anybody thinks of a category.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from attribution.errors import ExpressionError

# LicenseDB's categories of licences that ask for derived works under the same terms.
COPYLEFT = frozenset({"Copyleft", "Copyleft Limited"})
# From the one that leaves the least freedom; what is unknown stands between copyleft and the harmless.
_STRICTEST_FIRST = (
    *(
        "Commercial",
        "Proprietary Free",
        "Free Restricted",
        "Source-available",
        "Copyleft",
        "Copyleft Limited",
    ),
    *(None, "Unstated License", "CLA", "Patent License", "Permissive", "Public Domain"),
)
_WORD = re.compile(r"[A-Za-z0-9][\w.+-]*")
_REFERENCE = re.compile(r"(DocumentRef-[\w.-]+:)?LicenseRef-[\w.-]+", re.IGNORECASE)
_NEAREST = 3


@dataclass(frozen=True, slots=True)
class Licence:
    """One licence of an expression, with the exception after WITH.

    `category` is LicenseDB's, None where it does not know the licence.
    """

    id: str
    category: str | None
    exception: str | None = None
    is_exception_known: bool = True

    @property
    def is_known(self) -> bool:
        """Whether LicenseDB knows it, exception and all."""
        return self.category is not None and self.is_exception_known

    @property
    def is_copyleft(self) -> bool:
        """Whether it asks for derived works under the same terms."""
        return self.category in COPYLEFT

    @property
    def strictness(self) -> int:
        """The larger, the less it allows."""
        return len(_STRICTEST_FIRST) - _STRICTEST_FIRST.index(self.category)


@dataclass(frozen=True, slots=True)
class _Entry:
    """An identifier as SPDX spells it today."""

    id: str
    category: str
    is_exception: bool


@lru_cache(maxsize=1)
def _entries() -> Mapping[str, _Entry]:
    """LicenseDB by identifier without case, deprecated and other spellings among them."""
    from license_expression import get_license_index  # type: ignore[import-untyped] # it has no types

    found: dict[str, _Entry] = {}
    others: dict[str, _Entry] = {}
    for row in get_license_index():
        entry = _Entry(row["spdx_license_key"] or "", row["category"], row["is_exception"])
        if entry.id and not row["is_deprecated"]:
            found[entry.id.casefold()] = entry
            others.update((name.casefold(), entry) for name in row["other_spdx_license_keys"])
    return {**others, **found}


def known_licence(identifier: str) -> Licence | None:
    """The licence of an identifier in any case and of any age; None if LicenseDB does not have it."""
    entry = _entry(identifier)
    return None if entry is None or entry.is_exception else Licence(entry.id, entry.category)


def _entry(identifier: str) -> _Entry | None:
    """`Apache-2.0+` is no entry of its own: who may take a later version may take this one."""
    entries, name = _entries(), identifier.casefold()
    return entries.get(name) or entries.get(name.removesuffix("+"))


def is_reference(identifier: str) -> bool:
    """Whether an identifier names a licence that SPDX does not list."""
    return _REFERENCE.fullmatch(identifier) is not None


def nearest(word: str, others: tuple[str, ...] = ()) -> list[str]:
    """Identifiers that look like a word, and those of `others` that do, the likeliest first."""
    spelt = {name: entry.id for name, entry in _entries().items() if not entry.is_exception}
    spelt.update((other.casefold(), other) for other in others)
    close = get_close_matches(word.casefold(), spelt, n=2 * _NEAREST, cutoff=0.6)
    return list(dict.fromkeys(spelt[name] for name in close))[:_NEAREST]


@dataclass(frozen=True, slots=True)
class Joined:
    """Parts of an expression that OR or AND joins."""

    is_or: bool
    parts: tuple[Expression, ...]


Expression = Licence | Joined


@lru_cache(maxsize=4096)
def parse(expression: str) -> Expression:
    """The tree of an expression. Raises `ExpressionError`."""
    from license_expression import ExpressionError as Malformed
    from license_expression import Licensing, ParseError

    try:
        tree = Licensing().parse(expression, simple=True)
    except (Malformed, ParseError) as error:
        raise ExpressionError(f"{expression!r} is not a licence expression: {error}") from error
    if tree is None:
        raise ExpressionError("the licence expression is empty")
    return _tree(tree)


def _tree(parsed: Any) -> Expression:
    """The library's tree as ours, with every licence looked up."""
    from license_expression import AND, OR, LicenseWithExceptionSymbol

    if isinstance(parsed, AND | OR):
        return Joined(isinstance(parsed, OR), tuple(map(_tree, parsed.args)))
    if not isinstance(parsed, LicenseWithExceptionSymbol):
        return known_licence(parsed.key) or Licence(parsed.key, None)
    licence, exception = _tree(parsed.license_symbol), parsed.exception_symbol.key
    assert isinstance(licence, Licence)
    entry = _entry(exception)
    if entry is None or not entry.is_exception:
        return Licence(licence.id, licence.category, exception, is_exception_known=False)
    return Licence(licence.id, licence.category, entry.id)


def licences_in(tree: Expression) -> Iterator[Licence]:
    """The licences of an expression in their order."""
    if isinstance(tree, Licence):
        yield tree
    else:
        for part in tree.parts:
            yield from licences_in(part)


def evaluate(
    expression: str,
    truth: Callable[[Licence], bool],
    either: Callable[[list[bool]], bool] = any,
) -> bool:
    """Evaluate an expression: `either` joins what OR separates, its opposite what AND does.

    Raises `ExpressionError`.
    """
    return _value(parse(expression), truth, either)


def _value(tree: Expression, truth: Callable[[Licence], bool], either: Callable[[list[bool]], bool]) -> bool:
    if isinstance(tree, Licence):
        return truth(tree)
    values = [_value(part, truth, either) for part in tree.parts]
    if tree.is_or:
        return either(values)
    return all(values) if either is any else any(values)


def binds(expression: str | None, truth: Callable[[Licence], bool]) -> bool:
    """Whether every choice that a licence leaves has a licence of which `truth` holds.

    What is no expression leaves no choice: all that it names holds, and something unknown besides.
    """
    if not expression:
        return truth(UNKNOWN)
    try:
        return evaluate(expression, truth, either=all)
    except ExpressionError:
        return any(map(truth, _named(expression)))


def permits(expression: str | None, truth: Callable[[Licence], bool]) -> bool:
    """Whether a licence leaves a choice all of whose licences `truth` holds of."""
    if not expression:
        return False
    try:
        return evaluate(expression, truth)
    except ExpressionError:
        return all(map(truth, _named(expression)))


# What is not known to be any licence.
UNKNOWN = Licence("", None)


def _named(text: str) -> list[Licence]:
    found = (known_licence(word) for word in _WORD.findall(text))
    return [*(licence for licence in found if licence is not None), UNKNOWN]


@lru_cache(maxsize=4096)
def strictness(expression: str | None) -> int:
    """How little a licence allows, by the most lenient choice that it leaves; larger is stricter."""
    if not expression:
        return UNKNOWN.strictness
    try:
        return _strictness(parse(expression))
    except ExpressionError:
        return max(licence.strictness for licence in _named(expression))


def _strictness(tree: Expression) -> int:
    if isinstance(tree, Licence):
        return tree.strictness
    parts = [_strictness(part) for part in tree.parts]
    return min(parts) if tree.is_or else max(parts)
