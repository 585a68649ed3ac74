"""The adaptive pause before a completion."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lsp.documents.debounce import (
    MAX_DELAY_MS,
    MIN_DELAY_MS,
    CursorLine,
    client_debounces,
    debounce_ms,
    score,
)

WORD = CursorLine(line_before="    retu", line_tail="")
OPEN = CursorLine(line_before="    x = ", line_tail="")


def test_nobody_waits_twice_or_when_asked_by_hand() -> None:
    assert debounce_ms(OPEN, client_debounces=True) == 0
    assert debounce_ms(OPEN, manual=True) == 0
    assert debounce_ms(OPEN, manual=True, setting=300) == 0


def test_a_set_pause_is_kept() -> None:
    assert debounce_ms(OPEN, setting=300, key_gaps_ms=[50] * 10, client_debounces=True) == 300
    assert debounce_ms(OPEN, setting=0) == 0


def test_a_place_that_asks_for_more_is_served_sooner() -> None:
    inside = CursorLine(line_before="    retu", line_tail="n x")
    assert score(OPEN) > score(WORD) > score(inside)
    gaps = [200.0] * 10
    waits = [debounce_ms(place, key_gaps_ms=gaps) for place in (OPEN, WORD, inside)]
    assert waits == sorted(waits)
    assert waits[0] < waits[2]


def test_a_slow_engine_is_asked_sooner_and_fast_typing_waits_less() -> None:
    gaps = [200.0] * 10
    assert debounce_ms(WORD, key_gaps_ms=gaps, responses_ms=[160] * 5) < debounce_ms(WORD, key_gaps_ms=gaps)
    assert debounce_ms(WORD, key_gaps_ms=[80] * 10) < debounce_ms(WORD, key_gaps_ms=gaps)


def test_one_pause_or_one_cold_start_changes_nothing() -> None:
    gaps, responses = [200.0] * 9, [60.0] * 9
    usual = debounce_ms(WORD, key_gaps_ms=gaps, responses_ms=responses)
    assert debounce_ms(WORD, key_gaps_ms=[*gaps, 40_000.0], responses_ms=[*responses, 9_000.0]) == usual


times = st.lists(st.floats(0, 1e7), max_size=30)


@given(before=st.text(max_size=20), tail=st.text(max_size=20), end=st.booleans(), gaps=times, responses=times)
def test_the_pause_is_bounded(
    before: str, tail: str, end: bool, gaps: list[float], responses: list[float]
) -> None:
    place = CursorLine(line_before=before, line_tail=tail, at_document_end=end)
    assert 0.0 <= score(place) <= 1.0
    assert MIN_DELAY_MS <= debounce_ms(place, key_gaps_ms=gaps, responses_ms=responses) <= MAX_DELAY_MS


def test_which_clients_debounce() -> None:
    assert client_debounces("Visual Studio Code - Insiders")
    assert not client_debounces("Neovim")
    assert not client_debounces(None)
    assert client_debounces("Neovim", declared=True)
    assert not client_debounces("Visual Studio Code", declared=False)
