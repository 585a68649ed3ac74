"""What is written for the user alone, and what a killed process leaves."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.local.private import ANSWERS, TemporaryFolder, private_files, sweep
from tests.attribution.samples import code, document, index_of


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def is_private(folder: Path) -> bool:
    return not any(mode(path) & 0o077 for path in (folder, *folder.rglob("*")))


@pytest.mark.usefixtures("open_umask")
def test_whatever_the_umask_says_an_index_is_the_users_alone(tmp_path: Path) -> None:
    index = tmp_path / "index"
    index_of(index, [document("o/r", "a.py", code(1))])
    assert is_private(index)
    (index / "catalogue.sqlite").chmod(0o644)  # the user shares it
    index_of(index, [document("o/r", "b.py", code(2))])
    assert {mode(path) for path in (index / "segments").iterdir()} == {0o600, 0o644}


@pytest.mark.usefixtures("open_umask")
def test_the_umask_is_the_callers_again() -> None:
    with private_files():
        pass
    assert os.umask(0) == 0


def test_what_a_killed_process_has_left_is_swept_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    child = (
        "import os, tempfile\nfrom model.local.private import *\n"
        f"tempfile.tempdir = {str(tmp_path)!r}\n"
        "TemporaryFolder(ANSWERS).write('answer.md', 'private')\nos.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", child], capture_output=True, check=False)
    assert killed.returncode == -9, killed.stderr
    [left] = tmp_path.iterdir()
    assert (left / "answer.md").read_text() == "private"
    assert is_private(left)
    other = tmp_path / "starcoder-lsp-0"
    other.mkdir()
    (tmp_path / "starcoder-answers-link").symlink_to(other)
    mine = TemporaryFolder(ANSWERS)
    mine.write("answer.md", "mine")
    sweep(ANSWERS)
    assert not left.exists()
    assert mine.path.exists()
    mine.close()
    assert {path.name for path in tmp_path.iterdir()} == {"starcoder-lsp-0", "starcoder-answers-link"}


def test_blocks_that_overlap_leave_the_umask_as_it_was(open_umask: None) -> None:
    first, second = private_files(), private_files()  # as two threads would open them
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert os.umask(0o077) == 0o077
    second.__exit__(None, None, None)
    assert os.umask(0) == 0
