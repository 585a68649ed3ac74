"""Does accepted text parse where the editor has closed something? Scripted answers, or a model's own.

Holes are cut into real files where editors close brackets, quotes and tags by themselves
(`benchmarks.closing.holes`); each is answered with the right text, with what the editor closed as well,
with more code, with the lines below and with the line restated. What the language server makes of it is
accepted, and tree-sitter's grammar of the language must find no error in the result, as it finds none in
the file.

    python -m benchmarks.closing FOLDER… [--cases 5000] [--seed 1] [--failures 20] [--json]
    python -m benchmarks.closing FOLDER… --model starter [--holes 300]

With `--model`, the model answers each hole, with what the editor closed and without. With `--json` the last
line is an object with the totals.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.closing.answers import Case, cases_of
from benchmarks.closing.holes import GRAMMARS, Hole, holes, parses
from benchmarks.closing.product import Editor, engine_text

_MAX_FILES = 100


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of one case. `accepted` is None where nothing was shown."""

    case: Case
    accepted: str | None
    is_good: bool
    is_exact: bool


def judge(case: Case) -> Verdict | None:
    """Accept what is made of the answer; None if the answer is no right one (more code that cannot be)."""
    if not case.is_exact and not parses(case.hole.extension, case.wanted):
        return None
    editor = Editor(case.hole.path, case.hole.language_id, case.hole.before, case.after)
    query = editor.query()
    accepted = editor.accept(engine_text(query, case.answer), "stop")
    # What is not shown breaks nothing; where a right answer was lost, it is not exact.
    is_good = accepted is None or accepted == case.hole.original or parses(case.hole.extension, accepted)
    return Verdict(
        case=case, accepted=accepted, is_good=is_good, is_exact=accepted in (case.wanted, case.hole.original)
    )


def holes_of(folders: Sequence[Path], *, per_kind: int, rng: random.Random) -> Iterator[Hole]:
    """Holes of all languages."""
    for extension in GRAMMARS:
        paths = sorted(
            path
            for folder in folders
            for path in folder.resolve().rglob(f"*.{extension}")
            if path.suffix and path.is_file()
        )
        yield from holes(rng.sample(paths, min(len(paths), _MAX_FILES)), per_kind=per_kind, rng=rng)


def scripted(folders: Sequence[Path], *, n_cases: int, seed: int) -> list[Verdict]:
    """Judge about that many cases, of each language as many."""
    rng = random.Random(seed)
    cases: dict[str, list[Case]] = {}
    for hole in holes_of(folders, per_kind=40, rng=rng):
        cases.setdefault(hole.extension, []).extend(cases_of(hole))
    share = n_cases // max(len(cases), 1)
    verdicts = []
    for group in cases.values():
        wanted = min(share, len(group))
        judged = (judge(case) for case in rng.sample(group, len(group)))
        verdicts += [verdict for verdict, _ in zip(filter(None, judged), range(wanted), strict=False)]
    return verdicts


def table_of(title: str, verdicts: Iterable[Verdict]) -> Table:
    """Counts by a property of the case."""
    total: Counter[str] = Counter()
    good: Counter[str] = Counter()
    exact: Counter[str] = Counter()
    for verdict in verdicts:
        row = _row(verdict, title)
        total[row] += 1
        good[row] += verdict.is_good
        exact[row] += verdict.is_exact
    table = Table(title, "cases", "parses", "as meant", box=None)
    for row in sorted(total):
        table.add_row(row, str(total[row]), f"{good[row] / total[row]:.1%}", f"{exact[row] / total[row]:.1%}")
    return table


def _row(verdict: Verdict, title: str) -> str:
    hole = verdict.case.hole
    return {"language": hole.language_id, "hole": hole.kind, "answer": verdict.case.answer_kind}[title]


def show_failures(verdicts: Iterable[Verdict], limit: int, console: Console) -> None:
    """The first cases that broke, or else were not as meant: the line, the answer, the result."""
    bad = [one for one in verdicts if not one.is_good] or [one for one in verdicts if not one.is_exact]
    for verdict in bad[:limit]:
        case = verdict.case
        start = case.hole.before.rfind("\n") + 1
        end = len(case.wanted) - len(case.hole.after) + 40
        console.print(f"{case.hole.path} {case.hole.kind}, {case.answer_kind}", style="bold")
        print("  ", repr(case.hole.before[start:]), "¦", repr(case.after.split("\n")[0]))
        print("   answer:", repr(case.answer[:200]))
        print("   became:", None if verdict.accepted is None else repr(verdict.accepted[start:end]))


def report_of(asked: argparse.Namespace, console: Console) -> dict[str, object]:
    """Judge scripted answers and show the counts."""
    verdicts = scripted(asked.folders, n_cases=asked.cases, seed=asked.seed)
    for title in ("language", "hole", "answer"):
        console.print(table_of(title, verdicts))
    good, exact = (sum(getattr(one, name) for one in verdicts) for name in ("is_good", "is_exact"))
    n_cases = max(len(verdicts), 1)
    console.print(f"{len(verdicts)} cases: {good / n_cases:.2%} parse, {exact / n_cases:.2%} are as meant")
    show_failures(verdicts, asked.failures, console)
    return {"cases": len(verdicts), "parse": good, "as_meant": exact}


def model_report_of(asked: argparse.Namespace, console: Console) -> dict[str, object]:
    """Judge a model's own answers, with and without what the editor closes."""
    from benchmarks.closing.generated import Model, answered

    rng = random.Random(asked.seed)
    found = list(holes_of(asked.folders, per_kind=max(asked.holes // 40, 2), rng=rng))
    some = rng.sample(found, min(asked.holes, len(found)))
    results = list(answered(Model(asked.model, asked.threads), some))
    table = Table("hole", "holes", "shown", "parses", "shown, unclosed", "parses, unclosed", box=None)
    for kind in [*sorted({one.hole.kind for one in results}), "all"]:
        group = [one for one in results if kind in (one.hole.kind, "all")]
        closed = [one.closed for one in group if one.closed is not None]
        unclosed = [one.unclosed for one in group if one.unclosed is not None]
        shares = (f"{sum(each) / max(len(each), 1):.1%}" for each in (closed, unclosed))
        table.add_row(kind, str(len(group)), str(len(closed)), next(shares), str(len(unclosed)), next(shares))
    console.print(table)
    worse = [one for one in results if one.closed is False and one.unclosed]
    for one in worse[: asked.failures]:
        line = one.hole.before[one.hole.before.rfind("\n") + 1 :]
        print(repr(line), "¦", repr(one.hole.tail), "answer:", repr(one.answer))
    shown = [one for one in results if one.closed is not None]
    return {"holes": len(results), "shown": len(shown), "parse": sum(bool(one.closed) for one in shown)}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.closing")
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--cases", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--failures", type=int, default=0, help="show so many")
    parser.add_argument("--model", help="let this model answer")
    parser.add_argument("--holes", type=int, default=300, help="for the model")
    parser.add_argument("--threads", type=int, default=2, help="of the model")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(arguments)
    console = Console(highlight=False)
    report = model_report_of(asked, console) if asked.model else report_of(asked, console)
    if asked.json:
        print(json.dumps(report))


if __name__ == "__main__":
    main()
