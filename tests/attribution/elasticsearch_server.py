"""A real Elasticsearch without Docker: the server that Maven Central has, run as an ordinary user.

    python -m tests.attribution.elasticsearch_server [--port 9200]

runs one until Ctrl+C. `ELASTICSEARCH_URL` names one that is there already. Needs Java 17 or later
and, for the first time, Maven.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

VERSION = "8.19.0"
GROUP = "org.elasticsearch.distribution.integ-test-zip"
URL_VARIABLE = "ELASTICSEARCH_URL"
_START_TIMEOUT_S = 240
_FETCH_TIMEOUT_S = 600
# The server refuses to run as root.
_ORDINARY_USER = "nobody"


class NoServerError(Exception):
    """Why no Elasticsearch can be had here."""


@dataclass
class Server:
    """An installed server: can be started, killed and started again on the same data."""

    home: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers. Raises `NoServerError`."""
        settings = {
            "discovery.type": "single-node",
            "network.host": "127.0.0.1",
            "http.port": str(self.port),
            "transport.port": "0",
            "xpack.security.enabled": "false",
            "xpack.ml.enabled": "false",
            "ingest.geoip.downloader.enabled": "false",
            "node.store.allow_mmap": "false",
            "path.data": str(self.home / "data"),
            "path.logs": str(self.home / "logs"),
            "cluster.routing.allocation.disk.threshold_enabled": "false",
        }
        modules = {path.name for path in (self.home / "modules").iterdir()}
        for prefix, module in (("xpack.ml.", "x-pack-ml"), ("ingest.geoip.", "ingest-geoip")):
            if module not in modules:
                settings = {name: value for name, value in settings.items() if not name.startswith(prefix)}
        options = [part for name, value in settings.items() for part in ("-E", f"{name}={value}")]
        log = (self.home / "console.log").open("ab")
        self.process = subprocess.Popen(
            [str(self.home / "bin" / "elasticsearch"), *options],
            env={
                **os.environ,
                "ES_JAVA_OPTS": "-Xms512m -Xmx512m",
                "ES_JAVA_HOME": _java_home(),
                "ES_TMPDIR": str(self.home / "tmp"),
            },
            user=_ORDINARY_USER if os.getuid() == 0 else None,
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        log.close()
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        assert self.process is not None
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                health = f"{self.url}/_cluster/health?wait_for_status=yellow&timeout=5s"
                with urllib.request.urlopen(health, timeout=10) as answer:
                    if answer.status == 200:
                        return
            except OSError:
                # Not there yet; there is nothing else to wait on than its port.
                time.sleep(0.5)
        self.kill()
        tail = (self.home / "console.log").read_text(errors="replace")[-1500:]
        raise NoServerError(f"Elasticsearch {VERSION} did not start: {tail}")

    def kill(self) -> None:
        """`kill -9`, the Java process too."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


def _java_home() -> str:
    java = shutil.which("java")
    if java is None:
        raise NoServerError("Elasticsearch needs Java 17 or later")
    return str(Path(java).resolve().parent.parent)


def _archive(*, fetch: bool) -> Path:
    """The server's archive in Maven's own cache, fetched if it must and may be."""
    repository = Path.home() / ".m2" / "repository"
    archive = (
        repository / GROUP.replace(".", "/") / "elasticsearch" / VERSION / f"elasticsearch-{VERSION}.zip"
    )
    if archive.is_file():
        return archive
    if not fetch:
        raise NoServerError(
            f"its archive is not in {repository.parent.name}; run `python -m {__name__}` once to fetch it"
        )
    maven = shutil.which("mvn")
    if maven is None:
        raise NoServerError("Elasticsearch needs Maven to be fetched with (or set ELASTICSEARCH_URL)")
    command = [maven, "-q", "-B", "dependency:get", f"-Dartifact={GROUP}:elasticsearch:{VERSION}:zip"]
    try:
        done = subprocess.run(
            [*command, "-Dtransitive=false"], capture_output=True, text=True, timeout=_FETCH_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        raise NoServerError(f"Maven did not fetch Elasticsearch within {_FETCH_TIMEOUT_S} s") from None
    if done.returncode or not archive.is_file():
        raise NoServerError(f"Maven cannot fetch Elasticsearch {VERSION}: {done.stdout[-500:]}")
    return archive


def install(folder: Path, port: int | None = None, *, fetch: bool = False) -> Server:
    """Unpack a server into an empty folder. Raises `NoServerError`."""
    _java_home()
    with zipfile.ZipFile(_archive(fetch=fetch)) as bundle:
        for info in bundle.infolist():
            path = Path(bundle.extract(info, folder))
            path.chmod(0o755 if info.is_dir() or "/bin/" in info.filename else 0o644)
    home = folder / f"elasticsearch-{VERSION}"
    (home / "tmp").mkdir()
    if os.getuid() == 0:
        folder.chmod(0o755)
        for path in (home, *home.rglob("*")):
            shutil.chown(path, _ORDINARY_USER)
    return Server(home, port or _free_port())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_server(port: int | None = None, *, fetch: bool = False) -> Iterator[Server]:
    """A server for as long as the context lasts. The network is only used if `fetch` says so."""
    with tempfile.TemporaryDirectory(prefix="elasticsearch-") as folder:
        server = install(Path(folder), port, fetch=fetch)
        try:
            server.start()
            yield server
        finally:
            server.kill()


def main() -> None:
    """Run one in the foreground."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--port", type=int, default=9200)
    with running_server(parser.parse_args().port, fetch=True) as server:
        print(f"Elasticsearch {VERSION} at {server.url} (Ctrl+C ends it)", flush=True)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print("ended")


if __name__ == "__main__":
    main()
