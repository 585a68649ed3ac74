"""Answers that a run has got so far, a file for each form of a set: a run that was stopped goes on from them.

All of a set takes hours. Problems are drawn evenly, so that those of a run with half the limit are among
those of the next. Knows nothing of who answers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from training.evaluate.scoring.spans import HoledProgram
from training.evaluate.sets.problems import read_json_lines

Answers = Callable[[Sequence[HoledProgram]], Sequence[str]]
"""Answers holes, in their order."""

_AT_A_TIME = 32  # an engine's batch; so many are lost at most


def answered(
    spans: Sequence[HoledProgram], file: Path, answers: Answers, progress: Callable[[int, int], None]
) -> list[str]:
    """The answers to all of them: those of `file`, and new ones, which are added to it."""
    have = _read(file)
    missing = [span for span in spans if span.hole.task_id not in have]
    for start in range(0, len(missing), _AT_A_TIME):
        progress(len(spans) - len(missing) + start, len(spans))
        some = missing[start : start + _AT_A_TIME]
        new = {span.hole.task_id: text for span, text in zip(some, answers(some), strict=True)}
        with file.open("a", encoding="utf-8") as lines:
            lines.writelines(
                json.dumps({"task_id": name, "answer": text}) + "\n" for name, text in new.items()
            )
        have |= new
    return [have[span.hole.task_id] for span in spans]


def _read(file: Path) -> dict[str, str]:
    if not file.is_file():
        return {}
    whole, end, _ = file.read_text(encoding="utf-8").rpartition("\n")
    file.write_text(whole + end, encoding="utf-8")  # half a line of a run that was killed is dropped
    return {record["task_id"]: record["answer"] for record in read_json_lines(file)}
