"""Programs that mean harm, or only claim to have passed, in the real sandbox."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.training.evaluate.sandboxes import GENEROUS, need_sandbox
from training.errors import EvaluationError
from training.evaluate.sandbox import pool
from training.evaluate.sandbox.pool import (
    Limits,
    Program,
    Sandbox,
    SandboxOutcome,
    SandboxRefused,
    missing_tools,
)

SHORT = Limits(seconds=1, patience=60)  # for programs that never end

FAMILY = """
import os
for _ in range(40):
    if os.fork():
        continue
    x = b'x' * (400 << 20)
    while True: pass
os.wait()
"""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    need_sandbox()
    with Sandbox(limits=GENEROUS, workers=2) as one:
        yield one


def run(sandbox: Sandbox, source: str, language: str = "python") -> SandboxOutcome:
    return sandbox.run(Program(source=source, language=language))


def test_a_program_that_holds_passes_and_others_say_why(sandbox: Sandbox) -> None:
    assert run(sandbox, "import json\nassert json.loads('[1]') == [1]").passed
    failed = run(sandbox, "assert 1 == 2, 'one is not two'")
    assert (failed.reason, failed.message) == ("failed", "AssertionError: one is not two")
    assert run(sandbox, "def f(:").reason == "invalid"
    assert run(sandbox, "import ctypes\nctypes.string_at(0)").reason == "crashed"


@pytest.mark.parametrize(
    "source",
    [
        "import sys\nsys.exit(0)",
        "raise SystemExit",
        "import os\nos._exit(0)",
        "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
        "import atexit, os\natexit.register(os._exit, 0)\nassert False",
        "import sys\nprint('passed')\nsys.stdout.write('{\"passed\": true}\\n')\nsys.exit(0)",
        "import os\nfor fd in (1, 2, 3, 4):\n  try: os.write(fd, b'1')\n  except OSError: pass\nos._exit(0)",
        "import os\nos._exit = lambda code: None\nos.write = lambda *a: 1\nassert False",
        "import builtins\nbuiltins.AssertionError = builtins.BaseException = ValueError\nassert 0",
        "import sys\nsys.excepthook = lambda *a: None\nsys.stderr = sys.stdout\nassert False",
        "import os\nif os.fork(): os._exit(0)\nassert False",
        "import threading\nthreading.Timer(0, print).start()\nassert False",
    ],
)
def test_only_running_to_the_end_is_passing(sandbox: Sandbox, source: str) -> None:
    outcome = run(sandbox, source)
    assert not outcome.passed
    assert outcome.reason in {"failed", "left early", "crashed"}


def test_a_patched_module_does_not_reach_the_next_program(sandbox: Sandbox) -> None:
    run(sandbox, "import math, builtins\nmath.sqrt = lambda x: 0\nbuiltins.len = None")
    for _ in range(4):
        assert run(sandbox, "import math\nassert math.sqrt(4) == 2 and len('ab') == 2").passed


@pytest.mark.parametrize(
    ("reason", "source"),
    [
        ("timed out", "while True: pass"),
        ("timed out", "try:\n  while True: pass\nexcept BaseException:\n  while True: pass"),
        ("timed out", "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass"),
        ("too much output", "while True: print('x' * 10_000)"),
        ("out of memory", "x = bytearray(100 << 30)"),
        ("out of memory", "x = []\nwhile True: x.append(bytearray(1 << 24))"),
        ("out of memory", FAMILY),
    ],
)
def test_limits_end_a_program(reason: str, source: str, sandbox: Sandbox) -> None:
    with Sandbox(limits=SHORT if reason == "timed out" else GENEROUS, workers=1) as short:
        outcome = run(short, source)
        assert outcome.reason in ({reason, "crashed"} if "SIG_IGN" in source else {reason})
        assert run(short, "assert True").passed


def test_by_the_clock_too(sandbox: Sandbox) -> None:
    with Sandbox(limits=Limits(seconds=1, patience=1), workers=1) as short:
        assert run(short, "import time\ntime.sleep(600)").reason == "timed out"


def test_what_had_little_of_the_processor_has_more_time(sandbox: Sandbox) -> None:
    """Told by resting, which leaves the processor to others as a busy machine does."""
    with Sandbox(limits=Limits(seconds=1, patience=20), workers=1) as short:
        assert run(short, "import time\ntime.sleep(1.5)").passed
    # Half work, half rest: ended by the clock, long before its time of the processor is up.
    halves = """
import time
while True:
    end = time.process_time() + 0.05
    time.sleep(0.05)
    while time.process_time() < end: pass
    print('Error', time.process_time(), flush=True)
