"""Editors that are measured: ours with its engine's process, llama.vscode with llama.cpp's server.

Both speak HTTP over a unix socket with a process of their own, and both wait for an answer's end before the
next key. Owns how a key is asked about and timed. Knows nothing of what is typed and of reports.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from benchmarks.llama_server import LlamaServer, running
from benchmarks.machine import peak_mb, processor_s
from benchmarks.replay.llama_vscode import LlamaVscode
from benchmarks.replay.questions import Questions
from benchmarks.replay.session import Key, Stroke
from lsp.settings.settings import CompletionSettings
from model.client.client import EngineClient
from model.local.listen import Listen
from model.process.engine_files import READY

# As llama.vscode's page recommends for a model of .5 B on a CPU; the context holds its whole ring.
_BATCH = ("--batch-size", "1024", "--ubatch-size", "1024")
_SERVER_CONTEXT = 8192


@dataclass(frozen=True, kw_only=True)
class KeyAnswer:
    """How one key was answered."""

    editor: str
    key: Key
    first_ms: float
    """From the edit to the first text, or to the end where there is none."""
    whole_ms: float
    processor_ms: float
    """What the engine's threads together had of processors for it: on a busy machine it tells more."""
    prompt_tokens: int
    computed_tokens: int
    is_right: bool | None
    """Whether the answer's first line is what the file has there; None where none is to be expected."""


@dataclass(frozen=True, kw_only=True)
class EngineStart:
    """What a process took to be ready, and its largest resident set so far."""

    ready_s: float
    peak_mb: float


class Editor(Protocol):
    """One editor window with an engine of its own."""

    name: str

    def start(self) -> EngineStart:
        """How its engine started."""

    async def rest(self, left: Stroke | None) -> None:
        """The user looks for another place; `left` was the last key."""

    async def answer(self, stroke: Stroke) -> KeyAnswer:
        """Press a key and wait for the answer to it."""


class OurEditor:
    """The language server's questions, asked by its own client."""

    name = "ours"

    def __init__(
        self, client: EngineClient, questions: Questions, pid: int, *, ready_s: float, rest_s: float
    ) -> None:
        self._client, self._questions = client, questions
        self._pid, self._ready_s, self._rest_s = pid, ready_s, rest_s

    def start(self) -> EngineStart:
        """See `Editor`."""
        return EngineStart(ready_s=self._ready_s, peak_mb=peak_mb(self._pid))

    async def rest(self, left: Stroke | None) -> None:
        """See `Editor`."""
        await asyncio.sleep(self._rest_s)

    async def answer(self, stroke: Stroke) -> KeyAnswer:
        """See `Editor`."""
        processor_before_s = processor_s(self._pid)
        began = time.perf_counter()
        query = self._questions.after(stroke)
        text, first_s, timings = "", None, dict[str, float]()
        async with aclosing(self._client.complete(query)) as deltas:
            async for delta in deltas:
                text += delta.text
                if first_s is None and text:
                    first_s = time.perf_counter() - began
                timings |= delta.timings or {}
        whole_s = time.perf_counter() - began
        prompt, cached = int(timings["prompt_tokens"]), int(timings["cached_tokens"])
        return KeyAnswer(
            editor=self.name,
            key=stroke.key,
            first_ms=(first_s or whole_s) * 1e3,
            whole_ms=whole_s * 1e3,
            processor_ms=(processor_s(self._pid) - processor_before_s) * 1e3,
            prompt_tokens=prompt,
            computed_tokens=prompt - cached,
            is_right=_is_right(stroke, text),
        )


class LlamaEditor:
    """llama.vscode's requests to llama-server."""

    def __init__(self, name: str, server: LlamaServer, extension: LlamaVscode) -> None:
        self.name = name
        self._server, self._extension = server, extension

    def start(self) -> EngineStart:
        """See `Editor`."""
        return EngineStart(ready_s=self._server.ready_s, peak_mb=peak_mb(self._server.pid))

    async def rest(self, left: Stroke | None) -> None:
        """See `Editor`."""
        if left is not None:
            self._extension.leave(left.document, left.line)
        if (body := self._extension.idle()) is not None:
            await self._server.ask("/infill", body)

    async def answer(self, stroke: Stroke) -> KeyAnswer:
        """See `Editor`."""
        processor_before_s = processor_s(self._server.pid)
        began = time.perf_counter()
        body = self._extension.after(stroke)
        asked_ms = (time.perf_counter() - began) * 1e3
        answer = await self._server.ask("/infill", body)
        return KeyAnswer(
            editor=self.name,
            key=stroke.key,
            first_ms=asked_ms + answer.first_ms,
            whole_ms=asked_ms + answer.whole_ms,
            processor_ms=(processor_s(self._server.pid) - processor_before_s) * 1e3,
            prompt_tokens=answer.prompt_tokens,
            computed_tokens=answer.computed_tokens,
            is_right=_is_right(stroke, answer.text),
        )


def _is_right(stroke: Stroke, text: str) -> bool | None:
    return None if stroke.rest is None else text.partition("\n")[0].strip() == stroke.rest.strip()


@asynccontextmanager
async def our_editor(
    model: str,
    files: Sequence[Path],
    *,
    threads: int,
    context_tokens: int | None,
    max_new_tokens: int | None,
    rest_s: float,
) -> AsyncIterator[OurEditor]:
    """Start an engine for a model, in a window where some files are open."""
    settings = CompletionSettings()
    if max_new_tokens:
        settings = replace(settings, max_new_tokens=max_new_tokens)
    with tempfile.TemporaryDirectory(prefix="engine-") as folder:
        listen = Listen(unix_path=Path(folder, "e.sock"))
        command = [sys.executable, "-m", "lsp", "engine", "--model", model, "--listen", str(listen)]
        began = time.perf_counter()
        process = subprocess.Popen([*command, "--threads", str(threads)], stdout=subprocess.PIPE)
        client = EngineClient(unix_path=listen.unix_path)
        try:
            assert process.stdout is not None
            if not process.stdout.readline().decode().startswith(READY):
                raise RuntimeError(f"{' '.join(command)} did not start")
            ready_s = time.perf_counter() - began
            known = (await client.health()).context_tokens
            questions = Questions(context_tokens or known or 0, remembers=True, settings=settings)
            for path in files:
                questions.open(path)
            yield OurEditor(client, questions, process.pid, ready_s=ready_s, rest_s=rest_s)
        finally:
            await client.aclose()
            process.terminate()
            process.communicate()


@asynccontextmanager
async def llama_editor(
    program: str, model: Path, *, threads: int, cache_reuse: int, max_new_tokens: int | None
) -> AsyncIterator[LlamaEditor]:
    """Start llama-server for a GGUF file as llama.vscode has it started."""
    extension = LlamaVscode(max_new_tokens=max_new_tokens) if max_new_tokens else LlamaVscode()
    more = [*_BATCH, "--cache-reuse", str(cache_reuse)]
    async with running(program, model, threads=threads, context_tokens=_SERVER_CONTEXT, more=more) as server:
        yield LlamaEditor(f"llama.vscode, --cache-reuse {cache_reuse}", server, extension)
