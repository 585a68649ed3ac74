"""The process that runs programs, one after the other: it builds the walls once and forks for each program.

A fork of a small interpreter that has imported the common modules costs a millisecond or two; a new
interpreter costs fifty. Speaks JSON lines on its standard streams with `pool`; holds nothing worth stealing.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import Any, NoReturn

from training.evaluate.sandbox import inmate, namespaces

_KEPT_OUTPUT_BYTES = 4_000
_LOOK_EVERY_S = 0.1
_COUNTED = ("RssAnon:", "RssShmem:")
_FAMILY = 2  # all processes of a program together may take so many times what one may
_COMMON_MODULES = (
    *("array", "bisect", "collections", "copy", "cmath", "datetime", "decimal", "fractions", "functools"),
    *("hashlib", "heapq", "itertools", "json", "math", "operator", "random", "re", "statistics", "string"),
    *("sys", "typing"),
)


@dataclass(kw_only=True)
class _Observed:
    """What the watch saw: `stopped` is why it ended the program, if it did."""

    output: bytes = b""
    output_bytes: int = 0
    verdict: bytes = b""
    stopped: str | None = None


def main() -> NoReturn:
    """Entry of the process: settings are the first argument, as JSON."""
    settings = json.loads(sys.argv[1])
    os.umask(0o022)  # the folders that lead to what may be read are for the program's user too
    sys.path[0:1] = []  # where this package is: programs have no business there
    sys.path.append(settings["packages"])
    if settings["unsafe"]:
        _serve(None)
    namespaces.leave_session_keyring()
    try:
        cell = namespaces.unshare()
    except OSError as error:
        _refuse(error)
    child = os.fork()
    if child == 0:
        try:
            namespaces.die_with_parent()
            cell = namespaces.build_root(cell, settings["readable"])
        except OSError as error:
            _refuse(error)
        _serve(cell)
    os.close(0)
    os.close(1)
    _, status = os.waitpid(child, 0)
    os._exit(min(255, abs(os.waitstatus_to_exitcode(status))))


def _refuse(error: OSError) -> NoReturn:
    _answer({"refused": str(error)})
    os._exit(3)


def _answer(message: dict[str, Any]) -> None:
    data = json.dumps(message).encode() + b"\n"
    while data:
        data = data[os.write(1, data) :]


def _serve(cell: namespaces.Cell | None) -> NoReturn:
    for name in _COMMON_MODULES:
        importlib.import_module(name)
    for name in [name for name in sys.modules if name.startswith("training")]:
        del sys.modules[name]  # programs have no business with them; here, so that no child touches them all
    gc.freeze()  # or a collection in a child would copy every page
    _answer({"ready": True})
    waiting = b""
    while True:
        while b"\n" not in waiting:
            piece = os.read(0, 1 << 16)
            if not piece:
                os._exit(0)
            waiting += piece
        line, _, waiting = waiting.partition(b"\n")
        _answer(_run(inmate.Job(**json.loads(line)), cell))


def _run(job: inmate.Job, cell: namespaces.Cell | None) -> dict[str, Any]:
    output, token, verdict = os.pipe(), os.pipe(), os.pipe()
    secret = os.urandom(24).hex().encode()
    os.write(token[1], secret)
    os.close(token[1])
    if cell and cell.changes_user:
        for fd in (output[1], token[0], verdict[1]):
            os.fchown(fd, cell.uid, cell.uid)  # /proc/self/fd/N opens a pipe anew, which asks who owns it
    folder = None if cell else tempfile.mkdtemp(prefix="program-")
    started = time.monotonic()
    pid = namespaces.fork_into_cell() if cell else os.fork()
    if pid == 0:
        _warden(job, cell, folder, (output[1], token[0], verdict[1]))
    for fd in (output[1], token[0], verdict[1]):
        os.close(fd)
    observed = _watch(pid, job, output[0], verdict[0], started, sees_processes=cell is not None)
    if cell is None:
        _kill_group(pid)
    _, status = os.waitpid(pid, 0)
    seconds = time.monotonic() - started
    os.close(output[0])
    os.close(verdict[0])
    if folder:
        shutil.rmtree(folder, ignore_errors=True)
    return {
        "passed": observed.stopped is None and observed.verdict == secret,
        "stopped": observed.stopped,
        "exit": os.waitstatus_to_exitcode(status),
        "output": observed.output.decode(errors="replace"),
        "seconds": seconds,
    }


def _warden(
    job: inmate.Job, cell: namespaces.Cell | None, folder: str | None, fds: tuple[int, int, int]
) -> NoReturn:
    """Pid 1 of the cell: starts the program, waits for it, and takes everything else with it."""
    try:
        if cell:
            namespaces.furnish(cell, job.file_bytes * 4)
        elif folder:
            os.setsid()
            os.chdir(folder)
        child = os.fork()
        if child == 0:
            _become_program(job, cell, fds)
        os.closerange(0, 1_000)
        status = 0
        ended = 0
        while ended != child:  # others are orphans of the program
            ended, status = os.waitpid(-1, 0)
        code = os.waitstatus_to_exitcode(status)
        os._exit(code if code >= 0 else 128 - code)
    except BaseException:
        os._exit(120)


def _become_program(job: inmate.Job, cell: namespaces.Cell | None, fds: tuple[int, int, int]) -> NoReturn:
    try:
        inmate.wire(*fds)
        inmate.limit(job)
        if cell:
            namespaces.drop_privileges(cell)
        inmate.run(job)
    except BaseException as error:
        os.write(2, f"the program could not be started: {error!r}".encode(errors="replace"))
    os._exit(121)


def _watch(
    pid: int, job: inmate.Job, output_fd: int, verdict_fd: int, started: float, *, sees_processes: bool
) -> _Observed:
    """Read what the program says until its cell ends; end it at a limit."""
    seen = _Observed()
    deadline = started + job.wall_s
    pidfd = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(output_fd, select.POLLIN)
    poll.register(pidfd, select.POLLIN)
    poll.register(0, 0)  # hang-up only: whoever asked is gone
    next_look = time.monotonic() + _LOOK_EVERY_S
    while True:
        now = time.monotonic()
        left = max(0.0, min(deadline, next_look) - now)
        ready = dict(poll.poll(left * 1_000 + 1))
        if 0 in ready:
            os._exit(0)
        if output_fd in ready and not _take(output_fd, seen):
            poll.unregister(output_fd)
        if pidfd in ready:
            break
        now = time.monotonic()
        if seen.output_bytes > job.output_bytes:
            seen.stopped = "output"
        elif now > deadline:
            seen.stopped = "time"
        elif now > next_look:
            next_look = now + _LOOK_EVERY_S
            used_bytes, used_cpu_s = _usage(pid) if sees_processes else (0, 0.0)
            if used_bytes > job.memory_bytes:
                seen.stopped = "memory"
            elif used_cpu_s > (job.fair_cpu_s if now > started + job.cpu_s else _FAMILY * job.cpu_s):
                seen.stopped = "time"
        if seen.stopped:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            break
    _drain(output_fd, verdict_fd, seen)
    os.close(pidfd)
    return seen


def _take(fd: int, seen: _Observed) -> int:
    piece = os.read(fd, 1 << 16)
    seen.output_bytes += len(piece)
    seen.output = (seen.output + piece)[-_KEPT_OUTPUT_BYTES:]
    return len(piece)


def _drain(output_fd: int, verdict_fd: int, seen: _Observed) -> None:
    os.set_blocking(output_fd, False)
    os.set_blocking(verdict_fd, False)
    try:
        while seen.output_bytes < 1 << 22 and _take(output_fd, seen):
            pass
    except BlockingIOError:  # a process of the program holds it open still
        pass
    try:
        seen.verdict = os.read(verdict_fd, 200)
    except BlockingIOError:
        seen.verdict = b""


def _usage(warden: int) -> tuple[int, float]:
    """Memory of all of the cell's processes but that of files, in bytes; their processor seconds."""
    ticks = os.sysconf("SC_CLK_TCK")
    total_bytes, total_ticks = 0, 0
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) in (1, warden):
            continue
        try:
            with open(f"/proc/{name}/status", encoding="utf-8", errors="replace") as file:
                lines = [line.split() for line in file if line.startswith(_COUNTED)]
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                times = file.read().rpartition(")")[2].split()[11:15]  # its own, and its dead children's
        except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            continue
        total_bytes += sum(int(kilobytes) << 10 for _, kilobytes, _ in lines)
        total_ticks += sum(map(int, times))
    return total_bytes, total_ticks / ticks


def _kill_group(pid: int) -> None:
    """Without namespaces: what is left of the program's process group."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    main()
