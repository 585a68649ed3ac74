"""What timings come to."""

from __future__ import annotations

from lsp.status import speed

TIMINGS = {"completion_tokens": 11, "decode_ms": 200, "prompt_tokens": 400, "cached_tokens": 396}


def test_speed_counts_what_follows_the_first_token() -> None:
    assert speed.tokens_per_second(TIMINGS) == 50


def test_one_token_has_no_speed() -> None:
    assert speed.tokens_per_second({"completion_tokens": 1, "decode_ms": 0}) is None


def test_reuse_is_a_share_of_the_prompt() -> None:
    assert speed.reused_share(TIMINGS) == 0.99


def test_other_engines_tell_nothing() -> None:
    assert speed.tokens_per_second({}) is None
    assert speed.reused_share({}) is None
    assert speed.describe(12.4, {}) == "first token 12 ms"


def test_all_of_it_in_one_line() -> None:
    expected = "first token 12 ms · 50 tokens/s · KV reuse 99% (396 of 400)"
    assert speed.describe(12.4, TIMINGS) == expected
