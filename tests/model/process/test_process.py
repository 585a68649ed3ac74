"""Finding, starting and replacing the engine process: real processes on real sockets."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from pathlib import Path

import pytest

from model.client.client import CompletionQuery, EngineClient
from model.errors import EngineUnavailableError, ModelError
from model.local import user_folders
from model.local.file_lock import FileLock, KnownProcess
from model.local.listen import Listen
from model.process.engine_files import EngineFiles, LaunchOptions
from model.process.engine_launch import HAS_UNIX_SOCKETS
from model.process.process import START_SECONDS, EngineProcess
from model.process.restart_backoff import RestartBackoff
from model.version import release
from tests.model.queries import text_of
from tests.model.serving import PATIENCE_S, alive

ROOT = Path(__file__).parents[3]
RELEASE = "1.5.0"


def query(prefix: str = "count") -> CompletionQuery:
    return CompletionQuery(prefix=prefix, suffix="", max_tokens=3)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.01)


async def pid_of(client: EngineClient) -> int:
    pid = (await client.health()).pid
    assert pid is not None
    return pid


class Workshop:
    """Makes language servers' ends of an engine, and ends what they started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.starts = folder / "starts"
        self._made: list[EngineProcess] = []

    def command(self, *more: str) -> list[str]:
        # The engine's working folder is the runtime folder, so the package is named by its path.
        run = "runpy.run_module('tests.model.scripted_engine', run_name='__main__')"
        code = f"import sys, runpy; sys.path.insert(0, {str(ROOT)!r}); {run}"
        return [sys.executable, "-c", code, "--starts", str(self.starts), *more]

    def engine(
        self,
        *,
        model: str = "m",
        arguments: tuple[str, ...] = ("--version", RELEASE),
        command: Sequence[str] | None = None,
        version: str = RELEASE,
        use_port: bool = not HAS_UNIX_SOCKETS,
        start_seconds: float = START_SECONDS,
        health_seconds: float = PATIENCE_S,  # on a busy machine an engine is slow, and yet well
    ) -> EngineProcess:
        launch = LaunchOptions(model=model)
        made = EngineProcess(
            launch,
            files=EngineFiles.inside(self.folder / "run", launch),
            command=command or self.command(*arguments),
            version=version,
            use_port=use_port,
            start_seconds=start_seconds,
            health_seconds=health_seconds,
        )
        self._made.append(made)
        return made

    def n_starts(self) -> int:
        return len(self.starts.read_text().splitlines()) if self.starts.exists() else 0

    async def aclose(self) -> None:
        for made in self._made:
            await made.stop()
            await made.aclose()


@pytest.fixture
async def workshop(tmp_path: Path) -> AsyncIterator[Workshop]:
    shop = Workshop(tmp_path)
    yield shop
    await shop.aclose()


@pytest.fixture(params=["socket", "port"])
def use_port(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "port")


@pytest.mark.parametrize("name", ["starter", "org/model", "ollama:qwen:1.5b", "ollama:hf.co/a/b:q4"])
def test_a_name_that_is_no_path_stays_as_it_is(name: str) -> None:
    assert LaunchOptions(model=name).settled().model == name


def test_a_folder_is_the_same_wherever_the_engine_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m" / "base").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert LaunchOptions(model="m/base").settled().model == str(Path.cwd() / "m" / "base")