"""
    with Sandbox(limits=Limits(seconds=3, patience=60), workers=1) as fair:
        outcome = run(fair, halves)
    assert outcome.reason == "timed out"
    assert 0.5 < float(outcome.message.split()[1]) < 2.8, outcome


def test_a_fork_bomb_meets_its_limit_and_leaves_nothing(sandbox: Sandbox) -> None:
    bomb = "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass"
    with Sandbox(limits=SHORT, workers=1) as short:
        assert run(short, bomb).reason == "timed out"
        counted = run(short, "import os\nassert sum(n.isdigit() for n in os.listdir('/proc')) == 2")
    assert counted.passed  # its own pid 1 and itself
    many = """
import os
n = 0
try:
    while n < 500:
        if not os.fork(): os.abort()
        n += 1
except OSError: pass
assert n < 100
"""
    assert run(sandbox, many).passed


def test_nothing_outside_the_scratch_folder_is_written_or_deleted(sandbox: Sandbox, tmp_path: Path) -> None:
    kept = tmp_path / "kept.txt"
    kept.write_text("kept")
    tmp_path.chmod(0o777)
    kept.chmod(0o666)
    for action in (
        f"os.remove({str(kept)!r})",
        f"open({str(kept)!r}, 'w')",
        f"shutil.rmtree({str(tmp_path)!r})",
    ):
        assert run(sandbox, f"import os, shutil\n{action}").reason == "failed"
    assert kept.read_text() == "kept"
    walk = """
import os
written = []
for folder, _, _ in os.walk('/'):
    if folder.startswith(('/proc', '/tmp')):
        continue
    try:
        open(folder + '/x', 'w').close()
        written.append(folder)
    except OSError:
        pass
assert not written, written
open('/tmp/a', 'w').write('a'); open('b', 'w').write('b')
assert os.listdir('/tmp/scratch') == ['b'] and 'a' in os.listdir('/tmp')
"""
    outcome = run(sandbox, walk)
    assert outcome.passed, outcome
    nothing = "import os\nassert os.listdir() == [] and 'a' not in os.listdir('/tmp')"
    assert run(sandbox, nothing).passed  # and nothing stays for the next


def test_what_may_be_read_may_stand_below_the_temporary_folder(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkout in /tmp has its environment there, and the sandbox used to refuse."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        kept = Path(folder) / "deep" / "environment"
        kept.mkdir(parents=True)
        (kept / "module.py").write_text("x = 1")
        (kept / "module.py").chmod(0o644)  # whatever this process's umask is
        (Path(folder) / "private.txt").touch()
        for path in (Path(folder), kept.parent, kept):
            path.chmod(0o777)
        usual = pool._readable()
        monkeypatch.setattr(pool, "_readable", lambda: [*usual, str(kept)])
        looks = f"""
import os
assert os.listdir({folder!r}) == ['deep'] and open({str(kept / "module.py")!r}).read() == 'x = 1'
try: open({str(kept / "new")!r}, 'w')
except OSError: pass
else: assert False
open('/tmp/a', 'w').write('a')
open('b', 'w').write('b')
assert os.listdir() == ['b']
"""
        umask = os.umask(0o077)
        try:
            with Sandbox(limits=GENEROUS, workers=1) as below:
                for _ in range(2):
                    outcome = run(below, looks)
                    assert outcome.passed, outcome
        finally:
            os.umask(umask)
        assert sorted(os.listdir(kept)) == ["module.py"]


def test_the_scratch_folder_is_bounded(sandbox: Sandbox) -> None:
    big = "f = open('a', 'wb')\nfor _ in range(200): f.write(bytes(1 << 20)); f.flush()"
    assert not run(sandbox, big).passed
    many = "for i in range(100):\n  with open(str(i), 'wb') as f: f.write(bytes(10 << 20))"
    assert not run(sandbox, many).passed


def test_there_is_no_network(sandbox: Sandbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        connect = f"import socket\nsocket.create_connection(('127.0.0.1', {port}), timeout=20)"
        assert run(sandbox, connect).reason == "failed"
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
        with Sandbox(limits=GENEROUS, unsafe=True, workers=1) as unsafe:
            assert run(unsafe, connect).passed  # the program itself works where it may
    with socket.socket(socket.AF_UNIX) as abstract:
        name = f"\0sandbox-{os.getpid()}"
        abstract.bind(name)
        abstract.listen()
        connect = f"import socket\nsocket.socket(socket.AF_UNIX).connect({name!r})"
        assert run(sandbox, connect).reason == "failed"


def test_other_processes_are_neither_seen_nor_signalled(sandbox: Sandbox) -> None:
    secret = "SECRET_OF_THE_PARENT"
    sleeper = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env={secret: "1"})
    try:
        peek = f"""
import os, signal
for name in os.listdir('/proc'):
    for file in ('environ', 'cmdline'):
        try: text = open(f'/proc/{{name}}/{{file}}', 'rb').read()
        except OSError: continue
        assert b'{secret}' not in text and b'pytest' not in text
