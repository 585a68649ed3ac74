"""Questions to engines, and their answers as text."""

from __future__ import annotations

from typing import Any

from model.client.client import CompletionQuery, ContextText, EngineClient
from model.client.openai import OpenAIClient

CONTEXT = (ContextText(path="far.py", text="far = 1"), ContextText(path="near.py", text="near = 2"))


def query(prefix: str = "count", suffix: str = "", **fields: Any) -> CompletionQuery:
    return CompletionQuery(**{"prefix": prefix, "suffix": suffix, "max_tokens": 3, **fields})


def cursor(text: str, **fields: Any) -> CompletionQuery:
    """A query for the place of the ║."""
    prefix, suffix = text.split("║")
    return query(prefix, suffix, **fields)


async def text_of(client: EngineClient | OpenAIClient, asked: CompletionQuery) -> str:
    return "".join([delta.text async for delta in client.complete(asked)])
