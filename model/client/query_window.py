"""Cutting a query to a size in characters, for servers whose tokenizer we do not have."""

from __future__ import annotations

from dataclasses import replace

from model.client.client import CompletionQuery, ContextText


def windowed_query(query: CompletionQuery, max_prompt_chars: int) -> CompletionQuery:
    """Cut a query to size, around the cursor. Stable while typing, for the servers' prefix caches.

    The prefix's start moves in steps of a quarter of its budget. Prefix and suffix are cut at line
    ends. Context that no longer fits is left out, the first file first, which is the farthest.
    """
    max_prefix_chars = max_prompt_chars * 3 // 4
    prefix = _tail(query.prefix, max_prefix_chars)
    suffix = _head(query.suffix, max_prompt_chars - max_prefix_chars)
    left_chars = max_prompt_chars - len(prefix) - len(suffix)
    kept: list[ContextText] = []
    for item in reversed(query.context):
        left_chars -= len(item.text) + len(item.path)
        if left_chars < 0:
            break
        kept.insert(0, item)
    return replace(query, prefix=prefix, suffix=suffix, context=tuple(kept))


def _tail(prefix: str, max_chars: int) -> str:
    excess = len(prefix) - max_chars
    if excess <= 0:
        return prefix
    step = max(max_chars // 4, 1)
    start = -(-excess // step) * step
    line_end = prefix.find("\n", start)
    return prefix[start if line_end < 0 else line_end + 1 :]


def _head(suffix: str, max_chars: int) -> str:
    if len(suffix) <= max_chars:
        return suffix
    line_end = suffix.rfind("\n", 0, max_chars)
    return suffix[: max_chars if line_end < 0 else line_end + 1]
