"""Line completion on held-out files: exact match and edit similarity, from the left only and with what
follows.

The measures of CodeXGLUE's line-level completion (arXiv 2102.04664, §3.6). Places are drawn by a seed: a
line that is not blank, with at least three before it; the model gives the line from its start. Greedy.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from model.engine.engine import Engine
from model.prompt.fim_format import FimOrder
from training.errors import EvaluationError
from training.evaluate.scoring.infilling import LineProblem, complete_lines
from training.evaluate.sets.held_out_text import HeldOut

_MIN_LINES_BEFORE = 3
_MIN_LINE_CHARS = 3
_SEED = 20_230_510


@dataclass(frozen=True, kw_only=True)
class LineScore:
    """Shares from 0 to 1; `edit_similarity` is 1 − insertions and deletions / characters of both."""

    exact_match: float
    edit_similarity: float
    n_lines: int


def draw_lines(documents: Sequence[HeldOut], count: int) -> list[LineProblem]:
    """So many places, each file as likely as another. Raises EvaluationError when no file is long enough."""
    chance = random.Random(_SEED)
    places = [(document, _places(document.text)) for document in documents]
    usable = [(document, lines) for document, lines in places if lines]
    if not usable:
        raise EvaluationError("no held-out file has a line to complete: at least four lines are needed")
    problems = []
    for number in range(count):
        document, numbers = chance.choice(usable)
        at = chance.choice(numbers)
        lines = document.text.splitlines(keepends=True)
        problems.append(
            LineProblem(
                task_id=f"{number}/{document.repository}/{document.path}:{at + 1}",
                prefix="".join(lines[:at]),
                suffix="".join(lines[at + 1 :]),
                line=lines[at],
            )
        )
    return problems


def _places(text: str) -> list[int]:
    lines = text.splitlines()
    return [
        at
        for at in range(_MIN_LINES_BEFORE, len(lines))
        if len(lines[at].strip()) >= _MIN_LINE_CHARS and lines[at].isascii()
    ]


def score_lines(
    engine: Engine,
    problems: Sequence[LineProblem],
    order: FimOrder | None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> LineScore:
    """With `order` the model also sees what follows the line; with None only what is before it."""
    from rapidfuzz.fuzz import ratio

    answers = complete_lines(engine, problems, order, progress)
    pairs = [(a.strip(), p.line.strip()) for a, p in zip(answers, problems, strict=True)]
    return LineScore(
        exact_match=sum(answer == line for answer, line in pairs) / len(pairs),
        edit_similarity=sum(ratio(answer, line) for answer, line in pairs) / 100 / len(pairs),
        n_lines=len(pairs),
    )