class TestStart:
    async def test_on_demand(self, workshop: Workshop, use_port: bool) -> None:
        engine = workshop.engine(use_port=use_port)
        client = await engine.ensure()
        assert await text_of(client, query()) == "0 1 2 "
        assert (await client.health()).version == RELEASE
        assert await engine.ensure() is client
        assert workshop.n_starts() == 1

    async def test_is_shared_by_windows_that_come_later(self, workshop: Workshop, use_port: bool) -> None:
        first, second = workshop.engine(use_port=use_port), workshop.engine(use_port=use_port)
        pid = await pid_of(await first.ensure())
        assert await pid_of(await second.ensure()) == pid
        assert workshop.n_starts() == 1

    async def test_is_shared_by_windows_that_come_at_once(self, workshop: Workshop) -> None:
        windows = [workshop.engine() for _ in range(4)]
        clients = await asyncio.gather(*[window.ensure() for window in windows])
        assert len({await pid_of(client) for client in clients}) == 1
        assert workshop.n_starts() == 1

    async def test_is_shared_by_processes_that_come_at_once(self, workshop: Workshop) -> None:
        code = textwrap.dedent(
            """
            import asyncio, json, sys
            from pathlib import Path
            from model.process.engine_files import EngineFiles, LaunchOptions
            from model.process.process import EngineProcess
            async def main(folder, command):
                options = LaunchOptions(model="m")
                files = EngineFiles.inside(Path(folder), options)
                engine = EngineProcess(options, files=files, command=command, version="1.5.0")
                print((await (await engine.ensure()).health()).pid)
                await engine.aclose()
            asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
            """
        )
        arguments = [str(workshop.folder / "run"), json.dumps(workshop.command("--version", RELEASE))]
        windows = [
            await asyncio.create_subprocess_exec(
                sys.executable, "-W", "error", "-c", code, *arguments, stdout=subprocess.PIPE, cwd=ROOT
            )
            for _ in range(3)
        ]
        pids = {(await window.communicate())[0] for window in windows}
        assert [window.returncode for window in windows] == [0, 0, 0]
        assert len(pids) == 1
        assert workshop.n_starts() == 1
        # All of them have ended; their engine has not.
        engine = workshop.engine()
        assert await pid_of(await engine.ensure()) == int(pids.pop())
        assert workshop.n_starts() == 1

    async def test_of_other_options_is_another_engine(self, workshop: Workshop) -> None:
        first, second = workshop.engine(model="m"), workshop.engine(model="other")
        pids = {await pid_of(await window.ensure()) for window in (first, second)}
        assert len(pids) == 2

    async def test_goes_on_when_a_caller_is_cancelled(self, workshop: Workshop) -> None:
        engine = workshop.engine()
        first, second = asyncio.create_task(engine.ensure()), asyncio.create_task(engine.ensure())
        await until(lambda: workshop.n_starts() == 1)
        first.cancel()
        assert await text_of(await second, query()) == "0 1 2 "
        assert workshop.n_starts() == 1

    async def test_leaves_nothing_open_to_others(self, workshop: Workshop) -> None:
        engine = workshop.engine(use_port=True)
        await engine.ensure()
        assert stat.S_IMODE(engine.files.folder.stat().st_mode) == 0o700
        assert stat.S_IMODE(engine.files.token.stat().st_mode) == 0o600
        url = engine.files.ready_address()
        assert url is not None
        stranger = EngineClient(url=url)
        with pytest.raises(EngineUnavailableError, match="401"):
            await text_of(stranger, query())
        await stranger.aclose()

    async def test_replaces_a_stale_socket(self, workshop: Workshop) -> None:
        engine = workshop.engine()
        pid = await pid_of(await engine.ensure())
        os.kill(pid, signal.SIGKILL)
        await until(lambda: not alive(pid))
        assert engine.files.socket.exists()
        assert await text_of(await workshop.engine().ensure(), query()) == "0 1 2 "


