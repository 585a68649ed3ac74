"""Where the engine listens: `unix:PATH` or `HOST:PORT`, and the socket made of it.

Owns the rules of access: a unix socket is for its user alone (mode 0600), a loopback port is for
this machine, any other needs a token. Knows nothing about HTTP.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from model.errors import ListenError
from model.local.file_lock import FileLock

TOKEN_VARIABLE = "STARCODER_ENGINE_TOKEN"

# sizeof(sockaddr_un.sun_path) less the closing zero: unix(7) on Linux, <sys/un.h> on macOS and BSD.
MAX_UNIX_PATH_BYTES = 107 if sys.platform.startswith("linux") else 103


@dataclass(frozen=True, kw_only=True)
class Listen:
    """One address. Exactly one of `unix_path` and `host` is given."""

    unix_path: Path | None = None
    host: str | None = None
    port: int = 0

    def __post_init__(self) -> None:
        assert (self.unix_path is None) != (self.host is None)

    @classmethod
    def parse(cls, text: str) -> Listen:
        """Read `unix:PATH`, `HOST:PORT` or `[IPV6]:PORT`; port 0 means any free one."""
        if text.startswith("unix:"):
            if not text[5:]:
                raise ListenError(f"--listen {text!r} has no path: write unix:/path/to/engine.sock")
            return cls(unix_path=Path(text[5:]).expanduser().absolute())
        host, _, port = text.rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
            raise ListenError(
                f"--listen {text!r} is neither unix:PATH nor HOST:PORT (for example 127.0.0.1:8080)"
            )
        return cls(host=host.removeprefix("[").removesuffix("]"), port=int(port))

    def __str__(self) -> str:
        if self.unix_path is not None:
            return f"unix:{self.unix_path}"
        assert self.host is not None
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def is_private(self) -> bool:
        """Whether only this machine can connect."""
        return self.host is None or is_loopback(self.host)

    def require_token(self, token: str | None) -> None:
        """Raise `ListenError` when the network could connect and no token keeps it out."""
        if not self.is_private and not token:
            raise ListenError(
                f"refusing to listen on {self} without a token: anyone on the network could use the engine. "
                f"Give --token, set {TOKEN_VARIABLE}, or listen on 127.0.0.1 or unix:PATH."
            )

    @contextlib.contextmanager
    def open(self) -> Iterator[Listener]:
        """Bind, and own the address until the block ends. Raises `ListenError`.

        Nobody is answered yet (no `listen(2)`), so that an engine can fail on a taken address
        before it spends a minute on loading weights.
        """
        with _bind_unix(self.unix_path) if self.unix_path is not None else _bind_tcp(self) as bound:
            yield Listener(socket=bound, address=self._bound_to(bound))

    def _bound_to(self, bound: socket.socket) -> Listen:
        if self.unix_path is not None:
            return self
        return Listen(host=self.host, port=bound.getsockname()[1])


def is_loopback(host: str) -> bool:
    """Whether a host, by name or address, is this machine itself."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, kw_only=True)
class Listener:
    """A bound socket and the address that clients reach it at (port 0 replaced by the real one)."""

    socket: socket.socket
    address: Listen


@contextlib.contextmanager
def _bind_unix(path: Path) -> Iterator[socket.socket]:
    if sys.platform == "win32":
        raise ListenError(f"--listen unix:{path}: Python has no unix sockets on Windows, use 127.0.0.1:PORT")
    if len(os.fsencode(path)) > MAX_UNIX_PATH_BYTES:
        raise ListenError(
            f"{path} is longer than the {MAX_UNIX_PATH_BYTES} bytes of a unix socket's path: shorten it"
        )
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _owning(path), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as bound:
        _remove_stale(path)
        _bind_private(bound, path)
        try:
            yield bound
        finally:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _owning(path: Path) -> Iterator[None]:
    """Hold the lock that tells a live engine's socket from a stale one."""
    lock = owner_lock(path)
    if not lock.try_acquire():
        raise ListenError(
            f"another engine already listens on unix:{path} or is about to: use it, or stop it first"
        )
    lock.sign()  # so that an engine that hangs can be ended
    try:
        yield
    finally:
        lock.release()


def owner_lock(unix_path: Path) -> FileLock:
    """The lock that an engine holds on its socket's path from start to end."""
    return FileLock(unix_path.with_name(unix_path.name + ".lock"))


def _remove_stale(path: Path) -> None:
    """Remove a socket whose engine is gone (the owner's lock was free), and nothing else."""
    if path.is_socket():
        path.unlink()
    elif path.exists():
        raise ListenError(f"cannot listen on unix:{path}: a file that is no socket has that name")


def _bind_private(bound: socket.socket, path: Path) -> None:
    # Without the umask the socket would be open to others between bind and chmod.
    previous = os.umask(0o177)
    try:
        bound.bind(os.fspath(path))
    except OSError as error:
        raise ListenError(f"cannot listen on unix:{path}: {error.strerror}") from error
    finally:
        os.umask(previous)


@contextlib.contextmanager
def _bind_tcp(listen: Listen) -> Iterator[socket.socket]:
    assert listen.host is not None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            listen.host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise ListenError(
            f"cannot listen on {listen}: {listen.host!r} is not an address here ({error})"
        ) from error
    with socket.socket(family, kind, protocol) as bound:
        if sys.platform != "win32":  # there it would let two processes share the port
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind(address)
        except OSError as error:
            raise ListenError(f"cannot listen on {listen}: {error.strerror}. Choose another port.") from error
        yield bound
