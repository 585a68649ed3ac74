"""Chat templates are programs out of a model's file: they are rendered in a process of their own.

Jinja's sandbox keeps a template from Python's objects, not from taking all time and memory: one
`ljust(10**10)`, or a few nested loops. The process begins at the first conversation and has little of both;
one that takes more is ended, and begun again for the next. Knows neither messages nor tokens.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any, NoReturn

from model.errors import RequestError

if TYPE_CHECKING:
    import jinja2

# Usual templates take a millisecond. By the clock only where the system does not limit the processor's time:
# a busy machine refuses no conversation.
_MOST_CPU_S, _MOST_S = 1.0, 20.0 if sys.platform == "win32" else 300.0
_MOST_BYTES = 512 << 20
_MOST_CHARS = 32 << 20
_CHILD = "from model.prompt.rendering import serve; serve()"


class Renderer:
    """One template's process. Threads may share it: they take turns."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def render(self, values: Mapping[str, Any]) -> str:
        """The template with these values. Raises `RequestError` where it refuses, or takes too much."""
        with self._lock:
            process = self._process or self._started()
            self._process = None  # unless it answers
            answer = _ask(process, values)
            if answer is None:
                _end(process)
                raise _refused(f"it takes more than {_MOST_CPU_S:.0f} s or {_MOST_BYTES >> 20} MiB")
            self._process = process
        if "refused" in answer:
            raise _refused(answer["refused"])
        text: str = answer["text"]
        return text

    def __del__(self) -> None:
        """End the process with whoever asks it."""
        if self._process is not None:
            _end(self._process)

    def _started(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-I", "-c", _CHILD]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        _write(process.stdin, self._source)
        return process


def _refused(why: str) -> RequestError:
    return RequestError(f"this model's chat template refuses the conversation: {why}", field="messages")


def _ask(process: subprocess.Popen[bytes], values: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the process answers; None if it ended instead."""
    watch = threading.Timer(_MOST_S, process.kill)
    watch.daemon = True
    watch.start()
    try:
        _write(process.stdin, values)
        assert process.stdout is not None
        line = process.stdout.readline()
    except BrokenPipeError:
        return None
    finally:
        watch.cancel()
    answer: dict[str, Any] | None = json.loads(line) if line.endswith(b"\n") else None
    return answer


def _write(stream: IO[bytes] | None, value: object) -> None:
    assert stream is not None
    stream.write(json.dumps(value).encode() + b"\n")
    stream.flush()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


# The process


def serve() -> None:
    """Entry of the process: a template, then values to render it with, a line of JSON each."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is the engine's
    _limit_memory()
    template: jinja2.Template | None = None
    source = json.loads(sys.stdin.buffer.readline())
    for line in sys.stdin.buffer:
        _limit_time(_MOST_CPU_S)
        try:
            template = template or environment().from_string(source)
            text = template.render(json.loads(line))
            answer = {"refused": "its text is too long"} if len(text) > _MOST_CHARS else {"text": text}
        except MemoryError:
            os._exit(1)
        except Exception as error:  # a template may raise anything
            answer = {"refused": str(error)[:1000]}
        _limit_time(0)
        _write(sys.stdout.buffer, answer)


def _limit_memory() -> None:
    if sys.platform != "win32":
        import resource

        with suppress(ValueError, OSError):  # macOS has no such limit; that of time remains
            resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, _MOST_BYTES))


def _limit_time(cpu_s: float) -> None:
    """After so much of the processor this process ends, wherever it is; 0 ends the limit."""
    if sys.platform != "win32":
        signal.setitimer(signal.ITIMER_PROF, cpu_s)


def environment() -> jinja2.Environment:
    """As transformers' own (`chat_template_utils`), whose names and filters published templates use."""
    import jinja2
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %}`: marks what a model is trained on; here it is only passed through."""

        tags = {"generation"}  # noqa: RUF012  # as the base class declares it

        def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def refuse(message: str) -> NoReturn:
        raise jinja2.TemplateError(message)

    def to_json(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, **options)

    def now(pattern: str) -> str:
        return datetime.now().strftime(pattern)

    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    made.filters["tojson"] = to_json
    made.globals.update(raise_exception=refuse, strftime_now=now)
    return made
