"""No filter may damage correct code: true middles of real files go through the whole list.

The files are Python's own standard library. A place is cut out at random, and the filters see what a
perfect model would have suggested there. Then the same places with a model's usual mistakes.
"""

from __future__ import annotations

import io
import random
import sysconfig
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import accumulate
from pathlib import Path

import pytest

from lsp.postprocess import CursorContext, Ended, Suggestion, postprocess

SAMPLES = 1500
MAX_DAMAGED = 0.005
WINDOW_CHARS = (800, 2_000, 6_000, 1_000_000)


@dataclass(frozen=True)
class Cut:
    """A file's text cut in three, and the windows that a completion would see."""

    path: Path
    before: str
    middle: str
    after: str
    window_chars: int

    def context(self, eol: str = "\n", *, can_replace: bool = False) -> CursorContext:
        start = max(0, len(self.before) - self.window_chars)
        if start:
            start = self.before.find("\n", start) + 1 or start
        end = self.after.rfind("\n", 0, self.window_chars // 2)
        after = self.after if end < 0 or self.window_chars > len(self.after) else self.after[:end]
        return CursorContext.at(
            prefix=self.before[start:].replace("\n", eol),
            suffix=after.replace("\n", eol),
            language="python",
            from_file_start=start == 0,
            can_replace=can_replace,
        )


def rest_of_line(lines: list[str], line: int, rng: random.Random) -> tuple[int, int, int, int]:
    return line, rng.randrange(len(lines[line])), line, len(lines[line])


def inside_line(lines: list[str], line: int, rng: random.Random) -> tuple[int, int, int, int]:
    first, last = sorted(rng.randrange(len(lines[line]) + 1) for _ in range(2))
    return line, first, line, last


def some_lines(lines: list[str], line: int, rng: random.Random) -> tuple[int, int, int, int]:
    last = min(line + rng.randrange(1, 12), len(lines) - 1)
    indent = len(lines[line]) - len(lines[line].lstrip())
    column = rng.choice([indent, len(lines[line]), rng.randrange(len(lines[line]))])
    return line, column, last, len(lines[last])


def block_below(lines: list[str], line: int, rng: random.Random) -> tuple[int, int, int, int]:
    def indent(number: int) -> int:
        return len(lines[number]) - len(lines[number].lstrip())

    last = line
    for number in range(line + 1, min(line + 30, len(lines))):
        if lines[number].strip():
            if indent(number) <= indent(line):
                break
            last = number
    return line, len(lines[line]), last, len(lines[last])


Chooser = Callable[[list[str], int, random.Random], tuple[int, int, int, int]]
CHOOSERS: tuple[Chooser, ...] = (rest_of_line, inside_line, some_lines, block_below)


@dataclass(frozen=True)
class Source:
    """A file's text, its lines, and where each of them starts."""

    text: str
    lines: list[str]
    starts: list[int]


@cache
def read(path: Path) -> Source | None:
    """None for the library's test data in other encodings."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None
    lines = text.split("\n")
    return Source(text, lines, list(accumulate((len(line) + 1 for line in lines), initial=0)))


@pytest.fixture(scope="module")
def files() -> Iterator[list[Path]]:
    found = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    found += sorted(Path(sysconfig.get_path("stdlib")).glob("[a-t]*/*.py"))
    yield [path for path in found if path.stat().st_size > 400]
    read.cache_clear()


def cuts(files: list[Path], choose: Chooser, seed: int, count: int) -> Iterator[Cut]:
    rng = random.Random(seed)
    while count:
        path = rng.choice(files)
        source = read(path)
        if source is None:
            continue
        text, lines = source.text, source.lines
        line = rng.randrange(len(lines))
        if not lines[line].strip():
            continue
        first_line, first_char, last_line, last_char = choose(lines, line, rng)
        start, end = source.starts[first_line] + first_char, source.starts[last_line] + last_char
        middle = text[start:end]
        # What shows next to nothing is not offered, and blanks at a line's end are not written.
        if sum(not character.isspace() for character in middle) < 2 or middle != middle.rstrip():
            continue
        count -= 1
        yield Cut(path, text[:start], middle, text[end:], rng.choice(WINDOW_CHARS))


def brackets_fit(text: str) -> bool:
    """By Python's own tokenizer, which fails at the end of a file with an open bracket."""
    depth = 0
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            depth += (token.string in "([{") - (token.string in ")]}") if token.type == tokenize.OP else 0
            if depth < 0:
                return False
    except (tokenize.TokenError, IndentationError, SyntaxError) as error:
        return "multi-line" not in str(error)
    return depth == 0


@pytest.mark.parametrize("can_replace", [False, True])
@pytest.mark.parametrize("choose", CHOOSERS)
def test_true_middles_come_through_unchanged(files: list[Path], choose: Chooser, can_replace: bool) -> None:
    damaged: list[str] = []
    for cut in cuts(files, choose, seed=7 + can_replace, count=SAMPLES):
        outcome = postprocess(Suggestion(cut.middle), cut.context(can_replace=can_replace))
        if outcome.suggestion == Suggestion(cut.middle):
            continue
        damaged.append(f"{outcome.dropped_by or outcome.suggestion} {cut.path}: {cut.middle!r}")
        if outcome.suggestion is not None and brackets_fit(cut.before + cut.middle + cut.after):
            rest = cut.after[outcome.suggestion.replace_chars :]
            assert brackets_fit(cut.before + outcome.suggestion.text + rest), damaged[-1]
    assert len(damaged) <= MAX_DAMAGED * SAMPLES, "\n".join(damaged)


@pytest.mark.parametrize("choose", CHOOSERS)
def test_a_middle_cut_by_the_token_limit_only_loses_its_end(files: list[Path], choose: Chooser) -> None:
    for cut in cuts(files, choose, seed=11, count=SAMPLES // 3):
        text = cut.middle[: max(len(cut.middle) * 2 // 3, 2)]
        outcome = postprocess(Suggestion(text, Ended.LENGTH), cut.context())
        assert outcome.suggestion is None or text.startswith(outcome.suggestion.text)


def test_files_with_crlf_and_with_tabs_fare_no_worse(files: list[Path]) -> None:
    damaged = 0
    for cut in cuts(files, some_lines, seed=13, count=SAMPLES // 2):
        outcome = postprocess(Suggestion(cut.middle.replace("\n", "\r\n")), cut.context("\r\n"))
        damaged += outcome.suggestion != Suggestion(cut.middle.replace("\n", "\r\n"))
        before, middle, after = (part.replace("    ", "\t") for part in (cut.before, cut.middle, cut.after))
        tabbed = replace(cut, before=before, middle=middle, after=after)
        outcome = postprocess(Suggestion(tabbed.middle), tabbed.context())
        damaged += outcome.suggestion != Suggestion(tabbed.middle)
    assert damaged <= MAX_DAMAGED * SAMPLES


def restored(suggestions: Iterator[tuple[Cut, Suggestion]]) -> float:
    """The share of faulty suggestions of which exactly the true middle is left."""
    right = total = 0
    for cut, suggestion in suggestions:
        outcome = postprocess(suggestion, cut.context())
        total += 1
        right += outcome.suggestion is not None and outcome.suggestion.text == cut.middle
    assert total > 100
    return right / total


def test_repeated_next_lines_are_cut(files: list[Path]) -> None:
    def faulty() -> Iterator[tuple[Cut, Suggestion]]:
        for cut in cuts(files, block_below, seed=17, count=600):
            below = cut.after.split("\n")
            if not below[0].strip() and "".join(below[1:3]).strip():
                yield cut, Suggestion(cut.middle + "\n" + "\n".join(below[1:3]))

    assert restored(faulty()) >= 0.95


def test_runaways_and_loops_are_cut(files: list[Path]) -> None:
    def runaways() -> Iterator[tuple[Cut, Suggestion]]:
        for cut in cuts(files, block_below, seed=19, count=300):
            yield cut, Suggestion(cut.middle + "\n\n\ndef another(x):\n    retu", Ended.LENGTH)

    def loops() -> Iterator[tuple[Cut, Suggestion]]:
        for cut in cuts(files, block_below, seed=23, count=300):
            last = cut.middle.split("\n")[-1]
            yield cut, Suggestion(cut.middle + f"\n{last}" * 8 + "\n" + last[: len(last) // 2], Ended.LENGTH)

    assert restored(runaways()) >= 0.95
    assert restored(loops()) >= 0.95


def test_brackets_that_the_editor_has_closed_are_not_closed_again(files: list[Path]) -> None:
    def faulty() -> Iterator[tuple[Cut, Suggestion]]:
        for cut in cuts(files, rest_of_line, seed=29, count=3000):
            inner = cut.middle[:-1]
            opened = sum(inner.count(sign) for sign in "([{") - sum(inner.count(sign) for sign in ")]}")
            plain = not any(sign in cut.middle for sign in "\"'#")
            in_code = cut.context().brackets is not None and cut.before.count('"""') % 2 == 0
            if cut.middle.endswith(")") and len(inner.strip()) > 1 and opened == 0 and plain and in_code:
                yield (
                    Cut(cut.path, cut.before, inner, ")" + cut.after, cut.window_chars),
                    Suggestion(cut.middle),
                )

    assert restored(faulty()) >= 0.9
