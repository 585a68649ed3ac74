"""The latency book: quantiles, counts, retention, and that it stays small."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsp.status.telemetry import (
    Acceptance,
    CompletionTiming,
    LatencyBook,
    format_report,
    quantiles,
    retained_fraction,
)


def accepted(text: str, at_s: float) -> Acceptance:
    return Acceptance(uri="file:///a.py", line=3, text=text, at_s=at_s)


def test_an_empty_book_has_a_report() -> None:
    report = LatencyBook().report()
    assert report["completions"] == 0
    assert report["kvHitRate"] is None
    assert "0 completions" in LatencyBook().table()


def test_times_hits_and_rates() -> None:
    book = LatencyBook()
    for number in range(1, 101):
        book.requested()
        book.completed(
            CompletionTiming(
                queue_ms=1,
                prefill_ms=number,
                decode_ms=10,
                first_ms=None if number % 2 else 5,
                total_ms=2 * number,
                debounce_ms=number,
                prompt_tokens=100,
                cached_tokens=90,
                completion_tokens=5,
            )
        )
    report = book.report()
    assert report["latencyMs"]["prefill"] == {"p50": 50, "p95": 95, "count": 100}
    assert report["latencyMs"]["first"]["count"] == 50
    assert report["kvHitRate"] == 0.9
    assert report["tokensPerSecond"] == 500
    assert book.recent_total_ms(3) == [98, 99, 100]


def test_what_became_of_suggestions() -> None:
    book = LatencyBook()
    for chars in (10, 20, 30, 40):
        book.shown(chars)
    book.accepted(accepted("return total", 100.0))
    book.accepted(accepted("x = 1", 110.0), partially=True)
    book.rejected()
    book.cancelled()
    book.failed()
    book.typed_through()
    book.not_shown("drop_blank")
    book.not_shown("drop_blank")
    assert book.due(129.0) == []
    due = book.due(131.0)
    assert [acceptance.text for acceptance in due] == ["return total"]
    assert book.judged(due[0], "    return total\n") == 1.0
    assert book.judged(book.due(1e9)[0], "gone") == 0.0
    assert book.due(1e9) == []
    report = book.report()
    assert (report["accepted"], report["partiallyAccepted"], report["acceptanceRate"]) == (1, 1, 0.5)
    assert (report["retained"], report["retainedJudged"]) == (0.5, 2)
    assert (report["shownChars"], report["acceptedChars"]) == (100, 17)
    assert report["notShown"] == {"drop_blank": 2}
    json.dumps(report)
    text = format_report(report)
    for part in ("50.0 %", "drop_blank × 2", "1 typed through", "1 cancelled", "1 failed"):
        assert part in text


def test_the_book_stays_small() -> None:
    book = LatencyBook(entries=100)
    for number in range(10_000):
        book.completed(CompletionTiming(total_ms=number))
        book.accepted(accepted("x", number))
        book.not_shown(f"reason {number}")
    assert book.report()["completions"] == 100
    assert len(book.due(1e9)) <= 200
    assert len(book.report()["notShown"]) <= 50


@pytest.mark.parametrize(
    ("text", "nearby", "fraction"),
    [
        ("return total", "def f():\n    return total\n", 1.0),
        ("foo(a,b)", "foo(\n    a,\n    b,\n)", 1.0),
        ("a = b + c", "a = b", 0.6),
        ("return total", "", 0.0),
        ("  ", "anything", 1.0),
    ],
)
def test_how_much_of_an_accepted_text_is_left(text: str, nearby: str, fraction: float) -> None:
    assert retained_fraction(text, nearby) == pytest.approx(fraction)


@given(st.text(max_size=50), st.text(max_size=50))
def test_a_retained_share_is_a_share(text: str, nearby: str) -> None:
    assert 0.0 <= retained_fraction(text, nearby) <= 1.0
    assert retained_fraction(text, text) == 1.0


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_quantiles_are_of_the_values(values: list[float]) -> None:
    found = quantiles(values)
    assert min(values) <= found.p50_ms <= found.p95_ms <= max(values)
    assert found.p50_ms in values
    assert found.p95_ms in values
