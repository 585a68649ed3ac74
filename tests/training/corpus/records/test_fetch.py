from __future__ import annotations

import base64
import hashlib
import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from attribution.sources.manifest import Manifest, Package
from tests.training.corpus.corpus_packages import make_npm, make_wheel
from training.corpus.errors import FetchError, IntegrityError
from training.corpus.records.fetch import fetch_manifest, fetch_package

REPOSITORY = Path(__file__).resolve().parents[4]
needs_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for the whole world."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_fetches_the_pinned_wheel_and_reports_progress(index: Path, tmp_path: Path) -> None:
    package = make_wheel(index, "alpha", {"alpha/__init__.py": "x = 1\n"})
    seen: list[tuple[str, int, int]] = []
    (path,) = fetch_manifest(
        Manifest(name="one", packages=(package,)),
        tmp_path / "cache",
        lambda fetched, done, total: seen.append((fetched.name, done, total)),
    )
    assert path.read_bytes() == (index / package.file).read_bytes()
    assert seen == [("alpha", 1, 1)]
    assert files_in(tmp_path / "cache") == {f"pypi/{package.file}"}


def test_a_second_run_fetches_only_what_is_missing_or_damaged(index: Path, tmp_path: Path) -> None:
    alpha = make_wheel(index, "alpha", {"alpha/__init__.py": "x = 1\n"})
    beta = make_wheel(index, "beta", {"beta/__init__.py": "y = 1\n"})
    cache = tmp_path / "cache"
    fetch_package(alpha, cache)
    (index / alpha.file).unlink()  # a second download of alpha would fail
    fetch_manifest(Manifest(name="two", packages=(alpha, beta)), cache)
    beta.archive_in(cache).write_bytes(b"half a wh")
    fetch_package(beta, cache)
    assert beta.archive_in(cache).read_bytes() == (index / beta.file).read_bytes()


def test_a_replaced_file_is_refused_and_not_cached(index: Path, tmp_path: Path) -> None:
    package = make_wheel(index, "alpha", {"alpha/__init__.py": "x = 1\n"})
    make_wheel(index, "alpha", {"alpha/__init__.py": "import os; os.system('true')\n"})
    with pytest.raises(FetchError, match=r"pypi:alpha==1\.0"):
        fetch_package(package, tmp_path / "cache")
    assert files_in(tmp_path / "cache") == set()


def test_an_absent_package_is_named(index: Path, tmp_path: Path) -> None:
    package = replace(make_wheel(index, "alpha", {}), name="nowhere", file="nowhere-1.0-py3-none-any.whl")
    with pytest.raises(FetchError, match="nowhere"):
        fetch_package(package, tmp_path / "cache")


def test_a_source_distribution_is_refused_before_any_client_runs(index: Path, tmp_path: Path) -> None:
    package = replace(make_wheel(index, "alpha", {}), file="alpha-1.0.tar.gz")
    with pytest.raises(FetchError, match="not a wheel"):
        fetch_package(package, tmp_path / "cache")


@needs_npm
def test_npm_packs_without_running_scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trap = tmp_path / "ran"
    scripts = dict.fromkeys(("prepack", "prepare", "postpack", "install", "preinstall"), f"touch {trap}")
    package = make_npm(tmp_path / "npm", "gamma", {"index.js": "module.exports = 1;\n"}, scripts=scripts)
    with npm_registry(package, tmp_path / "npm" / package.file) as url:
        use_registry(monkeypatch, url, tmp_path)
        path = fetch_package(package, tmp_path / "cache")
    assert path.read_bytes() == (tmp_path / "npm" / package.file).read_bytes()
    assert not trap.exists()


@needs_npm
def test_an_npm_file_that_is_not_the_pinned_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = make_npm(tmp_path / "npm", "gamma", {"index.js": "module.exports = 1;\n"})
    with npm_registry(package, tmp_path / "npm" / package.file) as url:
        use_registry(monkeypatch, url, tmp_path)
        with pytest.raises(IntegrityError, match="the manifest pins " + "1" * 64):
            fetch_package(replace(package, sha256="1" * 64), tmp_path / "cache")
    assert files_in(tmp_path / "cache") == set()


def test_a_missing_npm_has_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = make_npm(tmp_path / "npm", "gamma", {})
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FetchError, match=r"install Node\.js"):
        fetch_package(package, tmp_path / "cache")


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT is POSIX")
def test_ctrl_c_leaves_nothing_half_written(index: Path, tmp_path: Path) -> None:
    package = make_wheel(index, "alpha", {"alpha/__init__.py": "x = 1\n"})
    manifest = tmp_path / "one.toml"
    fields = ("ecosystem", "name", "version", "file", "sha256", "license", "repository")
    lines = [f'{name} = "{getattr(package, name)}"\n' for name in fields]
    manifest.write_text('version = 1\nname = "one"\n[[package]]\n' + "".join(lines))
    cache = tmp_path / "cache"
    with silent_server() as (url, asked):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
        environment |= {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": url, "PIP_TIMEOUT": "60"}
        environment |= {"NO_PROXY": "127.0.0.1"}
        command = [sys.executable, "-m", "training.corpus", "fetch", str(manifest), "--cache", str(cache)]
        with subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            assert asked.wait(60), "pip never asked the index"
            process.send_signal(signal.SIGINT)
            _, message = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "nothing is half-written" in message
    assert files_in(cache) == set()
    assert [path.name for path in (cache / "pypi").iterdir()] == []


def use_registry(monkeypatch: pytest.MonkeyPatch, url: str, home: Path) -> None:
    monkeypatch.setenv("npm_config_registry", url)
    monkeypatch.setenv("npm_config_cache", str(home / "npm-cache"))
    monkeypatch.setenv("npm_config_userconfig", os.devnull)
    monkeypatch.setenv("npm_config_update_notifier", "false")
    monkeypatch.setenv("npm_config_noproxy", "127.0.0.1")


@contextmanager
def npm_registry(package: Package, archive: Path) -> Iterator[str]:
    """A registry on a free loopback port that knows one package."""
    data = archive.read_bytes()
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            tarball = f"http://{self.headers['Host']}/{package.file}"
            version: dict[str, object] = {"name": package.name, "version": package.version}
            version |= {"dist": {"tarball": tarball, "integrity": integrity}}
            document: dict[str, object] = {"name": package.name, "dist-tags": {"latest": package.version}}
            document |= {"versions": {package.version: version}}
            body = data if self.path.endswith(".tgz") else json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with serving(Handler) as port:
        yield f"http://127.0.0.1:{port}/"


@contextmanager
def silent_server() -> Iterator[tuple[str, threading.Event]]:
    """An index that takes the question and never answers."""
    asked, over = threading.Event(), threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.set()
            over.wait(120)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with serving(Handler) as port:
        try:
            yield f"http://127.0.0.1:{port}/simple", asked
        finally:
            over.set()


@contextmanager
def serving(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
