"""Fixtures of the tests that drive the real language server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.lsp.fake_engine import FakeEngine, fake_engine


@pytest_asyncio.fixture
async def engine() -> AsyncIterator[FakeEngine]:
    """An OpenAI-compatible server that says what the test tells it to."""
    async with fake_engine() as running:
        yield running
