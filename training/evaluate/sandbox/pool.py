"""Many programs over all cores: one zygote a worker, verdicts in the order they end.

The only door to the sandbox. Without namespaces it refuses, unless the caller accepts the danger.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from model.local.threads import available_cpus
from training.errors import EvaluationError
from training.evaluate.sandbox.inmate import EXIT_MEMORY, EXIT_SYNTAX, Job
from training.evaluate.sandbox.languages import LANGUAGES, SandboxLanguage

_ENTRY = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); "
    "from training.evaluate.sandbox.zygote import main; main()"
)
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/alternatives", "/etc/ld.so.cache")
_MESSAGE_CHARS = 300
_FAIR_SHARE = 1 / 5


class SandboxRefused(EvaluationError):
    """There is no sandbox on this machine; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one program may use. Raises EvaluationError on a value out of range.

    `seconds` is by the clock; but a program that has had less than a fifth of them from the processor, since
    the machine is busy, goes on for up to `patience` times as long: a busy machine fails no good program.
    Other languages than Python get a multiple, for their start (see `languages`).
    """

    seconds: int = 3
    patience: int = 4
    memory_mb: int = 1_024
    processes: int = 64
    output_mb: int = 4
    file_mb: int = 16

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value < 1:
                raise EvaluationError(f"{name} = {value}: it must be at least 1")


@dataclass(frozen=True, kw_only=True)
class Program:
    """A whole program, tests included: it passes when it runs to its end without an error."""

    source: str
    language: str = "python"


@dataclass(frozen=True, kw_only=True)
class SandboxOutcome:
    """`reason` is one of passed, failed, timed out, out of memory, too much output, left early, crashed,
    invalid.
    """

    reason: str
    message: str = ""
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether every test held."""
        return self.reason == "passed"


def missing_tools(language: str) -> tuple[str, ...]:
    """Tools of a language that are not on the PATH. Raises EvaluationError for a language we cannot run."""
    return tuple(
        tool for tool in _language(language).tools if not SandboxLanguage(name="", tools=(tool,)).tool_paths()
    )


def _language(name: str) -> SandboxLanguage:
    if name not in LANGUAGES:
        raise EvaluationError(f"language {name!r}: programs can be run in {', '.join(LANGUAGES)}")
    return LANGUAGES[name]


_EMPTY = Program(source="")


