"""Conditions on licences: what they say, and that a condition which nothing can meet is refused."""

from __future__ import annotations

import pytest

from attribution.errors import ExpressionError
from attribution.policy.conditions import AllowList, Condition
from attribution.policy.policy import strictest_first
from attribution.source import Source


@pytest.mark.parametrize(
    ("licence", "condition", "expected"),
    [
        ("GPL-3.0-only", "copyleft", True),
        ("LGPL-2.1-or-later", "copyleft", True),
        ("MIT AND MPL-2.0", "copyleft", True),
        ("MIT OR GPL-2.0-only", "copyleft", False),
        ("(MIT OR GPL-2.0-only) AND EUPL-1.2", "copyleft", True),
        ("GPL-2.0-only WITH Classpath-exception-2.0", "copyleft", True),
        ("GPL-2.0-only WITH No-Such-exception", "copyleft", True),
        ("GPL-2.0-only WITH No-Such-exception", "unknown", True),
        *((licence, "copyleft", True) for licence in ("GFDL-1.3-only", "IPL-1.0", "APSL-2.0", "ODbL-1.0")),
        ("CERN-OHL-S-2.0", "copyleft", True),
        ("MIT", "copyleft", False),
        ("not an expression but GPL-3.0", "copyleft", True),
        ("not an expression but GPL-3.0", "unknown", True),
        (None, "copyleft", False),
        (None, "unknown", True),
        ("", "unknown", True),
        ("MIT AND GPL-3.0-only", "GPL-3.0-only OR AGPL-3.0-only", True),
        ("mit", "MIT", True),
        ("MIT", "GPL-3.0-only OR AGPL-3.0-only", False),
        ("MIT", "MIT AND ISC", False),
        ("MIT AND ISC", "MIT AND ISC", True),
        ("(MIT AND ISC) OR Zlib", "MIT AND ISC", False),
        ("MIT OR ISC", "MIT", False),
        ("MIT OR ISC", "MIT OR ISC", True),
        ("MIT OR ISC", "(MIT OR ISC) AND (MIT OR ISC OR Zlib)", True),
        (None, "MIT", False),
        (None, "any", True),
    ],
)
def test_whether_a_licence_meets_a_condition(licence: str | None, condition: str, expected: bool) -> None:
    assert Condition.parse(condition).met_by(licence) is expected


@pytest.mark.parametrize(
    "condition",
    ["", "MIT OR", "(MIT", "MIT)", "MIT ISC", "WITH", "MIT WITH", "a & b", "BSD", "GPL-2.0 WITH Foo", "MITT"],
)
def test_conditions_that_cannot_be_understood(condition: str) -> None:
    with pytest.raises(ExpressionError):
        Condition.parse(condition)


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [
        ("MIT", True),
        ("mit OR GPL-3.0-only", True),
        ("MIT AND Apache-2.0", True),
        ("MIT AND GPL-3.0-only", False),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("MIT WITH Commons-Clause", False),
        ("MIT, see LICENSE", False),
        ("LicenseRef-mine", False),
        (None, False),
    ],
)
def test_an_allow_list_of_mit_and_apache(licence: str | None, allowed: bool) -> None:
    assert AllowList.parse(["MIT OR Apache-2.0"]).allows(licence) is allowed


def test_an_allow_list_has_no_and() -> None:
    with pytest.raises(ExpressionError, match="joins licences by OR"):
        AllowList.parse(["MIT AND ISC"])


def test_the_strictest_licence_is_named_first() -> None:
    licences = ["MIT", None, "LGPL-3.0-only", "MIT OR AGPL-3.0-only", "AGPL-3.0-only"]
    sources = [Source(repository=f"r{n}", path="p", license=one) for n, one in enumerate(licences)]
    found = [source.license for source in strictest_first(sources)]
    assert found == ["AGPL-3.0-only", "LGPL-3.0-only", None, "MIT", "MIT OR AGPL-3.0-only"]
