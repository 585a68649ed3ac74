"""Server-sent events, the receiving side: bytes in, the events' data out.

Reads what completion APIs send, `data:` fields, and passes over names, ids and retry times.
Source: WHATWG HTML, §9.2.6, without its third line end, a lone CR, which nobody sends. Lines are cut
by hand: `str.splitlines` would also cut at U+2028 and the like, which servers put into JSON unescaped.
A comment is a line that begins with a colon; some servers send theirs as data (`data: : keepalive`).
"""

from __future__ import annotations

DONE = "[DONE]"


class EventDecoder:
    """Incremental: bytes may be cut anywhere, also within a character or a CR LF."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def push(self, received: bytes) -> list[str]:
        """The data of the events that these bytes complete, in order."""
        lines = (self._rest + received).replace(b"\r\n", b"\n").split(b"\n")
        self._rest = lines.pop()
        return [data for line in lines for data in self._end_line(line.removesuffix(b"\r"))]

    def _end_line(self, line: bytes) -> list[str]:
        if line.startswith(b"data:") and not line[5:].lstrip().startswith(b":"):
            self._data.append(line[5:].removeprefix(b" "))
        if line or not self._data:
            return []
        data, self._data = b"\n".join(self._data), []
        return [data.decode("utf-8", errors="replace")]