@dataclass
class Sandbox:
    """A context manager. `unsafe` runs programs with limits, but with the caller's files and network.

    Raises SandboxRefused when it is entered on a machine without namespaces.
    """

    limits: Limits = field(default_factory=Limits)
    unsafe: bool = False
    workers: int = field(default_factory=available_cpus)
    _idle: queue.SimpleQueue[_Zygote] = field(default_factory=queue.SimpleQueue, repr=False)
    _all: list[_Zygote] = field(default_factory=list, repr=False)

    def __enter__(self) -> Sandbox:
        if not hasattr(os, "pidfd_open"):
            raise SandboxRefused(
                "Generated programs are run on Linux only; use a container or a machine with it."
            )
        try:
            with ThreadPoolExecutor(self.workers) as starts:
                list(starts.map(self._start, range(self.workers)))
        except BaseException:
            self.close()
            raise
        return self

    def _start(self, _: int) -> None:
        zygote = _Zygote(unsafe=self.unsafe)
        self._all.append(zygote)
        self._idle.put(zygote)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every process that runs for this sandbox."""
        for zygote in self._all:
            zygote.kill()
        self._all.clear()

    def run(self, program: Program) -> SandboxOutcome:
        """Run one program; several threads may call it, as many run at once as there are workers."""
        job = _job(program, self.limits)
        zygote = self._idle.get()
        try:
            answer = zygote.ask(job)
            if answer["passed"] and answer["output"] and _language(program.language).must_be_silent:
                answer = {**answer, "passed": False, "exit": 1}
            return _outcome(answer)
        finally:
            self._idle.put(zygote)

    def run_all(self, programs: Iterable[Program]) -> Iterator[tuple[int, SandboxOutcome]]:
        """Run all on all workers: the number of each program and its outcome, in the order in which they
        end.
        """
        waiting: queue.SimpleQueue[tuple[int, Program]] = queue.SimpleQueue()
        for numbered in enumerate(programs):
            waiting.put(numbered)
        count = waiting.qsize()
        done: queue.SimpleQueue[tuple[int, SandboxOutcome] | BaseException] = queue.SimpleQueue()
        stop = threading.Event()

        def work() -> None:
            while not stop.is_set():
                try:
                    number, program = waiting.get_nowait()
                except queue.Empty:
                    return
                try:
                    done.put((number, self.run(program)))
                except BaseException as error:
                    done.put(error)
                    return

        threads = [threading.Thread(target=work, daemon=True) for _ in range(self.workers)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(count):
                result = done.get()
                if isinstance(result, BaseException):
                    raise result
                yield result
        finally:
            stop.set()
            for thread in threads:
                thread.join()


class _Zygote:
    """One `zygote` process, started anew when it has died."""

    def __init__(self, *, unsafe: bool) -> None:
        self._settings = {
            "unsafe": unsafe,
            "readable": _readable(),
            "packages": sysconfig.get_path("purelib"),
        }
        self._closed = False
        self._process = self._start()
        tried = self.ask(_job(_EMPTY, Limits()))
        if not tried["passed"]:  # a cell that cannot be furnished would fail every program
            self.kill()
            raise _refused(f"an empty program fails in it (exit {tried['exit']}: {tried['output']})")

    def _start(self) -> subprocess.Popen[bytes]:
        root = str(Path(__file__).parents[3])
        command = [sys.executable, "-I", "-S", "-c", _ENTRY, root, json.dumps(self._settings)]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_environment(), bufsize=0
        )
        answer = self._read(process)
        if answer is None or "refused" in answer:
            _end(process)
            why = answer["refused"] if answer else f"its process ended with {process.returncode}"
            raise _refused(why)
        return process

    @staticmethod
    def _read(process: subprocess.Popen[bytes]) -> dict[str, Any] | None:
        assert process.stdout is not None
        line = b""
        while not line.endswith(b"\n"):
            piece = process.stdout.readline()
            if not piece:
                return None
            line += piece
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask(self, job: Job) -> dict[str, Any]:
        """Run one job. A zygote that dies on it is replaced, and the program has crashed."""
        data = json.dumps(asdict(job)).encode() + b"\n"
        try:
            assert self._process.stdin is not None
            while data:
                data = data[self._process.stdin.write(data) or 0 :]
            answer = self._read(self._process)
        except BrokenPipeError:
            answer = None
        if answer is None:
            _end(self._process)
            if self._closed:
                raise EvaluationError("the sandbox was closed while a program ran")
            self._process = self._start()
            answer = {"passed": False, "stopped": None, "exit": -9, "output": "", "seconds": 0.0}
        return answer

    def kill(self) -> None:
        """End the process and with it whatever it runs."""
        self._closed = True
        _end(self._process)


def _refused(why: str) -> SandboxRefused:
    return SandboxRefused(
        f"No sandbox for generated programs here: {why}. It needs Linux namespaces, as root or with "
        "unprivileged user namespaces (in Docker: --security-opt seccomp=unconfined --security-opt "
        "apparmor=unconfined, or --privileged). "
        "`--unsafe` runs the programs without it, with your files and your network: "
        "only inside a machine that you can throw away."
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


def _readable() -> list[str]:
    """Folders that programs may read: the system's, this Python's and the tools'."""
    tools = [path for language in LANGUAGES.values() for path in language.tool_paths() or ()]
    homes = {str(folder) for path in tools for folder in (path.parent, path.resolve().parent.parent)}
    java = [str(path) for path in Path("/etc").glob("java*")]
    python = [sys.base_prefix, sysconfig.get_path("purelib"), os.path.realpath(sys.executable)]
    return [*_SYSTEM, *java, *python, *sorted(homes - {"/"})]


def _environment() -> dict[str, str]:
    tools = [path for language in LANGUAGES.values() for path in language.tool_paths() or ()]
    folders = dict.fromkeys([*(str(path.parent) for path in tools), "/usr/local/bin", "/usr/bin", "/bin"])
    threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
    return {
        "PATH": ":".join(folders),
        "HOME": "/tmp",
        "TMPDIR": "/tmp",
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        **threads,
    }


def _job(program: Program, limits: Limits) -> Job:
    language = _language(program.language)
    cpu_s = limits.seconds * language.cpu_factor
    return Job(
        source="" if language.argv else program.source,
        files=language.files(program.source),
        argv=list(language.argv),
        cpu_s=cpu_s,
        fair_cpu_s=cpu_s * _FAIR_SHARE,
        wall_s=float(cpu_s * limits.patience),
        memory_bytes=limits.memory_mb << 20,
        limits_address_space=language.limits_address_space,
        processes=limits.processes,
        output_bytes=limits.output_mb << 20,
        file_bytes=limits.file_mb << 20,
    )


def _told(output: str) -> str:
    """What a program's output says of its end: from its last line that names an error on."""
    lines = output.strip().splitlines()
    errors = [number for number, line in enumerate(lines) if "Error" in line or "Exception" in line]
    return "\n".join(lines[errors[-1] if errors else 0 :])[:_MESSAGE_CHARS]


_STOPPED = {"time": "timed out", "memory": "out of memory", "output": "too much output"}
_SIGNAL = 128
_EXITS = {
    0: "left early",
    EXIT_MEMORY: "out of memory",
    EXIT_SYNTAX: "invalid",
    _SIGNAL + 6: "failed",  # abort(), as by C's assert
    _SIGNAL + 24: "timed out",
}


def _outcome(answer: dict[str, Any]) -> SandboxOutcome:
    code = int(answer["exit"])
    if answer["passed"]:
        reason = "passed"
    elif answer["stopped"]:
        reason = _STOPPED[answer["stopped"]]
    elif code in _EXITS:
        reason = _EXITS[code]
    else:
        reason = "crashed" if code < 0 or code > _SIGNAL else "failed"
    message = "" if reason == "passed" else _told(str(answer["output"]))
    return SandboxOutcome(reason=reason, message=message, seconds=float(answer["seconds"]))
