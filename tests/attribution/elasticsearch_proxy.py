"""A proxy before a real Elasticsearch that can answer in its place, or change what it answers.

For what a healthy server of the tested version does not do by itself: too busy, another version, a key.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass(kw_only=True)
class Call:
    """A request, or an answer."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    status: int = 200


@dataclass(kw_only=True)
class Proxy:
    """`instead` gives an answer without asking the server, or None; `after` changes what it answered.

    Both are called for one request at a time; `calls` are all requests so far.
    """

    url: str
    instead: Callable[[Call], Call | None] = lambda call: None
    after: Callable[[Call, Call], Call] = lambda call, answer: answer
    calls: list[Call] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def answer(call: Call, status: int, body: bytes) -> Call:
    """An answer such as Elasticsearch gives."""
    kind = "application/vnd.elasticsearch+json;compatible-with=8"
    headers = {"X-elastic-product": "Elasticsearch", "content-type": kind}
    return Call(method=call.method, path=call.path, headers=headers, body=body, status=status)


@contextmanager
def proxy_before(server: str) -> Iterator[Proxy]:
    """A proxy before the server of a URL, for as long as the context lasts."""
    parts = urlsplit(server)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            size = int(self.headers.get("content-length") or 0)
            call = Call(
                method=self.command, path=self.path, headers=dict(self.headers), body=self.rfile.read(size)
            )
            with proxy.lock:
                proxy.calls.append(call)
                given = proxy.instead(call)
            if given is None:
                given = self.forwarded(call)
                with proxy.lock:
                    given = proxy.after(call, given)
            self.send_response(given.status)
            for name, value in given.headers.items():
                if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                    self.send_header(name, value)
            self.send_header("content-length", str(len(given.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(given.body)

        def forwarded(self, call: Call) -> Call:
            assert parts.hostname is not None
            connection = http.client.HTTPConnection(parts.hostname, parts.port)
            # Not asked for: compression, which would hide what is to be changed.
            headers = {
                name: value for name, value in call.headers.items() if name.lower() != "accept-encoding"
            }
            try:
                connection.request(call.method, call.path, call.body or None, headers)
                got = connection.getresponse()
                return Call(
                    method=call.method,
                    path=call.path,
                    headers=dict(got.getheaders()),
                    body=got.read(),
                    status=got.status,
                )
            finally:
                connection.close()

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = handle_one

        def log_message(self, *_: object) -> None:
            """Nothing on the terminal."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        proxy = Proxy(url=f"http://127.0.0.1:{listening.server_port}")
        serving = threading.Thread(target=listening.serve_forever)
        serving.start()
        try:
            yield proxy
        finally:
            listening.shutdown()
            serving.join()
