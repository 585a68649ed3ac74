"""The Elasticsearch of a run: one that is named, one of our own, or none and why."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType

from benchmarks.attribution.progress import say


@dataclass(frozen=True, kw_only=True)
class Server:
    """Its address without a slash at the end, or why there is none."""

    url: str | None = None
    why_not: str | None = None


class Servers:
    """`auto` starts a server for as long as the context lasts; the first time, Maven fetches it."""

    def __init__(self, wanted: str) -> None:
        self._wanted = wanted
        self._running = ExitStack()

    def __enter__(self) -> Server:
        if self._wanted == "none":
            return Server(why_not="left out by --elasticsearch none")
        if self._wanted != "auto":
            return Server(url=self._wanted.rstrip("/"))
        # The tests' own way to a server; only who benchmarks Elasticsearch needs it.
        from tests.attribution.elasticsearch_archive import NoServerError
        from tests.attribution.elasticsearch_server import running_server

        say("starting Elasticsearch")
        try:
            return Server(url=self._running.enter_context(running_server(fetch=True)).url)
        except NoServerError as error:
            say(f"without Elasticsearch: {error}")
            return Server(why_not=str(error))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._running.close()
