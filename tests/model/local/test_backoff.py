from itertools import islice

import pytest

from model.local.backoff import NO_RETRIES, Backoff


def test_pauses_double_up_to_the_limit_and_never_end() -> None:
    backoff = Backoff(first_s=0.25, max_s=30.0)
    assert list(islice(backoff.pauses_s(), 9)) == [0.25, 0.5, 1, 2, 4, 8, 16, 30, 30]
    assert [backoff.pause_s(n_failures) for n_failures in range(4)] == [0, 0.25, 0.5, 1]


@pytest.mark.parametrize(
    ("backoff", "pauses_s"),
    [
        (NO_RETRIES, []),
        (Backoff(first_s=0.0, max_retries=1), [0]),
        (Backoff(first_s=0.25, factor=4.0, max_retries=2), [0.25, 1]),
        (Backoff(first_s=1.0, max_s=3.0, max_retries=4), [1, 2, 3, 3]),
    ],
)
def test_pauses_end_with_the_last_retry(backoff: Backoff, pauses_s: list[float]) -> None:
    assert list(backoff.pauses_s()) == pauses_s


def test_days_of_failures_are_still_a_number() -> None:
    assert Backoff(first_s=0.25, factor=4.0, max_s=30.0).pause_s(100_000) == 30
