"""Folders made to hang or to fill the server: whatever lies there, it is said and passed over."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lsp.settings.config_sources import read_project
from lsp.settings.git_ignores import GitIgnores
from model.local.gitignore import parse
from model.local.small_files import MAX_BYTES, read_small_file

needs_posix = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs and devices")


def fifo(path: Path) -> None:
    os.mkfifo(path)


def sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 2**30)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def folder(path: Path) -> None:
    path.mkdir()


def circle(path: Path) -> None:
    path.symlink_to(path.name)


def written(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text, encoding="utf-8")


MAKERS: list[Callable[[Path], object]] = [fifo, sparse, endless, folder, circle]


@needs_posix
@pytest.mark.timeout(20)
@pytest.mark.parametrize("make", [*MAKERS, written("a\n" * 5_000)])
@pytest.mark.parametrize("name", [".gitignore", ".git/info/exclude"])
def test_an_ignore_file_that_is_none(tmp_path: Path, name: str, make: Callable[[Path], object]) -> None:
    (tmp_path / ".git" / "info").mkdir(parents=True)
    make(tmp_path / name)
    notes: list[str] = []
    ignores = GitIgnores({"HOME": str(tmp_path), "PATH": os.environ["PATH"]}, notes.append)
    for _ in range(2):
        assert ignores.reason(tmp_path / "a.py", folder=tmp_path) is None
    (note,) = notes
    assert f"{tmp_path / name} cannot be read and is passed over" in note


@needs_posix
@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "make",
    [
        *MAKERS,
        written("a = " + "[" * 20_000),
        written("a = " + "{a = " * 20_000),
        written("a" + ".a" * 100_000 + " = 1"),
        written("[a" + ".a" * 100_000 + "]"),
        written("a = 1\n" * 2),
        written("\n" * (MAX_BYTES + 1)),
    ],
)
@pytest.mark.parametrize("name", [".starcoder.toml", "pyproject.toml"])
def test_a_settings_file_that_is_none(tmp_path: Path, name: str, make: Callable[[Path], object]) -> None:
    (tmp_path / ".git").mkdir()
    make(tmp_path / name)
    messages: list[str] = []
    assert read_project(tmp_path, messages) == ()
    (message,) = messages
    assert f"{tmp_path / name} cannot be read and is passed over" in message


@pytest.mark.skipif(getattr(os, "getuid", lambda: 1)() != 0, reason="only root can give files away")
def test_another_users_settings_are_not_obeyed(tmp_path: Path) -> None:
    file = tmp_path / ".starcoder.toml"
    file.write_text("[completion]\nenabled = false\n", encoding="utf-8")
    os.chown(file, 12_345, -1)
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    messages: list[str] = []
    assert read_project(inner, messages) == ()
    assert messages == [f"{file} cannot be read and is passed over: it belongs to another user"]


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("*a*a*a*a*a*a*a*ab", "a" * 255),
        ("[a-z]*" * 600 + "9", "a" * 255),
        ("**/" * 12 + "b", "/".join("a" * 2_000)),
        ("/".join(["**", "*a*a*b"] * 20), "/".join(["a" * 20] * 200)),
        ("?" * 5_000, "a" * 5_000),
    ],
)
def test_no_pattern_takes_long(line: str, path: str) -> None:
    pattern = parse(line)
    assert pattern is None or not pattern.names(path, is_folder=False)


def test_a_path_that_cannot_be_is_no_file(tmp_path: Path) -> None:
    for name in ("a\0", "\ud800"):
        with pytest.raises(FileNotFoundError):
            read_small_file(tmp_path / name)
