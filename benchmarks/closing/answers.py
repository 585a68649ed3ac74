"""What a model may answer at a hole, and what the document must become then.

"typed": the line ends behind what the editor closed. "edited": the rest of the line was there before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.closing.holes import Hole


@dataclass(frozen=True, kw_only=True)
class Case:
    """A document around a cursor, and an answer. `wanted` is what accepting it should make of the document.

    After more code than was wanted, the document need only parse as `wanted` does.
    """

    hole: Hole
    answer_kind: str
    after: str
    answer: str
    wanted: str
    is_exact: bool = True


def cases_of(hole: Hole) -> Iterator[Case]:
    """All answers at one hole."""
    is_plain = hole.middle is not None and not hole.rest
    right = hole.middle if is_plain and hole.middle is not None else hole.line
    yield from _cases(hole, "typed", hole.tail + hole.after, {"right": right, "closed tail": hole.line})
    if hole.middle is not None and hole.rest.strip():
        answers = {
            "right": hole.middle,
            "closed tail": hole.middle + hole.tail,
            "whole line": hole.line,
        }
        yield from _cases(hole, "edited", hole.tail + hole.rest + hole.after, answers)


def _cases(hole: Hole, mode: str, after: str, answers: dict[str, str]) -> Iterator[Case]:
    line_before = hole.before[hole.before.rfind("\n") + 1 :]
    below = "\n".join(hole.after.split("\n")[1:3])
    if below.strip():
        answers = answers | {"lines below": f"{hole.line}\n{below}"}
    if sum(char.isalnum() for char in line_before) >= 3:
        answers = answers | {"restated line": line_before.lstrip() + hole.line}
    for kind, answer in answers.items():
        yield Case(hole=hole, answer_kind=f"{mode}: {kind}", after=after, answer=answer, wanted=hole.original)
    more = f"{hole.line}\n{line_before}{hole.line}"
    yield Case(
        hole=hole,
        answer_kind=f"{mode}: more code",
        after=after,
        answer=more,
        wanted=hole.before + more + hole.after,
        is_exact=False,
    )