for pid in (1, os.getppid(), {os.getpid()}, {sleeper.pid}, -1):
    try: os.kill(pid, signal.SIGTERM if pid > 0 else signal.SIGCONT)
    except OSError: pass
try: os.kill({sleeper.pid}, 0)
except ProcessLookupError: pass
else: assert {sleeper.pid} < 10
"""
        outcome = run(sandbox, peek)
        assert outcome.passed, outcome
        assert sleeper.poll() is None
    finally:
        sleeper.communicate(b"\n")
    kill = "import os, signal\nos.kill(1, signal.SIGKILL); os.kill(os.getppid(), signal.SIGKILL)"
    assert not run(sandbox, kill + "\nassert False").passed
    assert run(sandbox, "assert True").passed


def test_a_program_has_no_privileges(sandbox: Sandbox) -> None:
    source = """
import os
assert os.getuid() != 0
status = dict(line.split(':\\t', 1) for line in open('/proc/self/status') if ':\\t' in line)
assert int(status['CapEff'], 16) == int(status['CapPrm'], 16) == 0 and status['NoNewPrivs'].strip() == '1'
assert not os.path.exists('/root/.ssh') and not os.path.exists('/etc/shadow') and not os.path.exists('/home')
import ctypes
libc = ctypes.CDLL(None)
assert libc.mount(b'none', b'/tmp/scratch', b'tmpfs', 0, None) != 0 and libc.umount2(b'/proc', 2) != 0
"""
    outcome = run(sandbox, source)
    assert outcome.passed, outcome


@pytest.mark.parametrize(
    ("language", "good", "wrong", "early"),
    [
        ("javascript", "console.assert([1].length === 1)", "console.assert(false)", "process.exit(0)"),
        (
            "java",
            "public class Main { public static void main(String[] a) { } }",
            "public class Main { public static void main(String[] a) { throw new AssertionError(); } }",
            "public class Main { public static void main(String[] a) { System.exit(0); } }",
        ),
        (
            "cpp",
            "#include <cassert>\nint main() { assert(true); }",
            "#include <cassert>\nint main() { assert(false); }",
            "#include <cstdlib>\nint main() { std::exit(0); }",
        ),
    ],
)
def test_other_languages(sandbox: Sandbox, language: str, good: str, wrong: str, early: str) -> None:
    if missing_tools(language):
        pytest.skip(f"no {missing_tools(language)} on the PATH")
    assert run(sandbox, good, language).passed
    assert run(sandbox, wrong, language).reason == "failed"
    assert run(sandbox, early, language).reason == "left early"
    assert run(sandbox, "}{", language).reason == "invalid"


def test_javascript_that_prints_has_failed_as_the_reference_has_it(sandbox: Sandbox) -> None:
    if not shutil.which("node"):
        pytest.skip("no node on the PATH")
    assert run(sandbox, "console.log(1)", "javascript").reason == "failed"
    assert run(sandbox, "while (true) {}", "python").reason == "invalid"


def test_a_machine_without_namespaces_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    # A folder that cannot be bound fails as a missing permission does: at the walls, before any program.
    monkeypatch.setattr(
        "training.evaluate.sandbox.pool._readable", lambda: ["/proc/self/fd/0/nothing", "/dev"]
    )
    with pytest.raises(SandboxRefused, match="--unsafe"), Sandbox(workers=1):
        pass


def test_walls_in_which_nothing_runs_are_a_refusal(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_EMPTY", Program(source="raise SystemExit"))
    with pytest.raises(SandboxRefused, match="empty program"), Sandbox(workers=1):
        pass


def test_unsafe_keeps_the_limits(tmp_path: Path) -> None:
    with Sandbox(limits=SHORT, unsafe=True, workers=1) as sandbox:
        assert run(sandbox, "assert True").passed
        assert run(sandbox, "import os\nos._exit(0)").reason == "left early"
        assert run(sandbox, "while True: pass").reason == "timed out"
        assert run(sandbox, "x = bytearray(100 << 30)").reason == "out of memory"


def test_limits_and_languages_are_checked(sandbox: Sandbox) -> None:
    with pytest.raises(EvaluationError, match="memory_mb = 0"):
        Limits(memory_mb=0)
    with pytest.raises(EvaluationError, match="cobol"):
        run(sandbox, "", "cobol")


def test_all_workers_share_the_work_and_a_closed_sandbox_leaves_no_process(sandbox: Sandbox) -> None:
    with Sandbox(limits=GENEROUS, workers=3) as three:
        pids = [zygote._process.pid for zygote in three._all]
        numbers = dict(three.run_all([Program(source=f"assert {i} % 3") for i in range(30)]))
    assert [numbers[i].passed for i in range(30)] == [i % 3 != 0 for i in range(30)]
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
