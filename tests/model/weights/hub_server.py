"""A model hub on a loopback port: what huggingface_hub asks for, answered from dictionaries.

Large files (`large`) are answered as the hub does: by a redirection to another address, which knows ranges.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase

COMMIT = "c" * 40


class HubServer:
    """`repositories` maps an id to its files; `gated` ones refuse. `asked` has what was asked for.

    `sends` is how many bytes of an answer are sent before the line goes dead; None: all.
    """

    def __init__(
        self,
        repositories: Mapping[str, Mapping[str, bytes]],
        gated: tuple[str, ...] = (),
        large: tuple[str, ...] = (),
    ) -> None:
        self.repositories = repositories
        self.gated = gated
        self.large = large
        self.asked: list[str] = []
        self.ranges: list[str] = []
        self.sends: int | None = None
        self.url = ""
        self._hung_up = threading.Event()

    def answer(self, path: str, begin: int = 0) -> tuple[int, dict[str, str], bytes]:
        parts = path.split("?")[0].strip("/").split("/")
        if parts[0] == "cdn":
            return self._blob("/".join(parts[1:]), begin)
        if parts[0] == "datasets":  # files of data sets; the API has `datasets` where models have `models`
            parts = parts[1:]
        is_api = parts[0] == "api"
        repository = "/".join(parts[2:4] if is_api else parts[:2])
        if repository in self.gated:
            return 403, {"X-Error-Code": "GatedRepo"}, b""
        if repository not in self.repositories:
            return 404, {"X-Error-Code": "RepoNotFound"}, b""
        files = self.repositories[repository]
        if not is_api:
            return self._file(files, "/".join(parts[4:]))
        kind, revision = parts[4:6] or ("revision", "main")
        if revision not in ("main", COMMIT):
            return 404, {"X-Error-Code": "RevisionNotFound"}, b""
        found = self._listing(files) if kind == "tree" else {"id": repository, "sha": COMMIT}
        return 200, {}, json.dumps(found).encode()

    @staticmethod
    def _listing(files: Mapping[str, bytes]) -> list[dict[str, object]]:
        return [
            {"type": "file", "path": name, "size": len(data), "oid": _digest(data)}
            for name, data in files.items()
        ]

    def _file(self, files: Mapping[str, bytes], name: str) -> tuple[int, dict[str, str], bytes]:
        if name not in files:
            return 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT}, b""
        if name in self.large:
            linked = {"X-Linked-Etag": f'"{_digest(files[name])}"', "X-Linked-Size": str(len(files[name]))}
            elsewhere = self.url.replace("127.0.0.1", "localhost")  # another host
            return 302, {"X-Repo-Commit": COMMIT, "Location": f"{elsewhere}/cdn/{name}", **linked}, b""
        return 200, {"X-Repo-Commit": COMMIT, "ETag": f'"{_digest(files[name])}"'}, files[name]

    def _blob(self, name: str, begin: int) -> tuple[int, dict[str, str], bytes]:
        data = next(files[name] for files in self.repositories.values() if name in files)
        if not begin:
            return 200, {"Accept-Ranges": "bytes"}, data
        self.ranges.append(f"{begin}-")
        return 206, {"Content-Range": f"bytes {begin}-{len(data) - 1}/{len(data)}"}, data[begin:]

    def _send(self, out: BufferedIOBase, body: bytes) -> None:
        out.write(body[: self.sends])
        if self.sends is not None and self.sends < len(body):
            self._hung_up.wait()

    @contextlib.contextmanager
    def running(self) -> Iterator[HubServer]:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub.asked.append(f"{self.command} {self.path.split('?')[0]}")
                begin = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0]
                status, headers, body = hub.answer(self.path, int(begin))
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command == "GET":
                    hub._send(self.wfile, body)

            do_HEAD = do_GET

            def log_message(self, *arguments: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield self
        finally:
            self._hung_up.set()
            server.shutdown()
            thread.join()
            server.server_close()


def _digest(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()
