from pathlib import Path

import pytest

from attribution.errors import PortraitError
from attribution.match.portrait import MAX_HIT_RATE, Portrait, build_portrait
from attribution.source import SourceDocument
from tests.attribution.samples import code, document


def documents(count: int) -> list[SourceDocument]:
    return [document(f"o/{n}", "x.py", code(n)) for n in range(count)]


def test_what_was_seen_is_recognised_and_the_rest_is_not(tmp_path: Path) -> None:
    portrait = build_portrait(documents(50), tmp_path / "p")
    for one in documents(50):
        seen = portrait.check(one.text)
        assert seen.hits == seen.asked > 0
        assert seen.copied
    wrong = sum(portrait.check(code(n).encode()).hits for n in range(1000, 1100))
    asked = sum(portrait.check(code(n).encode()).asked for n in range(1000, 1100))
    assert wrong <= 3 + 3 * asked * MAX_HIT_RATE
    assert not any(portrait.check(code(n).encode()).copied for n in range(1000, 1100))
    assert portrait.hit_rate <= MAX_HIT_RATE


def test_spans_are_where_it_was_seen(tmp_path: Path) -> None:
    portrait = build_portrait(documents(50), tmp_path / "p")
    query = code(2000) + code(7) + code(2001)
    [span] = portrait.check(query.encode()).spans
    assert 31 <= span.start_line <= 36
    assert 55 <= span.end_line <= 60


def test_two_bytes_a_fingerprint_and_the_same_bytes_again(tmp_path: Path) -> None:
    portrait = build_portrait(documents(300), tmp_path / "p")
    size = (tmp_path / "p").stat().st_size
    assert 2 * len(portrait) < size < 3 * len(portrait)
    build_portrait(documents(300)[::-1], tmp_path / "q")
    assert (tmp_path / "q").read_bytes() == (tmp_path / "p").read_bytes()


def test_of_nothing(tmp_path: Path) -> None:
    portrait = build_portrait([], tmp_path / "p")
    assert len(portrait) == 0
    assert portrait.check(code(1).encode()).hits == 0


def test_files_that_are_no_portraits(tmp_path: Path) -> None:
    build_portrait(documents(3), tmp_path / "p")
    whole = (tmp_path / "p").read_bytes()
    for content, message in ((whole[:-1], "truncated"), (b"x" * 64, "not a portrait"), (b"", "cannot read")):
        (tmp_path / "q").write_bytes(content)
        with pytest.raises(PortraitError, match=message):
            Portrait.load(tmp_path / "q")
    with pytest.raises(PortraitError, match="cannot read"):
        Portrait.load(tmp_path / "none")
