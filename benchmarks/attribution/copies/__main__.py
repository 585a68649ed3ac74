"""Planted copies and code that is none: what is found of each disguise, and what is claimed wrongly.

    python -m benchmarks.attribution.copies [--packages build/copies] [--renamed] [--log FILE]

Functions are drawn from indexed packages in six languages, disguised, and asked about one file a function.
Functions and whole files of held-out packages are asked about too: whatever is claimed of those is false.
`--renamed` builds the index with the channel for changed names.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from benchmarks.attribution.copies.disguises import DISGUISES, draw
from benchmarks.attribution.copies.packages import LANGUAGES, Code, language_of, read_code
from benchmarks.attribution.copies.trial import Ours, Question, Trial, judge
from benchmarks.attribution.progress import say
from benchmarks.tables import table

JAVA_COPIES = 12
COPIES = 10
HELD_OUT_FUNCTIONS = 40
HELD_OUT_FILES = 100


def questions(code: Code, seed: int) -> dict[str, list[Question]]:
    """By set: the same for every way of finding."""
    found: dict[str, list[Question]] = {}
    for language in LANGUAGES:
        documents = [one for one in code.indexed if language_of(one) == language]
        drawn = draw(
            documents, JAVA_COPIES if language == "java" else COPIES, random.Random(f"{seed} {language}")
        )
        for name, disguise in DISGUISES.items():
            texts = (disguise(one, random.Random(name)) for one in drawn)
            found[f"{language}, {name}"] = [
                Question(text=text, function=one) for text, one in zip(texts, drawn, strict=True)
            ]
    java = [one for one in code.held_out if language_of(one) == "java"]
    dice = random.Random(f"{seed} held out")
    found["held-out Java methods"] = [
        Question(text=one.text, source=one.document, language="java")
        for one in draw(java, HELD_OUT_FUNCTIONS, dice)
    ]
    found["held-out Java files"] = [
        Question(text=one.text.decode(errors="replace"), source=one, language="java")
        for one in dice.sample(java, HELD_OUT_FILES)
    ]
    found["held-out files, other languages"] = [
        Question(text=one.text.decode(errors="replace"), source=one, language=language_of(one))
        for one in code.held_out
        if language_of(one) != "java"
    ]
    return found


def main() -> int:
    """Ask, judge, print."""
    options = _parser().parse_args()
    code = read_code(options.packages.absolute())
    size = sum(len(one.text) for one in code.indexed) / 1e6
    say(f"{len(code.indexed):,} files, {size:.1f} MB; {len(code.held_out):,} held out")
    asked = questions(code, options.seed)
    with tempfile.TemporaryDirectory(prefix="copies-") as scratch:
        ours = Ours(code, Path(scratch) / "index", renamed=options.renamed)
        log: list[str] = []
        trials = {name: judge(ours, some, log) for name, some in asked.items()}
        ours.close()
    print("\n".join(_rows(trials)))
    if options.log is not None:
        options.log.write_text("\n".join(log) + "\n", encoding="utf-8")
    return 0


def _rows(trials: dict[str, Trial]) -> list[str]:
    planted = {name: one for name, one in trials.items() if one.planted}
    by_kind = [
        [kind, *(planted[f"{language}, {kind}"].found_of() for language in LANGUAGES), _sum(planted, kind)]
        for kind in DISGUISES
    ]
    claims = sum(one.claims for one in trials.values())
    true = claims - sum(one.false for one in trials.values())
    held_out = [[name, one.flagged_of(), f"{one.false}"] for name, one in trials.items() if not one.planted]
    return [
        *table(["found", *LANGUAGES, "all"], by_kind),
        "",
        *table(["of held-out code", "flagged", "false claims"], held_out),
        "",
        f"precision: {true} of {claims} claims are true ({true / max(claims, 1):.3f}); "
        f"{sum(one.seconds for one in trials.values()):.1f} s",
    ]


def _sum(planted: dict[str, Trial], kind: str) -> str:
    some = [one for name, one in planted.items() if name.partition(", ")[2] == kind]
    return f"{sum(one.found for one in some)} of {sum(one.asked for one in some)}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.attribution.copies", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "--packages", type=Path, default=Path("build/copies"), help="where packages are, or go"
    )
    parser.add_argument("--renamed", action="store_true", help="an index that finds changed names too")
    parser.add_argument("--log", type=Path, help="a file for what was missed and what was claimed wrongly")
    parser.add_argument("--seed", type=int, default=1)
    return parser


if __name__ == "__main__":
    sys.exit(main())
