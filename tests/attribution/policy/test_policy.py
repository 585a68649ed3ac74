"""A policy's verdict on a match that several hold: the gravest, whichever licence is the strictest."""

from __future__ import annotations

import pytest

from attribution.policy.conditions import Condition
from attribution.policy.policy import LicenceOutcome, Policy
from attribution.source import Source


def holder(licence: str | None) -> Source:
    return Source(repository="owner/project", path="a.py", license=licence)


@pytest.mark.parametrize(
    ("licences", "outcome", "decided_by"),
    [
        (["GPL-3.0-only", "MIT"], LicenceOutcome.DENIED, "MIT"),  # one to review does not hide one to deny
        (["MIT", "GPL-3.0-only"], LicenceOutcome.DENIED, "MIT"),
        (["Apache-2.0", "GPL-3.0-only"], LicenceOutcome.REVIEW, "GPL-3.0-only"),
        (["AGPL-3.0-only", "GPL-3.0-only"], LicenceOutcome.REVIEW, "AGPL-3.0-only"),
        (["Apache-2.0"], LicenceOutcome.PASSED, None),
        ([], LicenceOutcome.PASSED, None),
    ],
)
def test_the_gravest_of_all_holders(
    licences: list[str], outcome: LicenceOutcome, decided_by: str | None
) -> None:
    policy = Policy(deny=(Condition.parse("MIT"),), review=(Condition.parse("copyleft"),))
    verdict = policy.verdict(map(holder, licences))
    assert verdict.outcome is outcome
    assert (verdict.holder.license if verdict.holder else None) == decided_by
