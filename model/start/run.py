"""Running an engine: a model's name in, an HTTP face out, until it is stopped or idle.

The command `starcoder-lsp engine` calls `run_engine`. Everything heavy is imported here, after the
address is known to be free.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from functools import partial
from typing import TYPE_CHECKING

from model.local.listen import TOKEN_VARIABLE, Listen, Listener
from model.process.engine_files import READY, EngineFiles, LaunchOptions

if TYPE_CHECKING:
    from model.engine.engine import Engine
    from model.weights.hub import ResolvedModel

logger = logging.getLogger(__name__)

IDLE_SECONDS = 600.0


def run_engine(
    options: LaunchOptions | None = None,
    *,
    listen: str | None = None,
    token: str | None = None,
    idle_seconds: float | None = IDLE_SECONDS,
    offline: bool = False,
) -> None:
    """Load a model and answer requests until SIGTERM, Ctrl+C, `/shutdown` or `idle_seconds` of rest.

    `listen` is `unix:PATH` or `HOST:PORT`; None takes the socket where this user's language servers
    look. `token` None takes the environment's. Writes one line to the standard output when ready,
    and everything else to the log on standard error. Raises `ModelError`.
    """
    options = options or LaunchOptions()
    token = token or os.environ.get(TOKEN_VARIABLE) or None
    address = Listen.parse(listen) if listen else Listen(unix_path=EngineFiles.of_user(options).socket)
    address.require_token(token)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    with address.open() as listener:
        from model.weights import hub

        # Before PyTorch is imported: a misspelt name should fail at once.
        resolved = hub.resolve(options.model, offline=offline)
        _show_restrictions(resolved)

        # Read when PyTorch loads its threads: a thread that waits must sleep, not spin. With another
        # busy program on two cores a prefill of 256 tokens took 700 ms spinning, 14 ms sleeping.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        from model.engine.engine import EngineOptions
        from model.start.load import load_engine

        engine = load_engine(
            resolved.folder,
            device=options.device,
            quantize=options.quantize,
            options=EngineOptions(threads=options.threads),
        )
        asyncio.run(_serve(engine, resolved, listener, token=token, idle_seconds=idle_seconds))


async def _serve(
    engine: Engine,
    resolved: ResolvedModel,
    listener: Listener,
    *,
    token: str | None,
    idle_seconds: float | None,
) -> None:
    from model.engine.async_engine import AsyncEngine
    from model.prompt.chat_template import ChatTemplate
    from model.serve.prompting import generation_request, token_text
    from model.serve.server import serve, stopping_on_signals
    from model.serve.serving import Served, Serving

    logger.info("serving %s: %s", resolved.name, engine.description)
    template = ChatTemplate.of_folder(resolved.folder)
    async_engine = AsyncEngine(engine)
    served = Served(
        name=resolved.name,
        license=resolved.license,
        restrictions=resolved.restrictions,
        context_tokens=engine.config.n_positions,
        chat="dialogue" if template is None else "template",
        details=tuple(engine.description.items()),
    )
    serving = Serving(
        async_engine,
        served,
        prepare=partial(
            generation_request,
            tokenizer=engine.tokenizer,
            config=engine.config,
            template=template,
            affordable_tokens=engine.prefill.affordable_tokens,
        ),
        token_text=partial(token_text, engine.tokenizer),
    )
    async_engine.start()
    try:
        with stopping_on_signals(serving.stopping):
            ready = partial(_announce, listener.address, resolved.name)
            await serve(serving, listener, on_ready=ready, token=token, idle_seconds=idle_seconds)
    finally:
        await async_engine.stop()
    logger.info("stopped")


def _announce(address: Listen, model: str) -> None:
    """The one line that a starter waits for."""
    sys.stdout.write(f"{READY}{address} model={model}\n")
    sys.stdout.flush()


def _show_restrictions(resolved: ResolvedModel) -> None:
    """Once per model, to whoever started the engine by hand; the language server shows it otherwise."""
    from model.weights.hub import first_notice

    if sys.stderr.isatty() and (notice := first_notice(resolved.name, resolved.restrictions)):
        sys.stderr.write(notice + "\n")
