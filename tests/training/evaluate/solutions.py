"""The reference solutions as samples: a correct runner passes them all."""

from __future__ import annotations

from collections.abc import Mapping

from training.evaluate.scoring.scoring import Sample
from training.evaluate.sets.problems import Problem


def canonical_samples(problems: Mapping[str, Problem]) -> list[Sample]:
    return [Sample(problem=problem, answer=problem.canonical) for problem in problems.values()]
