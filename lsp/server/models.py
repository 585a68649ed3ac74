"""`starcoder/models` and `starcoder/getModel`: the models, and one fetched while the user works.

The fetching is `starcoder-lsp model get` in a process of its own, so that it can be ended at any time and
nothing here waits for a network. Knows nothing of where models come from.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from lsprotocol import types
from pygls.exceptions import JsonRpcException, JsonRpcInvalidParams

from lsp.status.latencies import remember

if TYPE_CHECKING:
    from lsp.status.telemetry import Quantiles

MODELS = "starcoder/models"
GET_MODEL = "starcoder/getModel"
MODEL_PROGRESS = "starcoder/modelProgress"


def describe_models(setting: str, times: Mapping[str, Quantiles]) -> dict[str, Any]:
    """All models that can be named here, and the one proposed. Reads files: call it in a thread.

    `times` are those of this window, from a key to the first text, by the name of the model that answered.
    """
    from model.catalogue.here import settled
    from model.catalogue.listing import list_models
    from model.catalogue.machine import Machine, propose

    in_use = settled(setting)
    proposal = propose(Machine.this())
    measured = remember(times)
    return {
        "setting": setting,
        "proposed": {"name": proposal.name, "reason": proposal.reason},
        "models": [
            {**model.to_json(in_use), "latencyMs": measured.get(model.answers_as)} for model in list_models()
        ],
    }


async def fetch_model(params: dict[str, Any] | None, tell: Callable[[int], None]) -> str:
    """Fetch the published model of that name; `tell` hears the bytes. Cancelling ends the fetching."""
    from model.catalogue.published import published

    name = str((params or {}).get("name"))
    if published(name) is None:
        raise JsonRpcInvalidParams(f"{name!r} is no published model; {MODELS} lists them")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-m", "lsp", "model", "get", name, "--json"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # with pip, which it may have started, it is ended as one
    )
    assert process.stdout is not None
    assert process.stderr is not None
    reading = asyncio.ensure_future(process.stderr.read())
    try:
        async for line in process.stdout:
            tell(int(json.loads(line)["bytes"]))
        complaints = (await reading).decode(errors="replace").strip().splitlines()
        if await process.wait() != 0:
            reason = complaints[-1] if complaints else f"{name} could not be fetched"
            raise JsonRpcException(reason, code=types.LSPErrorCodes.RequestFailed)
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM) if hasattr(os, "killpg") else process.terminate()
            await process.wait()
        reading.cancel()
    return name
