"""Figures of the StarCoder paper (arXiv 2305.06161) and its models' cards, to set a model beside. Percent."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Published:
    """pass@1 of HumanEval and MBPP; the exact match of single-line infilling in Python. None: not given.

    `recalled`: not checked against the paper itself, and a report says so.
    """

    name: str
    parameters: str
    human_eval: float | None = None
    mbpp: float | None = None
    single_line: float | None = None
    recalled: tuple[str, ...] = ()


PUBLISHED = (
    Published(
        name="StarCoder",
        parameters="15.5 B",
        human_eval=33.6,
        mbpp=52.7,
        single_line=62,
        recalled=("single_line",),
    ),
    Published(name="StarCoderBase", parameters="15.5 B", human_eval=30.4, mbpp=49.0),
    Published(name="StarCoderBase-7B", parameters="7.3 B", human_eval=28.4, recalled=("human_eval",)),
    Published(name="StarCoderBase-3B", parameters="3.0 B", human_eval=21.5, recalled=("human_eval",)),
    Published(name="StarCoderBase-1B", parameters="1.1 B", human_eval=15.2),
    Published(name="code-cushman-001", parameters="–", human_eval=33.5, mbpp=45.9),
    Published(name="SantaCoder", parameters="1.1 B", single_line=44, recalled=("single_line",)),
    Published(name="InCoder-6B", parameters="6.7 B", single_line=31, recalled=("single_line",)),
)
