"""Speeds for people, from the engine's timings of one answer.

Timings are the fields of `model.engine.generation.Timings`, by name, as they come over the wire. Only
our own engine gives any.
"""

from __future__ import annotations

from collections.abc import Mapping


def tokens_per_second(timings: Mapping[str, float]) -> float | None:
    """The speed of decoding, from the first token on."""
    n_decoded, decode_ms = timings.get("completion_tokens", 0) - 1, timings.get("decode_ms", 0)
    return 1e3 * n_decoded / decode_ms if n_decoded > 0 and decode_ms > 0 else None


def reused_share(timings: Mapping[str, float]) -> float | None:
    """The share of the prompt that the KV cache still held."""
    n_prompt = timings.get("prompt_tokens", 0)
    return timings.get("cached_tokens", 0) / n_prompt if n_prompt else None


def describe(first_ms: float | None, timings: Mapping[str, float]) -> str:
    """One line: time to the first token, tokens a second, reuse of the KV cache."""
    parts = []
    if first_ms is not None:
        parts.append(f"first token {first_ms:.0f} ms")
    if (speed := tokens_per_second(timings)) is not None:
        parts.append(f"{speed:.0f} tokens/s")
    if (share := reused_share(timings)) is not None:
        cached, prompt = timings["cached_tokens"], timings["prompt_tokens"]
        parts.append(f"KV reuse {share:.0%} ({cached:g} of {prompt:g})")
    return " · ".join(parts)
