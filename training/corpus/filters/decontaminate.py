"""Drops documents that hold an evaluation problem, so that scores mean something.

As StarCoder did (arXiv 2305.06161, §3.5): a file goes if its lower-cased text contains a
HumanEval docstring or solution, an MBPP text, solution or test, an APPS or GSM8K question, or a
DS-1000 prompt. The problems are read from files given by path; none of them is part of this
package. Substrings are found exactly; an index of one rare word per needle only saves comparisons.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from training.corpus.errors import CorpusError

# Solutions so short that any code base has them; the original preprocessing leaves them out too.
TRIVIAL_SOLUTIONS = frozenset(
    {"return x + y", "return len(string)", "return n**2", "return ''.join(strings)"}
)
# HumanEval-X has further one-liners ("return a * h / 2.0"); below this they say nothing about copying.
_MIN_NEEDLE_CHARS = 15
_WORD = re.compile(r"\w+")
_SOLUTION_MARK = re.compile(r"SOLUTION START|BEGIN SOLUTION")
_DOCSTRING = re.compile(r'"""(.*?)"""|\'\'\'(.*?)\'\'\'|/\*(.*?)\*/', re.DOTALL)


class Decontaminator:
    """Finds needles (lower-cased evaluation texts) in documents."""

    def __init__(self, needles: Sequence[str]) -> None:
        self._whole: list[str] = []
        self._by_word: dict[str, list[tuple[frozenset[str], str]]] = {}
        for needle in sorted({_normal(needle) for needle in needles} - {""}):
            # A needle's first and last word can be part of a longer word of the document; the words
            # between stand there whole. The longest of them is the one to look up.
            inner = frozenset(_WORD.findall(needle)[1:-1])
            if inner:
                rarest = max(sorted(inner), key=len)
                self._by_word.setdefault(rarest, []).append((inner, needle))
            else:
                self._whole.append(needle)

    @classmethod
    def from_files(cls, paths: Sequence[Path]) -> Decontaminator:
        """Read problems from JSONL files (`.gz` or plain) in a form that `needles_of` knows.

        Raises CorpusError when a file is missing or a record has another form.
        """
        return cls([needle for path in paths for record in _records(path) for needle in needles_of(record)])

    def find(self, text: str) -> str | None:
        """The first needle (lower-cased) that the text contains, or None."""
        lowered = text.lower()
        words = frozenset(_WORD.findall(lowered))
        for word in sorted(self._by_word.keys() & words):
            for inner, needle in self._by_word[word]:
                if inner <= words and needle in lowered:
                    return needle
        return next((needle for needle in self._whole if needle in lowered), None)


def needles_of(record: Mapping[str, Any]) -> list[str]:
    """The texts of one problem that a training document must not contain; raises CorpusError.

    Known by their columns are HumanEval, its translations and its infilling tasks, MBPP, APPS,
    GSM8K and DS-1000.
    """
    if "canonical_solution" in record:
        return list(_human_eval_needles(record))
    if {"text", "code", "test_list"} <= record.keys():
        found = [record["text"], record["code"], *record["test_list"]]
    elif "question" in record and ("solutions" in record or "answer" in record):  # APPS, GSM8K
        found = [record["question"]]
    elif {"prompt", "reference_code"} <= record.keys():  # DS-1000
        found = [_SOLUTION_MARK.split(record["prompt"])[0]]
    else:
        raise CorpusError(
            f"an evaluation record with the keys {sorted(record)} is of no known form: HumanEval, MBPP, "
            "APPS, GSM8K or DS-1000"
        )
    return [text.strip() for text in found if len(text.strip()) >= _MIN_NEEDLE_CHARS]


def _human_eval_needles(record: Mapping[str, Any]) -> Iterator[str]:
    for groups in _DOCSTRING.findall(record.get("prompt", "")):
        docstring = "".join(groups).strip()
        if len(docstring) >= _MIN_NEEDLE_CHARS:
            yield docstring
    solution = record["canonical_solution"]
    if "suffix" in record:  # an infilling task: one line of it is in any code base, the whole is not
        solution = re.split(r'"""|\'\'\'', record["prompt"] + solution + record["suffix"])[-1]
    solution = solution.strip().rstrip("}").strip()
    if solution not in TRIVIAL_SOLUTIONS and len(solution) >= _MIN_NEEDLE_CHARS:
        yield solution


def _normal(text: str) -> str:
    return text.replace("\r\n", "\n").strip().lower()


def _records(path: Path) -> Iterator[dict[str, Any]]:
    try:
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                if line.strip():
                    yield json.loads(line)
    except (OSError, json.JSONDecodeError) as error:
        raise CorpusError(f"cannot read evaluation problems from {path}: {error}") from error
