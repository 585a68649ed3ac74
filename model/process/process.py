"""The engine process of this user and model: found, started, replaced.

Owns the handshake on versions and the start under a lock. The engine is nobody's child for long: it
outlives the language server that started it, is shared by all windows, and ends itself when idle.
Free of torch; knows nothing about completions.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

from model.client.client import EngineClient, EngineHealth
from model.errors import EXTRA_EXIT_CODE, MODEL_EXIT_CODE, EngineUnavailableError, ModelError
from model.local.file_lock import FileLock, KnownProcess
from model.local.listen import owner_lock
from model.process.engine_files import EngineFiles, LaunchOptions
from model.process.engine_launch import HAS_UNIX_SOCKETS, default_command, launch
from model.process.restart_backoff import RestartBackoff
from model.version import PROTOCOL, package_version, release

# Weights may have to be fetched first: a start that is still going on is not an error.
START_SECONDS = 900.0
_STOP_SECONDS = 10.0
# An engine answers `/health` in a millisecond, whatever it computes. One that does not is stopped, or hangs.
HEALTH_SECONDS = 3.0
# How often an engine that is being asked is looked after.
_PULSE_SECONDS = 1.0
_POLL_SECONDS = 0.02


class EngineProcess:
    """Finds the engine for some options, or starts it.

    `command` runs the engine and takes the options' arguments; `files` None means the user's own
    folders. Without unix sockets (`use_port`), a loopback port and a token take their place.
    """

    def __init__(
        self,
        options: LaunchOptions,
        *,
        files: EngineFiles | None = None,
        command: Sequence[str] | None = None,
        use_port: bool = not HAS_UNIX_SOCKETS,
        start_seconds: float = START_SECONDS,
        health_seconds: float = HEALTH_SECONDS,
        version: str | None = None,
    ) -> None:
        self._options = options.settled()
        self._given_files = files
        self._command = list(command) if command is not None else default_command()
        self._use_port = use_port
        self._start_seconds = start_seconds
        self._health_seconds = health_seconds
        self._n_asking = 0
        self._watch: asyncio.Task[None] | None = None
        self.tell: Callable[[str], None] = lambda message: None
        """Hears that an engine is being replaced."""
        self._version = version if version is not None else package_version()
        self._backoff = RestartBackoff()
        self._client: EngineClient | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._finding: asyncio.Task[EngineClient] | None = None

    @property
    def files(self) -> EngineFiles:
        """The engine's files; the first question makes their folders."""
        if self._given_files is None:
            self._given_files = EngineFiles.of_user(self._options)
        return self._given_files

    async def ensure(self) -> EngineClient:
        """A client of a running engine of this version, started if need be.

        Cheap while the engine is well: call it before each request, and once more when a request
        finds the engine gone before its first token. Several callers share one start, which goes on
        when one of them is cancelled. Raises `EngineUnavailableError` with the last lines of the engine's
        log; at once, without a start, while an engine that keeps crashing has a pause.
        """
        if self._client is not None and not self._client.is_lost and self._seems_alive():
            return self._client
        if self._finding is None or self._finding.done():
            self._finding = asyncio.get_running_loop().create_task(self._find_or_start())
            self._finding.add_done_callback(_mark_as_seen)
        return await asyncio.shield(self._finding)

    async def stop(self) -> None:
        """Ask the engine to end, for all windows, and wait until it has."""
        async with self._starting():
            if (health := await self._health_or_end()) is not None:
                await self._retire(health)
        self._backoff.reset()

    @contextlib.contextmanager
    def asking(self, client: EngineClient) -> Iterator[None]:
        """While the block runs, end the engine if it hangs, and close `client`'s connections then."""
        self._n_asking += 1
        if self._watch is None or self._watch.done():
            self._watch = asyncio.get_running_loop().create_task(self._close_when_hung(client))
        try:
            yield
        finally:
            self._n_asking -= 1

    async def _close_when_hung(self, client: EngineClient) -> None:
        """Goes on from one request to the next: who types gives none of them the time that this takes."""
        while True:
            await asyncio.sleep(_PULSE_SECONDS)
            owner = self._owner()
            try:
                async with asyncio.timeout(self._health_seconds):
                    await client.health()
            except TimeoutError:
                break
            except ModelError:
                return  # it is gone, which the client sees too
            if not self._n_asking:
                return
        async with self._starting():
            await self._end_hung(owner)
        await client.aclose()

    async def aclose(self) -> None:
        """Let go of the engine without ending it."""
        if self._finding is not None:
            self._finding.cancel()
            await asyncio.gather(self._finding, return_exceptions=True)
        if self._watch is not None:
            self._watch.cancel()
        if self._client is not None:
            await self._client.aclose()
        self._let_go()

    def _let_go(self) -> None:
        """Reap the child if it has ended, else leave it to itself."""
        if self._child is not None and self._child.poll() is None:
            # It lives on by design; Popen would warn about that when it is collected.
            self._child.returncode = 0
        self._child = None

    def _seems_alive(self) -> bool:
        """A quick look: an engine that ended itself removed its socket, and a child has an exit code."""
        if self._child is not None and self._child.poll() is not None:
            return False
        return self._use_port or self.files.socket.exists()

    async def _find_or_start(self) -> EngineClient:
        async with self._starting():
            client = await self._running() or await self._start()
        if self._client is not None and self._client is not client:
            await self._client.aclose()
        self._client = client
        return client

    @contextlib.asynccontextmanager
    async def _starting(self) -> AsyncIterator[None]:
        """Be the only one who looks for an engine and starts one."""
        lock = FileLock(self.files.start_lock)

        async def acquired() -> bool:
            return lock.try_acquire()

        if not await _until(acquired, self._start_seconds):
            raise EngineUnavailableError(
                f"another window has been starting the engine for {self._start_seconds:.0f} s: "
                f"close it, or end the process that holds {lock.path}"
            )
        try:
            yield
        finally:
            lock.release()

    async def _running(self) -> EngineClient | None:
        """A client of the engine that runs, None if there is none; one of an older version, or one that
        hangs, is ended."""
        health = await self._health_or_end()
        if health is None:
            return None
        if health.status == "ok" and self._understands(health):
            return self._new_client()
        await self._retire(health)
        return None

    async def _health_or_end(self) -> EngineHealth | None:
        """What the running engine says, None if there is none; one that hangs is ended."""
        owner = self._owner()
        try:
            return await self._health()
        except TimeoutError:
            await self._end_hung(owner)
            return None

    def _owner(self) -> KnownProcess | None:
        """The process at the engine's address, where that is known."""
        return None if self._use_port else owner_lock(self.files.socket).signer()

    async def _end_hung(self, owner: KnownProcess | None) -> None:
        """Kill a process that answers nothing any more, if it is the owner that was seen before."""
        if self._child is not None and self._child.poll() is None and self._use_port:
            self._child.kill()
        elif owner is None or not owner.kill():
            return  # another window was faster, or the system does not say whose the number is
        self.tell(
            f"the engine did not answer for {self._health_seconds:.0f} s: it was ended, and a new one starts"
        )
        await _until(self._is_free, _STOP_SECONDS)

    async def _answers(self) -> bool:
        try:
            return await self._health() is not None
        except TimeoutError:
            return False

    async def _health(self) -> EngineHealth | None:
        """What the running engine says, None if nobody answers at its address. Raises `TimeoutError`."""
        client = self._new_client()
        if client is None:
            return None
        try:
            async with asyncio.timeout(self._health_seconds):
                health = await client.health()
        except ModelError:
            return None  # nobody there, or another program on a port that was once the engine's
        finally:
            await client.aclose()
        return health if health.protocol else None

    def _new_client(self) -> EngineClient | None:
        if not self._use_port:
            return EngineClient(unix_path=self.files.socket)
        url = self.files.ready_address()
        if url is None or not self.files.token.exists():
            return None
        return EngineClient(url=url, token=self.files.token.read_text(encoding="utf-8"))

    def _understands(self, health: EngineHealth) -> bool:
        """Whether the running engine will do: an older release is replaced, a newer one is used.

        Were any difference a reason, two windows of different releases would end each other's
        engines in turns.
        """
        if health.protocol > PROTOCOL:
            raise EngineUnavailableError(
                f"the running engine is of version {health.version}, newer than this {self._version}: "
                "restart this editor window, so that it uses the new version too"
            )
        return health.protocol == PROTOCOL and release(health.version) >= release(self._version)

    async def _retire(self, health: EngineHealth) -> None:
        """End a running engine and wait until it is gone."""
        client = self._new_client()
        try:
            if client is not None and health.status == "ok":
                await client.shutdown()
        except ModelError:
            _terminate(health.pid)  # too old to know the request
        finally:
            if client is not None:
                await client.aclose()
        if not await _until(self._is_free, _STOP_SECONDS):
            raise EngineUnavailableError(
                f"the engine of version {health.version} does not end: end its process {health.pid}"
            )

    async def _is_free(self) -> bool:
        """Whether no engine holds the address."""
        if self._use_port:
            return not await self._answers()
        lock = owner_lock(self.files.socket)
        free = lock.try_acquire()
        lock.release()
        return free

    async def _start(self) -> EngineClient:
        now_s = asyncio.get_running_loop().time()
        if (wait_s := self._backoff.wait_s(now_s)) > 0:
            raise EngineUnavailableError(
                f"the engine ended {self._backoff.n_quick_ends} times in a row; "
                f"the next attempt is in {wait_s:.0f} s. " + self._log_excerpt()
            )
        self._backoff.started(now_s)
        try:
            child = launch(self._command, self._options, self.files, use_port=self._use_port)
        except OSError as error:
            raise EngineUnavailableError(f"cannot run {self._command[0]}: {error}") from error
        self._let_go()
        self._child = child
        try:
            return await self._until_ready(child)
        except BaseException:
            if child.poll() is None:
                child.kill()
                child.wait()
            raise

    async def _until_ready(self, child: subprocess.Popen[bytes]) -> EngineClient:
        async def settled() -> bool:
            if self.files.ready_address() is not None:
                return True
            # A child that ended may have met an engine that is about to be ready, or is.
            return child.poll() is not None and (await self._is_free() or await self._answers())

        if not await _until(settled, self._start_seconds):
            raise EngineUnavailableError(
                f"the engine is not ready after {self._start_seconds:.0f} s. {self._log_excerpt()}"
            )
        client = self._new_client() if await self._answers() else None
        if client is None and child.poll() in (MODEL_EXIT_CODE, EXTRA_EXIT_CODE):
            # What is wrong with the model or the installation will still be wrong in a second.
            raise ModelError(self._log_excerpt())
        if client is None:
            raise EngineUnavailableError(
                f"the engine could not start (exit code {child.poll()}). {self._log_excerpt()}"
            )
        return client

    def _log_excerpt(self) -> str:
        lines = self.files.log_tail()
        if not lines:
            return f"Its log {self.files.log} is empty."
        return "\n".join([lines[-1], f"The end of its log, {self.files.log}:", *lines])


def _terminate(pid: int | None) -> None:
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):  # then it has ended, which is what we want
            os.kill(pid, signal.SIGTERM)


async def _until(condition: Callable[[], Awaitable[bool]], seconds: float) -> bool:
    """Poll a condition that nothing announces. False when `seconds` have gone by."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + seconds
    while not await condition():
        if loop.time() >= end_s:
            return False
        await asyncio.sleep(_POLL_SECONDS)
    return True


def _mark_as_seen(task: asyncio.Task[EngineClient]) -> None:
    """A failed start whose callers have all left is in the log; asyncio need not complain too."""
    if not task.cancelled():
        task.exception()
