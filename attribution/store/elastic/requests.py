"""Requests to a server that may be busy, restarting or away for a while: repeated until all is done.

Every request here can be done twice. Safe to use from several threads.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from elastic_transport import ConnectionError as NoConnectionError
from elastic_transport import ConnectionTimeout, TlsError
from elasticsearch import ApiError, Elasticsearch, helpers

from attribution.errors import IndexUnavailableError
from attribution.store.elastic.place import ElasticPlace, blocked, is_blocked, translated
from model.local.backoff import Backoff

CHUNK_ACTIONS = 250
CHUNK_BYTES = 8 << 20
# A node that restarts is waited for, and so is one with too much to do: together about three minutes.
BACKOFF = Backoff(first_s=1.0, max_s=40.0, max_retries=9)
_TOO_BUSY = frozenset({429, 502, 503, 504})
_LOG = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")
Action = dict[str, Any]


class Requests:
    """Requests to one server, with back-off."""

    def __init__(self, client: Elasticsearch, place: ElasticPlace) -> None:
        self.client = client
        self._place = place
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End all waiting, in every thread: a failure from now on is an error at once."""
        self._stopped.set()

    def ask(self, request: Callable[[Elasticsearch], _Answer]) -> _Answer:
        """Ask, and ask again with back-off while the server is away or too busy.

        Raises `IndexUnavailableError` when that lasts too long, or the server refuses.
        """
        with translated(self._place):
            for wait_s in BACKOFF.pauses_s():
                try:
                    return request(self.client)
                except (NoConnectionError, ConnectionTimeout, ApiError) as error:
                    if self._stopped.is_set() or not _passes(error):
                        raise
                    self._wait(wait_s, _reason(error))
            return request(self.client)

    def send(self, actions: Iterable[Action]) -> None:
        """Do all actions, in their order; what the server rejects because it is busy is sent again.

        Raises `IndexUnavailableError`.
        """
        waiting = list(actions)
        for wait_s in BACKOFF.pauses_s():
            if not (waiting := self._rejected(waiting)):
                return
            if not self._stopped.is_set():
                self._wait(wait_s, f"it is too busy for {len(waiting):,} documents")
        if waiting := self._rejected(waiting):
            raise IndexUnavailableError(
                f"{self._place.url}: the server keeps rejecting {len(waiting):,} documents (429: too much "
                "to do); what was committed stays: run the same command again when it has recovered"
            )

    def _rejected(self, actions: Sequence[Action]) -> list[Action]:
        """Try all actions; those that were rejected for now."""
        if not actions:
            return []
        results = self.ask(lambda client: self._bulk(client, actions))
        rejected = []
        for action, result in zip(actions, results, strict=True):
            [(operation, answer)] = result.items()
            status = int(answer.get("status", 0))
            if status in _TOO_BUSY and not is_blocked(status, answer):
                rejected.append(action)
            # 409: another of the same key was first. 404: deleted before.
            elif not 200 <= status < 300 and status != {"create": 409, "delete": 404}.get(operation):
                why = answer.get("error", answer)
                if is_blocked(status, answer):
                    raise blocked(self._place, why["reason"])
                raise IndexUnavailableError(
                    f"{self._place.url}: cannot {operation} {answer.get('_id')}: {why}"
                )
        return rejected

    @staticmethod
    def _bulk(client: Elasticsearch, actions: Sequence[Action]) -> list[dict[str, Any]]:
        """The server's answer to each action. `parallel_bulk` would not keep their order."""
        results = helpers.streaming_bulk(
            client,
            # The helper takes the actions apart.
            (dict(action) for action in actions),
            chunk_size=CHUNK_ACTIONS,
            max_chunk_bytes=CHUNK_BYTES,
            raise_on_error=False,
        )
        return [result for _, result in results]

    def _wait(self, wait_s: float, reason: str) -> None:
        _LOG.warning("%s: %s; trying again in %g s", self._place.server, reason, wait_s)
        self._stopped.wait(wait_s)


def _passes(error: Exception) -> bool:
    """Whether the trouble is one that passes by itself."""
    if isinstance(error, ApiError):
        return error.status_code in _TOO_BUSY and not is_blocked(error.status_code, error.body)
    # A certificate that is being replaced looks no different from a wrong one, and is much rarer.
    return not isinstance(error, TlsError)


def _reason(error: Exception) -> str:
    return f"it is too busy ({error.status_code})" if isinstance(error, ApiError) else "no answer"
