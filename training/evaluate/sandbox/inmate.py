"""The program itself: limits on its process, then either its Python text or another language's command.

It counts as passed only by handing back a token that it may read after its last assertion. Leaving early
(`sys.exit`, `os._exit`) hands back nothing. As in any harness whose tests share a process with the
program, one that
knows this protocol and looks for it could still lie about its result; it could not leave the sandbox.
"""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass

TOKEN_FD, VERDICT_FD = 3, 4
EXIT_MEMORY, EXIT_SYNTAX = 97, 98
_MAX_MESSAGE_CHARS = 500
_OPEN_FILES = 256


@dataclass(frozen=True, kw_only=True)
class Job:
    """One program: `source` is Python's, or `files` are written to the scratch folder and `argv` is run.

    After `cpu_s` by the clock it ends if it has had `fair_cpu_s` of the processor, at the latest after
    `wall_s`.
    """

    source: str
    files: dict[str, str]
    argv: list[str]
    cpu_s: int
    fair_cpu_s: float
    wall_s: float
    memory_bytes: int
    limits_address_space: bool
    processes: int
    output_bytes: int
    file_bytes: int


def limit(job: Job) -> None:
    """Set the process's limits, which it and its children cannot raise."""
    limits = [
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, job.processes),
        (resource.RLIMIT_FSIZE, job.file_bytes),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
    ]
    if job.limits_address_space:
        limits.append((resource.RLIMIT_AS, job.memory_bytes))
    for which, value in limits:
        resource.setrlimit(which, (value, value))
    resource.setrlimit(resource.RLIMIT_CPU, (job.cpu_s, job.cpu_s + 1))


def wire(output_fd: int, token_fd: int, verdict_fd: int) -> None:
    """Standard streams and the two descriptors of the protocol at their places, everything else closed."""
    # High first: one of the three may have the number of another's place.
    sources = [os.dup2(fd, 100 + place) for place, fd in enumerate((output_fd, token_fd, verdict_fd))]
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    for source, target in zip((sources[0], *sources), (1, 2, TOKEN_FD, VERDICT_FD), strict=True):
        os.dup2(source, target)
    os.closerange(VERDICT_FD + 1, os.sysconf("SC_OPEN_MAX"))


def run(job: Job) -> None:
    """Does not return."""
    if job.argv:
        _execute(job)
    _run_python(job.source)


def _execute(job: Job) -> None:
    for name, text in job.files.items():
        with open(name, "w", encoding="utf-8", errors="surrogatepass", newline="") as file:
            file.write(text)
    os.execvp(job.argv[0], job.argv)


def _run_python(source: str) -> None:
    # Names of this frame: the program may replace the modules' own.
    read, write, leave = os.read, os.write, os._exit
    try:
        code = compile(source, "<program>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        _say(error)
        leave(EXIT_SYNTAX)
    except (MemoryError, RecursionError) as error:
        _say(error)
        leave(1)
    try:
        exec(code, {})  # an empty namespace, as the reference harness has it
    except MemoryError as error:
        _say(error)
        leave(EXIT_MEMORY)
    except BaseException as error:
        _say(error)
        leave(1)
    write(VERDICT_FD, read(TOKEN_FD, 64))
    leave(0)


def _say(error: BaseException) -> None:
    text = f"{type(error).__name__}: {error}"[:_MAX_MESSAGE_CHARS]
    os.write(2, text.encode(errors="replace"))