class TestFailure:
    async def test_says_why_with_the_end_of_the_log(self, workshop: Workshop) -> None:
        engine = workshop.engine(model="broken")
        with pytest.raises(ModelError) as caught:
            await engine.ensure()
        assert not isinstance(caught.value, EngineUnavailableError), "no reason to start it again"
        message = str(caught.value)
        assert message.startswith("error: the weights are damaged")
        assert str(engine.files.log) in message

    async def test_of_the_command_itself(self, workshop: Workshop) -> None:
        with pytest.raises(EngineUnavailableError, match="no-such-python"):
            await workshop.engine(command=["no-such-python"]).ensure()

    async def test_to_become_ready(self, workshop: Workshop) -> None:
        mute = [sys.executable, "-c", "import time; print('loading', flush=True); time.sleep(60)"]
        engine = workshop.engine(command=mute, start_seconds=0.3)
        with pytest.raises(EngineUnavailableError, match="not ready after 0 s"):
            await engine.ensure()
        assert engine._child is not None
        assert engine._child.poll() is not None

    async def test_of_another_window_to_start_it(self, workshop: Workshop) -> None:
        engine = workshop.engine(start_seconds=0.1)
        lock = FileLock(engine.files.start_lock)
        assert lock.try_acquire()
        with pytest.raises(EngineUnavailableError, match="another window"):
            await engine.ensure()
        lock.release()
        assert workshop.n_starts() == 0

    async def test_is_rested(self, workshop: Workshop) -> None:
        engine, message = workshop.engine(model="broken"), ""
        while "in a row" not in message:  # on a slow machine a pause may be over before the next attempt
            n_starts = workshop.n_starts()
            with pytest.raises(ModelError, match="damaged") as caught:
                await engine.ensure()
            message = str(caught.value)
        assert re.match(r"the engine ended \d times in a row; the next attempt is in \d+ s\. ", message)
        assert 3 <= n_starts == workshop.n_starts()

    async def test_of_another_user_to_keep_out(self, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(EngineUnavailableError, match="not a folder of yours"):
            user_folders.private_folder(tmp_path / "link")
        (tmp_path / "open").mkdir(mode=0o755)
        assert stat.S_IMODE(user_folders.private_folder(tmp_path / "open").stat().st_mode) == 0o700


@pytest.mark.skipif(not HAS_UNIX_SOCKETS, reason="a process is stopped, and known by its lock")
class TestHung:
    """An engine that was stopped (kill -STOP): it takes connections and answers nothing."""

    async def test_is_replaced_by_a_window_that_looks_for_it(self, workshop: Workshop) -> None:
        told: list[str] = []
        pid = await pid_of(await workshop.engine().ensure())
        os.kill(pid, signal.SIGSTOP)
        other = workshop.engine(health_seconds=0.5)
        other.tell = told.append
        assert await pid_of(await other.ensure()) != pid
        assert not alive(pid)
        assert len(told) == 1
        assert "did not answer" in told[0]

    async def test_is_replaced_while_a_request_waits(self, workshop: Workshop) -> None:
        engine = workshop.engine(health_seconds=0.5)
        client = await engine.ensure()
        pid = await pid_of(client)
        with engine.asking(client):
            async with aclosing(client.complete(query("hang"))) as deltas:
                await anext(deltas)
                os.kill(pid, signal.SIGSTOP)
                with pytest.raises(EngineUnavailableError):
                    await anext(deltas)
        assert not alive(pid)
        assert await text_of(await engine.ensure(), query()) == "0 1 2 "

    async def test_is_ended_by_hand(self, workshop: Workshop) -> None:
        engine = workshop.engine(health_seconds=0.5)
        pid = await pid_of(await engine.ensure())
        os.kill(pid, signal.SIGSTOP)
        await engine.stop()
        assert not alive(pid)

    async def test_another_process_with_its_number_is_left_alone(self, workshop: Workshop) -> None:
        engine = workshop.engine()
        await engine.ensure()
        owner = engine._owner()
        assert owner is not None
        assert not KnownProcess(pid=owner.pid, started="1").kill()
        assert alive(owner.pid)


class TestEnd:
    async def test_killed_in_mid_stream(self, workshop: Workshop, use_port: bool) -> None:
        engine = workshop.engine(use_port=use_port)
        client = await engine.ensure()
        pid = await pid_of(client)
        async with aclosing(client.complete(query("hang"))) as deltas:
            assert (await anext(deltas)).text == "0 "
            os.kill(pid, signal.SIGKILL)
            with pytest.raises(EngineUnavailableError):
                await anext(deltas)
        again = await engine.ensure()
        assert await text_of(again, query()) == "0 1 2 "
        assert await pid_of(again) != pid

    async def test_outlives_the_window_that_started_it(self, workshop: Workshop) -> None:
        first = workshop.engine()
        pid = await pid_of(await first.ensure())
        await first.aclose()
        assert alive(pid)
        assert await pid_of(await workshop.engine().ensure()) == pid

    async def test_when_idle_and_back_on_demand(self, workshop: Workshop) -> None:
        engine = workshop.engine(arguments=("--idle", "0.1", "--version", RELEASE))
        pid = await pid_of(await engine.ensure())
        await until(lambda: not alive(pid))
        assert not engine.files.socket.exists()
        assert await pid_of(await engine.ensure()) != pid

    async def test_on_request(self, workshop: Workshop) -> None:
        engine = workshop.engine()
        pid = await pid_of(await engine.ensure())
        await engine.stop()
        await until(lambda: not alive(pid))
        assert await pid_of(await engine.ensure()) != pid


class TestVersions:
    async def test_an_older_engine_is_replaced(self, workshop: Workshop) -> None:
        old = await (
            await workshop.engine(arguments=("--version", "1.4.9"), version="1.4.9").ensure()
        ).health()
        new = await (await workshop.engine().ensure()).health()
        assert (old.version, new.version) == ("1.4.9", RELEASE)
        old_pid = old.pid
        assert old_pid is not None
        await until(lambda: not alive(old_pid))

    async def test_a_newer_one_is_used(self, workshop: Workshop) -> None:
        newer = await (
            await workshop.engine(arguments=("--version", "1.10.0"), version="1.10.0").ensure()
        ).health()
        used = await (await workshop.engine().ensure()).health()
        assert used.pid == newer.pid

    def test_compare_by_number(self) -> None:
        assert release("1.10.0rc1") == (1, 10, 0)
        assert release("1.10") > release("1.9.9")
        assert release("nonsense") == ()


class TestBackoff:
    def test_restarts_twice_at_once_then_ever_later(self) -> None:
        backoff, now, waits = RestartBackoff(), 0.0, []
        for _ in range(10):
            waits.append(backoff.wait_s(now))
            now += waits[-1]
            backoff.started(now)
        assert waits == [0, 0, 0, 1, 2, 4, 8, 16, 32, 60]

    def test_forgets_after_a_long_life(self) -> None:
        backoff = RestartBackoff()
        for now in (0.0, 1.0, 2.0, 3.0):
            backoff.started(now)
        assert backoff.wait_s(4.0) > 0
        assert backoff.wait_s(500.0) == 0
        backoff.started(500.0)
        assert backoff.wait_s(500.0) == 0


class TestLock:
    def test_is_exclusive_and_given_back(self, tmp_path: Path) -> None:
        first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
        assert first.try_acquire()
        assert not second.try_acquire()
        first.release()
        assert second.try_acquire()
        second.release()

    def test_is_given_back_by_the_dead(self, tmp_path: Path) -> None:
        code = (
            "import sys, time; from pathlib import Path; from model.local.file_lock import FileLock;"
            "FileLock(Path(sys.argv[1])).try_acquire(); print('held', flush=True); time.sleep(60)"
        )
        lock = FileLock(tmp_path / "lock")
        with subprocess.Popen(
            [sys.executable, "-c", code, lock.path], stdout=subprocess.PIPE, cwd=ROOT
        ) as holder:
            # The object is collected at once, but its descriptor stays open until the process ends.
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            assert not lock.try_acquire()
            holder.kill()
        assert lock.try_acquire()
        lock.release()


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield


def test_the_users_folders(tmp_path: Path) -> None:
    with environment(XDG_RUNTIME_DIR=str(tmp_path / "run"), XDG_STATE_HOME=str(tmp_path / "state")):
        files = EngineFiles.of_user(LaunchOptions())
    assert files.socket.parent == tmp_path / "run" / "starcoder-lsp"
    assert stat.S_IMODE(files.folder.stat().st_mode) == 0o700
    assert str(files.log).startswith(str(tmp_path / "state"))


def test_a_runtime_folder_too_long_for_sockets_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with environment(XDG_RUNTIME_DIR=str(tmp_path / ("x" * 80))):
        folder = user_folders.runtime_folder()
    assert folder.parent == tmp_path
    with Listen.parse(f"unix:{folder}/engine-{'0' * 16}.sock").open():
        pass
