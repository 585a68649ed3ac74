"""Only the one harmless error is kept out of the log."""

from __future__ import annotations

import asyncio
import logging

import pytest

from lsp.server.quiet import quieten_loop


async def test_a_read_cancelled_when_data_came_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.get_running_loop()
    quieten_loop(loop)
    cancelled: asyncio.Future[None] = loop.create_future()
    cancelled.cancel()
    done = loop.create_future()
    with caplog.at_level(logging.ERROR, "asyncio"):
        loop.call_soon(cancelled.set_result, None)
        loop.call_soon(done.set_result, None)
        await done
    assert not caplog.records


async def test_every_other_error_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.get_running_loop()
    quieten_loop(loop)
    done = loop.create_future()
    with caplog.at_level(logging.ERROR, "asyncio"):
        loop.call_soon(lambda: 1 / 0)
        loop.call_soon(done.set_result, None)
        await done
    assert "ZeroDivisionError" in caplog.text
