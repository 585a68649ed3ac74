"""Where the engine listens: sockets of its own, and ports."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from model.errors import ListenError
from model.local.listen import MAX_UNIX_PATH_BYTES, Listen
from tests.model.serving import socket_of


class TestListen:
    @pytest.mark.parametrize(
        "text", ["", "8080", "localhost", ":8080", "host:port", "host:70000", "unix:", "host:-1"]
    )
    def test_names_what_it_cannot_read(self, text: str) -> None:
        with pytest.raises(ListenError, match=r"--listen"):
            Listen.parse(text)

    @pytest.mark.parametrize(
        ("text", "private"),
        [
            ("unix:/tmp/x.sock", True),
            ("http://127.0.0.1:80", True),
            ("http://[::1]:80", True),
            ("http://localhost:80", True),
            ("http://0.0.0.0:80", False),
            ("http://gpu.example:80", False),
        ],
    )
    def test_only_the_network_needs_a_token(self, text: str, private: bool) -> None:
        listen = Listen.parse(text.removeprefix("http://"))
        assert str(listen) == text
        assert listen.is_private is private
        listen.require_token("secret")
        if private:
            listen.require_token(None)
        else:
            with pytest.raises(ListenError, match="without a token"):
                listen.require_token(None)

    def test_a_stale_socket_is_replaced(self, listen: Listen) -> None:
        socket_of(listen).parent.mkdir()
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(socket_of(listen)))
        with listen.open():
            assert socket_of(listen).is_socket()

    def test_a_live_one_is_not(self, listen: Listen) -> None:
        with listen.open():
            with pytest.raises(ListenError, match="already listens"), listen.open():
                pass
            assert socket_of(listen).is_socket()

    def test_nor_is_a_file_of_the_users(self, listen: Listen) -> None:
        socket_of(listen).parent.mkdir()
        socket_of(listen).write_text("precious")
        with pytest.raises(ListenError, match="no socket"), listen.open():
            pass
        assert socket_of(listen).read_text() == "precious"

    def test_a_path_that_is_too_long(self, tmp_path: Path) -> None:
        listen = Listen.parse(f"unix:{tmp_path}/{'x' * MAX_UNIX_PATH_BYTES}")
        with pytest.raises(ListenError, match=str(MAX_UNIX_PATH_BYTES)), listen.open():
            pass

    def test_a_port_that_is_taken(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with (
                pytest.raises(ListenError, match=f"127.0.0.1:{port}"),
                Listen.parse(f"127.0.0.1:{port}").open(),
            ):
                pass
