"""A progress indicator in the editor while a command runs; the user can cancel it (LSP, work done)."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from lsprotocol import types

if TYPE_CHECKING:
    from pygls.lsp.server import LanguageServer


@asynccontextmanager
async def working(server: LanguageServer, title: str) -> AsyncIterator[Callable[[], bool]]:
    """Show progress while the block runs, if the client can. Yields a function: was it cancelled?"""
    window = server.client_capabilities.window
    if window is None or not window.work_done_progress:
        yield lambda: False
        return
    token = str(uuid.uuid4())
    progress = server.work_done_progress
    await progress.create_async(token)
    progress.begin(token, types.WorkDoneProgressBegin(title=title, cancellable=True))
    try:
        yield progress.tokens[token].cancelled
    finally:
        progress.end(token, types.WorkDoneProgressEnd())
        del progress.tokens[token]
