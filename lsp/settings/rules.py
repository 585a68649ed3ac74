"""What a setting's value may be: small rules that accept, convert and read from text.

A rule knows one value at a time and nothing about settings or where they come from.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Rule:
    """`expected` finishes the sentence "expected …" of a message."""

    expected: str
    accepts: Callable[[Any], bool]
    convert: Callable[[Any], Any] = lambda value: value
    # An environment variable's text as a value. What it cannot read stays text, and `accepts` refuses it.
    from_text: Callable[[str], Any] = lambda text: text
    # The words of a choice, in its order.
    values: tuple[str, ...] = ()


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _read_number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _read_boolean(text: str) -> Any:
    known = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False}
    return known.get(text.strip().lower(), False if text.strip().lower() == "off" else text)


def _is_text_list(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(item, str) and item for item in value)


def integer(lowest: int, highest: int) -> Rule:
    """A whole number; 64.0 counts as one, because Lua and JavaScript do not tell them apart."""
    return Rule(
        expected=f"a whole number from {lowest} to {highest}",
        accepts=lambda value: _is_number(value) and value == value // 1 and lowest <= value <= highest,
        convert=int,
        from_text=_read_number,
    )


def number(lowest: float, highest: float) -> Rule:
    """A number in a closed range (NaN is in none)."""
    return Rule(
        expected=f"a number from {lowest:g} to {highest:g}",
        accepts=lambda value: _is_number(value) and lowest <= value <= highest,
        convert=float,
        from_text=_read_number,
    )


def choice(*values: str) -> Rule:
    """One of a few words."""
    return Rule(
        expected=f"one of {', '.join(values)}",
        accepts=lambda value: isinstance(value, str) and value in values,
        values=values,
    )


def pattern(expression: str, expected: str) -> Rule:
    """A text that an expression matches as a whole."""
    compiled = re.compile(expression)
    return Rule(
        expected=expected,
        accepts=lambda value: isinstance(value, str) and compiled.fullmatch(value) is not None,
    )


def optional(rule: Rule) -> Rule:
    """What `rule` takes, or "" for nothing."""
    return replace(
        rule,
        expected=f'{rule.expected} (or "" for none)',
        accepts=lambda value: value == "" or rule.accepts(value),
        convert=lambda value: None if value == "" else rule.convert(value),
    )


def or_auto(rule: Rule) -> Rule:
    """What `rule` takes, or the word auto."""
    return replace(
        rule,
        expected=f'{rule.expected}, or "auto"',
        accepts=lambda value: value == "auto" or rule.accepts(value),
        convert=lambda value: value if value == "auto" else rule.convert(value),
    )


BOOLEAN = Rule(
    expected="true or false", accepts=lambda value: isinstance(value, bool), from_text=_read_boolean
)
TEXT = Rule(
    expected="a text that is not empty", accepts=lambda value: isinstance(value, str) and value.strip() != ""
)
TEXT_LIST = Rule(
    expected="a list of texts",
    accepts=_is_text_list,
    convert=tuple,
    from_text=lambda text: [item.strip() for item in text.split(",") if item.strip()],
)
URL = pattern(r"(https?://|unix:)\S+", "a URL that begins with http://, https:// or unix:")
