"""Running an engine: a model's name in, an HTTP face out, until it is stopped or idle.

The command `starcoder-lsp engine` calls `run_engine`. Everything heavy is imported here, after the
address is known to be free.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from model.local.listen import TOKEN_VARIABLE, Listen, Listener
from model.local.port_token import published_token, token_file, token_for
from model.process.engine_files import READY, EngineFiles, LaunchOptions

if TYPE_CHECKING:
    from model.engine.engine import Engine
    from model.prompt.chat_template import ChatTemplate
    from model.weights.hub import ResolvedModel

logger = logging.getLogger(__name__)

IDLE_SECONDS = 600.0


def run_engine(
    options: LaunchOptions | None = None,
    *,
    listen: str | None = None,
    token: str | None = None,
    no_token: bool = False,
    idle_seconds: float | None = IDLE_SECONDS,
    offline: bool = False,
    fim_text: bool = False,
) -> None:
    """Load a model and answer requests until SIGTERM, Ctrl+C, `/shutdown` or `idle_seconds` of rest.

    `listen` is `unix:PATH` or `HOST:PORT`; None takes the socket where this user's language servers
    look. `token` None takes the environment's; on a port of this machine one is made and left where this
    user's programs find it, unless `no_token` says that everybody may ask. `fim_text` is
    `model.serve.prompting`'s. Writes one line to the standard output when ready, and everything else to the
    log on standard error. Raises `ModelError`.
    """
    options = (options or LaunchOptions()).settled()
    token = token or os.environ.get(TOKEN_VARIABLE) or None
    address = Listen.parse(listen) if listen else Listen(unix_path=EngineFiles.of_user(options).socket)
    address.require_token(token)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    with address.open() as listener, _token_of_port(listener, token, no_token=no_token) as token:
        from model.weights import hub

        # Before PyTorch is imported: a misspelt name should fail at once.
        resolved = hub.resolve(options.model, offline=offline)
        _show_restrictions(resolved)

        # Read when PyTorch loads its threads: a thread that waits must sleep, not spin. With another
        # busy program on two cores a prefill of 256 tokens took 700 ms spinning, 14 ms sleeping.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        from model.engine.engine import EngineOptions
        from model.start.header import read_header
        from model.start.load import load_engine

        header = read_header(resolved.folder)
        engine = load_engine(
            header,
            device=options.device,
            quantize=options.quantize,
            options=EngineOptions(threads=options.threads, kv_cache_bytes=options.cache_mib * 2**20),
        )
        serving = _serve(
            engine,
            header.template,
            resolved,
            listener,
            token=token,
            idle_seconds=idle_seconds,
            fim_text=fim_text,
        )
        asyncio.run(serving)


async def _serve(
    engine: Engine,
    template: ChatTemplate | None,
    resolved: ResolvedModel,
    listener: Listener,
    *,
    token: str | None,
    idle_seconds: float | None,
    fim_text: bool,
) -> None:
    from model.engine.async_engine import AsyncEngine
    from model.serve.prompting import generation_request, read_fim_text
    from model.serve.server import serve, stopping_on_signals
    from model.serve.serving import Served, Serving

    logger.info("serving %s: %s", resolved.name, engine.description)
    if token is not None and token == token_for(str(listener.address)):
        logger.info("clients need the token in %s", token_file(listener.address.port))
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
            fim_text=fim_text,
        ),
        token_bytes=engine.tokenizer.token_bytes,
        read=partial(read_fim_text, tokenizer=engine.tokenizer, config=engine.config, fim_text=fim_text),
    )
    async_engine.start()
    try:
        with stopping_on_signals(serving.stopping):
            ready = partial(_announce, listener.address, resolved.name)
            await serve(serving, listener, on_ready=ready, token=token, idle_seconds=idle_seconds)
    finally:
        await async_engine.stop()
    logger.info("stopped")


@contextlib.contextmanager
def _token_of_port(listener: Listener, token: str | None, *, no_token: bool) -> Iterator[str | None]:
    address = listener.address
    if token or no_token or address.unix_path is not None:
        yield token
        return
    with published_token(address.port) as made:
        yield made


def _announce(address: Listen, model: str) -> None:
    """The one line that a starter waits for."""
    sys.stdout.write(f"{READY}{address} model={model}\n")
    sys.stdout.flush()


def _show_restrictions(resolved: ResolvedModel) -> None:
    """Once per model, to whoever started the engine by hand; the language server shows it otherwise."""
    from model.weights.hub import first_notice

    if sys.stderr.isatty() and (notice := first_notice(resolved.name, resolved.restrictions)):
        sys.stderr.write(notice + "\n")
