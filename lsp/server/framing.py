"""From bytes to messages: LSP's base protocol (LSP 3.18, base protocol) and JSON, with bounds.

A message is one JSON object. What is none (a batch, a number, nesting without end, broken JSON, a length
beyond all reason) becomes an error that can be answered, and the next message is read. Does not know what
messages mean.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from pygls.exceptions import JsonRpcException, JsonRpcInvalidRequest, JsonRpcParseError

# A file of 100,000 lines is opened by one message of several megabytes.
MAX_MESSAGE_BYTES = 64 * 2**20
_MAX_LINE_BYTES = 8_192
_LENGTH = re.compile(rb"content-length[ \t]*:[ \t]*(\d+)", re.IGNORECASE)
_OTHER_FIELD = re.compile(rb"content-type[ \t]*:.*", re.IGNORECASE)


class ForeignProtocolError(Exception):
    """What arrives is not LSP; HTTP, for example."""


class Frames:
    """Incremental: bytes may be cut anywhere. Where a client is not known (`strict`), nothing may stand
    between two messages; else it is passed over."""

    def __init__(self, *, strict: bool = False) -> None:
        self._strict = strict
        self._buffer = bytearray()
        self._length: int | None = None
        self._in_body = False

    def push(self, received: bytes) -> Iterator[bytes | JsonRpcException]:
        """The bodies that these bytes complete, or why one cannot be read. Raises `ForeignProtocolError`."""
        self._buffer += received
        while (part := self._take()) is not None:
            if self._in_body:
                self._length, self._in_body = None, False
                yield part
            elif (error := self._take_header(part.strip())) is not None:
                yield error

    def _take(self) -> bytes | None:
        """The next line of a head, or a whole body; None before it has arrived."""
        if self._in_body:
            assert self._length is not None
            end = self._length
            if len(self._buffer) < end:
                return None
        elif (newline := self._buffer.find(b"\n")) >= 0:
            end = newline + 1
        elif len(self._buffer) > _MAX_LINE_BYTES:
            end = len(self._buffer)
        else:
            return None
        part = bytes(self._buffer[:end])
        del self._buffer[:end]
        return part

    def _take_header(self, line: bytes) -> JsonRpcException | None:
        if not line:
            self._in_body = self._length is not None
            return None
        if (found := _LENGTH.fullmatch(line)) is None:
            if self._strict and not _OTHER_FIELD.fullmatch(line):
                raise ForeignProtocolError(f"{line[:80]!r} is no header of LSP")
            return None
        if len(found[1]) > 10 or int(found[1]) > MAX_MESSAGE_BYTES:
            return JsonRpcInvalidRequest(f"a message has at most {MAX_MESSAGE_BYTES} bytes")
        self._length = int(found[1])
        return None


def decoded(body: bytes | str) -> dict[str, Any]:
    """One message. Raises a `JsonRpcException` that says why it is none."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise JsonRpcParseError(f"a message could not be read: {error}") from error
    if not isinstance(value, dict):
        raise JsonRpcInvalidRequest("a message is one JSON object; LSP has no batches")
    return value
