"""SPDX licence expressions (AND, OR, WITH, parentheses), evaluated.

A condition of `check --fail-on` is an expression too. Knows nothing of texts of licences.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from attribution.errors import ExpressionError

# Licences that ask for derived works under the same terms, by how their identifiers begin.
_COPYLEFT = re.compile(
    r"(A|L)?GPL-|MPL-|EPL-|CDDL-|CPL-|EUPL-|OSL-|SSPL-|CECILL-|MS-RL|Sleepycat|CC-BY-(NC-)?SA|OFL-|RPL-|QPL-"
)
_TOKEN = re.compile(r"\s*(\(|\)|[A-Za-z0-9][\w.+:-]*)")
_IDENTIFIER = re.compile(r"[A-Za-z0-9][\w.+-]*")


def is_copyleft(expression: str | None) -> bool:
    """Whether a licence leaves no choice but copyleft terms: `MIT OR GPL-2.0-only` leaves MIT."""
    if expression is None:
        return False
    try:
        return evaluate(expression, lambda identifier: _COPYLEFT.match(identifier) is not None, either=all)
    except ExpressionError:
        return any(_COPYLEFT.match(word) for word in _IDENTIFIER.findall(expression))


def satisfies(expression: str | None, condition: str) -> bool:
    """Whether a match's licence meets an SPDX condition.

    `condition` is an expression over identifiers, each true if it occurs in the match's licence:
    `GPL-3.0-only OR AGPL-3.0-only` is met by both. Raises `ExpressionError` on a malformed condition.
    """
    named = {word.casefold() for word in _IDENTIFIER.findall(expression or "")}
    return evaluate(condition, lambda identifier: identifier.casefold() in named)


def evaluate(
    expression: str,
    truth: Callable[[str], bool],
    either: Callable[[list[bool]], bool] = any,
) -> bool:
    """Evaluate an expression: `either` joins what OR separates, its opposite what AND does."""
    tokens = _tokens(expression)
    both: Callable[[list[bool]], bool] = all if either is any else any
    value = _or(tokens, truth, either, both)
    if tokens:
        raise ExpressionError(f"{expression!r} is not a licence expression: {tokens[-1]!r} is left over")
    return value


def _tokens(expression: str) -> list[str]:
    """The tokens, the first last, so that `pop` takes them in order."""
    found = []
    at = 0
    text = expression.strip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ExpressionError(f"{expression!r} is not a licence expression: unexpected {text[at]!r}")
        found.append(match[1])
        at = match.end()
    if not found:
        raise ExpressionError("the licence expression is empty")
    return found[::-1]


_Join = Callable[[list[bool]], bool]


def _or(tokens: list[str], truth: Callable[[str], bool], either: _Join, both: _Join) -> bool:
    values = [_and(tokens, truth, either, both)]
    while tokens and tokens[-1] == "OR":
        tokens.pop()
        values.append(_and(tokens, truth, either, both))
    return either(values)


def _and(tokens: list[str], truth: Callable[[str], bool], either: _Join, both: _Join) -> bool:
    values = [_one(tokens, truth, either, both)]
    while tokens and tokens[-1] == "AND":
        tokens.pop()
        values.append(_one(tokens, truth, either, both))
    return both(values)


def _one(tokens: list[str], truth: Callable[[str], bool], either: _Join, both: _Join) -> bool:
    token = tokens.pop() if tokens else ")"
    if token == "(":
        value = _or(tokens, truth, either, both)
        if not tokens or tokens.pop() != ")":
            raise ExpressionError("a licence expression lacks its closing parenthesis")
        return value
    if token in {")", "AND", "OR", "WITH"}:
        raise ExpressionError(f"a licence expression has {token!r} where a licence should be")
    if tokens and tokens[-1] == "WITH":
        tokens.pop()
        if not tokens or tokens.pop() in {"(", ")", "AND", "OR", "WITH"}:
            raise ExpressionError("a licence expression lacks the exception after WITH")
    return truth(token)
