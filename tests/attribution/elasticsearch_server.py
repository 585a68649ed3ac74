"""A real Elasticsearch without Docker: the server that Maven Central has, run as an ordinary user.

    python -m tests.attribution.elasticsearch_server [--port 9200] [--fetch-only]

(`make elasticsearch`) runs one until Ctrl+C, which leaves nothing behind. `ELASTICSEARCH_URL` names
one that is there already.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

from tests.attribution.elasticsearch_archive import VERSION, NoServerError, archive, java_home

URL_VARIABLE = "ELASTICSEARCH_URL"
_START_TIMEOUT_S = 240
# The server refuses to run as root.
_ORDINARY_USER = "nobody"
_SETTINGS = {
    "discovery.type": "single-node",
    "network.host": "127.0.0.1",
    "transport.port": "0",
    "xpack.security.enabled": "false",
    "node.store.allow_mmap": "false",
    "cluster.routing.allocation.disk.threshold_enabled": "false",
}


@dataclass(frozen=True, kw_only=True)
class Lock:
    """What a server with security asks for: TLS by a certificate of its own, and this superuser."""

    certificate: Path
    user: str
    password: str


@dataclass
class Server:
    """An installed server: can be started, killed and started again on the same data."""

    home: Path
    port: int
    lock: Lock | None = None
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self.lock else 'http'}://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers. Raises `NoServerError`."""
        settings = {
            **_SETTINGS,
            "http.port": str(self.port),
            "path.data": str(self.home / "data"),
            "path.logs": str(self.home / "logs"),
            **(_SECURITY if self.lock else {}),
        }
        options = [part for name, value in settings.items() for part in ("-E", f"{name}={value}")]
        with (self.home / "console.log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(self.home / "bin" / "elasticsearch"), *options],
                env={
                    **os.environ,
                    # Compiled once and quickly: the tests end before more would pay.
                    "ES_JAVA_OPTS": "-Xms512m -Xmx512m -XX:TieredStopAtLevel=1",
                    "ES_JAVA_HOME": str(java_home()),
                    "ES_TMPDIR": str(self.home / "tmp"),
                },
                user=_ORDINARY_USER if os.getuid() == 0 else None,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        assert self.process is not None
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            if self._answers():
                return
            # There is nothing else to wait on than its port.
            time.sleep(0.5)
        self.kill()
        tail = (self.home / "console.log").read_text(errors="replace")[-1500:]
        raise NoServerError(f"Elasticsearch {VERSION} did not start: {tail}")

    def _answers(self) -> bool:
        trusted = ssl.create_default_context(cafile=self.lock.certificate) if self.lock else None
        health = f"{self.url}/_cluster/health?wait_for_status=yellow&timeout=5s"
        try:
            with urllib.request.urlopen(health, timeout=10, context=trusted):
                return True
        except HTTPError as error:
            return self.lock is not None and error.code == 401
        except OSError:
            return False

    def kill(self) -> None:
        """`kill -9`, the Java process too."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


def install(folder: Path, port: int | None = None, *, fetch: bool = False, secure: bool = False) -> Server:
    """Unpack a server into an empty folder. Raises `NoServerError`."""
    java_home()
    with zipfile.ZipFile(archive(fetch=fetch)) as bundle:
        for info in bundle.infolist():
            path = Path(bundle.extract(info, folder))
            path.chmod(0o755 if info.is_dir() or "/bin/" in info.filename else 0o644)
    home = folder / f"elasticsearch-{VERSION}"
    (home / "tmp").mkdir()
    lock = _lock(home) if secure else None
    if os.getuid() == 0:
        folder.chmod(0o755)
        for path in (home, *home.rglob("*")):
            shutil.chown(path, _ORDINARY_USER)
    return Server(home, port or _free_port(), lock)


_STORE, _STORE_PASSWORD = "http.p12", "changeit"
_SECURITY = {
    "xpack.security.enabled": "true",
    "xpack.security.http.ssl.enabled": "true",
    "xpack.security.http.ssl.keystore.path": _STORE,
    # Deprecated in favour of a keystore of secrets, which needs another start of Java.
    "xpack.security.http.ssl.keystore.password": _STORE_PASSWORD,
}


def _lock(home: Path) -> Lock:
    """Make a certificate (by the `keytool` that comes with Java) and a superuser."""
    certificate, user, password = home / "certificate.pem", "tester", "not-a-secret"
    store = ["-keystore", str(home / "config" / _STORE), "-storepass", _STORE_PASSWORD]
    keytool = str(java_home() / "bin" / "keytool")
    who = ["-alias", "http", "-dname", "CN=127.0.0.1", "-ext", "san=ip:127.0.0.1", "-validity", "2"]
    made = ["-genkeypair", "-keyalg", "EC", "-groupname", "secp256r1", "-storetype", "PKCS12", *who]
    subprocess.run([keytool, *made, *store], check=True, capture_output=True)
    shown = subprocess.run(
        [keytool, "-exportcert", "-rfc", "-alias", "http", *store], check=True, capture_output=True
    )
    certificate.write_bytes(shown.stdout)
    roles = documented_roles()
    # A user of each role, called as it is; a line of YAML may be JSON.
    (home / "config" / "roles.yml").write_text(
        "".join(f"{name}: {json.dumps(role)}\n" for name, role in roles.items())
    )
    hashed = _hashed(password)
    (home / "config" / "users").write_text("".join(f"{name}:{hashed}\n" for name in (user, *roles)))
    (home / "config" / "users_roles").write_text(
        f"superuser:{user}\n" + "".join(f"{name}:{name}\n" for name in roles)
    )
    return Lock(certificate=certificate, user=user, password=password)


def documented_roles() -> dict[str, Any]:
    """The roles that the documentation gives for each command."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "attribution.md").read_text(encoding="utf-8")
    block = page.partition("<!-- roles -->")[2].partition("<!-- /roles -->")[0]
    roles: dict[str, Any] = json.loads(block.strip().removeprefix("```json").removesuffix("```"))
    return roles


def _hashed(password: str) -> str:
    """As the file realm stores it: `{PBKDF2}rounds$salt$hash`, of SHA-512 and 32 bytes each."""
    rounds, salt = 1000, os.urandom(32)
    hashed = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, rounds, dklen=32)
    return f"{{PBKDF2}}{rounds}${base64.b64encode(salt).decode()}${base64.b64encode(hashed).decode()}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_server(port: int | None = None, *, fetch: bool = False, secure: bool = False) -> Iterator[Server]:
    """A server for as long as the context lasts. The network is only used if `fetch` says so."""
    with tempfile.TemporaryDirectory(prefix="elasticsearch-") as folder:
        server = install(Path(folder), port, fetch=fetch, secure=secure)
        try:
            server.start()
            yield server
        finally:
            server.kill()


def main() -> int:
    """Run one in the foreground."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--port", type=int, default=9200, help="where it listens, on this machine only")
    parser.add_argument("--fetch-only", action="store_true", help="only bring the archive to this machine")
    options = parser.parse_args()
    # Ended by either signal, it clears up.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        if options.fetch_only:
            java_home()
            print(archive(fetch=True))
        else:
            _serve(options.port)
    except NoServerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nended; nothing is left of it")
    return 0


def _serve(port: int) -> None:
    print(f"starting Elasticsearch {VERSION} (the first time it is fetched, 97 MB) …", flush=True)
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise NoServerError(f"port {port} is in use; choose another with --port")
    with running_server(port, fetch=True) as server:
        print(f"Elasticsearch {VERSION} at {server.url} (Ctrl+C ends it and leaves nothing)")
        print(f"  starcoder-lsp index build SOURCES… --into {server.url}/NAME")
        print(f"  {URL_VARIABLE}={server.url} make test", flush=True)
        assert server.process is not None
        if server.process.wait():
            raise NoServerError("Elasticsearch ended by itself")


if __name__ == "__main__":
    sys.exit(main())
