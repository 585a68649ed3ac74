"""Published figures of StarCoder and its like, to set a model beside. Percent."""

from __future__ import annotations

from dataclasses import dataclass

PAPER = "arXiv 2305.06161"
CARD = "its model card"


@dataclass(frozen=True, kw_only=True)
class Published:
    """pass@1 of HumanEval and MBPP; the exact match of single-line infilling in Python. None: not given.

    `source` is where the figures were read; a figure that could not be read anywhere is not given.
    """

    name: str
    parameters: str
    source: str
    human_eval: float | None = None
    mbpp: float | None = None
    single_line: float | None = None


PUBLISHED = (
    Published(name="StarCoder", parameters="15.5 B", source=PAPER, human_eval=33.6, mbpp=52.7),
    Published(name="StarCoderBase", parameters="15.5 B", source=PAPER, human_eval=30.4, mbpp=49.0),
    Published(name="StarCoderBase-7B", parameters="7.3 B", source=CARD, human_eval=28.37),
    Published(name="StarCoderBase-3B", parameters="3.0 B", source=CARD, human_eval=21.46),
    Published(name="StarCoderBase-1B", parameters="1.1 B", source=CARD, human_eval=15.2),
    Published(name="code-cushman-001", parameters="–", source=PAPER, human_eval=33.5, mbpp=45.9),
    Published(name="SantaCoder", parameters="1.1 B", source=CARD, single_line=44),
)
