"""Fixtures of the tests that drive the real language server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from hypothesis import HealthCheck, settings

from tests.lsp.fake_engine import FakeEngine, fake_engine

# How long one example takes says more about what else the machine does than about the code.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


@pytest_asyncio.fixture
async def engine() -> AsyncIterator[FakeEngine]:
    """An OpenAI-compatible server that says what the test tells it to."""
    async with fake_engine() as running:
        yield running
