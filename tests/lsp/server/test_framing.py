"""Messages out of bytes, however they are cut, and what is none."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pygls.exceptions import JsonRpcException

from lsp.server.framing import ForeignProtocolError, Frames


def bodies(frames: Frames, received: bytes) -> list[bytes | str]:
    return ["refused" if isinstance(each, JsonRpcException) else each for each in frames.push(received)]


@settings(max_examples=30)
@given(st.lists(st.binary(max_size=30), max_size=4), st.integers(1, 40))
def test_are_the_same_however_the_bytes_are_cut(payloads: list[bytes], size: int) -> None:
    wire = b"".join(b"Content-Length: %d\r\n\r\n%b" % (len(each), each) for each in payloads)
    frames = Frames(strict=True)
    received = [body for at in range(0, len(wire), size) for body in bodies(frames, wire[at : at + size])]
    assert received == payloads


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"content-length: 2\r\n\r\n", [b"{}"]),
        (b"CONTENT-LENGTH:2\n\n", [b"{}"]),
        (b"Content-Type: application/vscode-jsonrpc; charset=utf-8\r\nContent-Length: 2\r\n\r\n", [b"{}"]),
        (b"Content-Length: 99999999999\r\n\r\n", ["refused"]),
        (b"Content-Length: " + b"9" * 5_000 + b"\r\n\r\n", ["refused"]),
        (b"Content-Length: -2\r\n\r\n", []),
        (b"x" * 100_000, []),
        (b"no header\r\n\r\n", []),
    ],
)
def test_heads(head: bytes, expected: list[bytes | str]) -> None:
    """After each of them the next message is read."""
    frames = Frames()
    assert bodies(frames, head + b"{}") == expected
    assert bodies(frames, b"\r\n\r\nContent-Length: 3\r\n\r\n[1]") == [b"[1]"]


@pytest.mark.parametrize(
    "received",
    [
        b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
        b"Host: 127.0.0.1\r\n",
        b"Content-Length: x\r\n",
        b"y" * 10_000,
    ],
)
def test_a_stranger_speaks_lsp_or_is_not_heard(received: bytes) -> None:
    with pytest.raises(ForeignProtocolError):
        list(Frames(strict=True).push(received))
