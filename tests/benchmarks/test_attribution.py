"""The attribution benchmark: its judge, its changes, its corpus, and a small run of all of it."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest

from attribution.source import Match, MatchKind, Source, Span
from benchmarks.attribution import __main__ as benchmark
from benchmarks.attribution.corpus import Corpus, read_corpus
from benchmarks.attribution.excerpts import CHANGES, LINES, changed, draw_excerpts
from benchmarks.attribution.growth import PICTURE
from benchmarks.attribution.judge import holds, is_true, shares_copy, tokens_of
from benchmarks.attribution.measure import percentile
from benchmarks.attribution.peers import BestHit, Fts5
from benchmarks.attribution.report import PAGE
from benchmarks.tables import with_section
from tests.attribution.samples import code, document

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    sources = [str(ROOT / name) for name in ("attribution", "lsp", "model", "tests", "training")]
    return read_corpus(sources, 0.4)


def test_a_corpus_is_the_same_every_time_and_holds_out_whole_repositories(corpus: Corpus) -> None:
    again = read_corpus(corpus.sources, 0.4)
    assert [one.source for one in again.indexed] == [one.source for one in corpus.indexed]
    indexed, held_out = (
        {one.source.repository for one in part} for part in (corpus.indexed, corpus.held_out)
    )
    assert indexed.isdisjoint(held_out)
    keys = [one.key for one in (*corpus.indexed, *corpus.held_out)]
    assert len(keys) == len(set(keys))
    assert 0.4e6 <= sum(len(one.text) for one in corpus.indexed) < 0.6e6
    assert [one.source for one in corpus.first(0.1)] == [
        one.source for one in corpus.indexed[: len(corpus.first(0.1))]
    ]


def test_excerpts_and_what_becomes_of_them(corpus: Corpus) -> None:
    drawn = draw_excerpts(corpus.indexed, 30, random.Random(1))
    for one in drawn:
        assert one.text in one.document.text
        assert len(one.text.splitlines()) == LINES
    words = {kind: [tokens_of(one.text) for one in changed(drawn, kind)] for kind in CHANGES}
    assert words["reformatted"] == words["verbatim"]
    assert [one.text for one in changed(drawn, "reformatted")] != [one.text for one in drawn]
    names = [
        sum(token.startswith(b"renamed_") for token in tokens) for tokens in words["30 % of names changed"]
    ]
    assert sum(names) > 100
    edited = sum(tokens.count(b"edited") for tokens in words["one word in 20 edited"])
    assert edited >= sum(len(one.original.split()) for one in drawn) // 20
    assert changed(drawn, "one word in 20 edited") == changed(drawn, "one word in 20 edited")


def test_too_few_excerpts_are_told() -> None:
    with pytest.raises(ValueError, match="only 0 of 3"):
        draw_excerpts([document("a/b", "x", "short\n")], 3, random.Random(1))


def test_the_judge_of_documents() -> None:
    excerpt = code(1, lines=8).encode()
    assert holds(code(2).encode() + re.sub(rb"\s+", b"\n", excerpt) + code(3).encode(), excerpt)
    assert not holds(code(2).encode(), excerpt)
    part = b"".join(excerpt.splitlines(keepends=True)[:3])
    assert not holds(code(2).encode() + part, excerpt)
    assert shares_copy(code(2).encode() + part, excerpt)
    assert not shares_copy(code(2).encode(), excerpt)


@pytest.mark.parametrize(
    ("kind", "ours", "theirs", "true"),
    [
        (MatchKind.EXACT, b"a b", b"a b", True),
        (MatchKind.EXACT, b"a b", b"a  b", False),
        (MatchKind.REFORMATTED, b"a b", b"a\nb", True),
        (MatchKind.REFORMATTED, b"a b", b"a c", False),
        (MatchKind.NEAR, b"a b c d e", b"a b x c d e", True),
        (MatchKind.NEAR, b"a b c d e", b"e d c b a", False),
        (MatchKind.RENAMED, b"a = f ( b )", b"x = f ( y )", True),
        (MatchKind.RENAMED, b"a + a + a", b"x + y + z", False),
    ],
)
def test_the_judge_of_matches(kind: MatchKind, ours: bytes, theirs: bytes, true: bool) -> None:
    def span(text: bytes) -> Span:
        return Span(start_byte=2, end_byte=2 + len(text), start_line=1, end_line=1)

    source = Source(repository="a", path="b")
    match = Match(
        kind=kind,
        tokens=1,
        similarity=1.0,
        query=span(ours),
        source=source,
        source_span=span(theirs),
        key=b"",
        holders=(source,),
    )
    assert is_true(match, b"( " + ours + b" )", b"[ " + theirs + b" ]") is true


@pytest.mark.parametrize("trigrams", [False, True])
def test_a_best_hit_counts_where_it_scores_enough(tmp_path: Path, trigrams: bool) -> None:
    indexed = [document("a/b", f"{n}.py", code(n)) for n in range(12)]
    held_out = [document("c/d", f"{n}.py", code(n)) for n in range(50, 62)]
    dice = random.Random(1)
    search = Fts5(tmp_path / "index.sqlite", trigrams=trigrams)
    assert search.build(indexed).disk_with_text > 1  # type: ignore[operator]
    method = BestHit(search, indexed)
    method.calibrate(draw_excerpts(indexed, 10, dice), draw_excerpts(held_out, 10, dice))
    [claim] = method.ask(code(3).encode())
    assert claim.document == indexed[3]
    assert method.ask(code(50).encode()) == []
    method.close()
    assert list(tmp_path.iterdir()) == []


def test_percentiles() -> None:
    assert percentile([], 0.5) == 0
    assert percentile([float(n) for n in range(100)], 0.95) == 95


def test_tables_take_the_place_between_the_marks_of_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    before = page.partition("<!-- benchmark -->")[0]
    after = page.partition("<!-- /benchmark -->")[2]
    changed_page = with_section(page, "benchmark", "| a |\n")
    assert changed_page == f"{before}<!-- benchmark -->\n| a |\n<!-- /benchmark -->{after}"
    with pytest.raises(ValueError, match="has no lines"):
        with_section("nothing", "benchmark", "")


def test_a_small_run_of_all_of_it(
    tmp_path: Path, corpus: Corpus, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "--size",
        "0.3",
        "--excerpts",
        "12",
        "--elasticsearch",
        "none",
        "--out",
        str(tmp_path / "out"),
    ]
    monkeypatch.setattr("sys.argv", ["attribution", *corpus.sources, *arguments])
    monkeypatch.setattr(benchmark, "CALIBRATION", 12)
    assert benchmark.main() == 0
    printed = capsys.readouterr().out
    assert printed.startswith((tmp_path / "out" / "attribution.md").read_text(encoding="utf-8"))
    report = json.loads((tmp_path / "out" / "attribution.json").read_text(encoding="utf-8"))
    assert [one["built"]["megabytes"] for one in report["growth"]] == pytest.approx(
        [0.04, 0.08, 0.15, 0.3], abs=0.05
    )
    by_name = {one["name"]: one for one in report["methods"]}
    assert list(by_name) == [
        "embedded",
        "embedded, manual check",
        "SQLite FTS5, phrases",
        "SQLite FTS5, trigrams",
    ]
    answers = by_name["embedded"]["answers"]
    assert answers["verbatim"]["right"] == answers["reformatted"]["right"] == 12
    assert all(kind["false"] == 0 for kind in answers.values())
    assert (tmp_path / "out" / PICTURE).read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_read_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["attribution", "no such folder", "--elasticsearch", "none"])
    assert benchmark.main() == 2
    assert "no such file or folder" in capsys.readouterr().err
