"""Builds that cannot write: one line says why, and the index is as it was."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from attribution.store.open import open_index, open_writer
from tests.attribution.samples import code, finds, index_of
from tests.attribution.samples import mixed_documents as documents

BUILD = """
import sys
from lsp.cli.cli import main
sys.argv[1:] = ["index", "build", sys.argv[1], "--into", sys.argv[2]]
main()
"""


def build(source: Path, index: str) -> tuple[int, list[str]]:
    """Exit code and lines of errors of a build in a process of its own."""
    command = [sys.executable, "-c", BUILD, str(source), index]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, [line for line in done.stderr.splitlines() if line.startswith(("error", "Trace"))]


def source_in(folder: Path) -> Path:
    place = folder / "source"
    place.mkdir()
    for number in range(60):
        (place / f"{number}.py").write_text(code(1000 + number, lines=60))
    return place


def check_unchanged(index: str) -> None:
    assert finds(index, documents()[1].text)
    opened = open_index(index)
    assert opened.document_count() == len(documents(3))
    assert opened.verify() == []
    opened.close()


def test_two_builds_at_once(tmp_path: Path) -> None:
    index = str(tmp_path / "index")
    index_of(index, documents(3))
    with open_writer(index):
        code_, errors = build(source_in(tmp_path), index)
    assert (code_, len(errors)) == (2, 1)
    assert "another process is writing to this index" in errors[0]
    check_unchanged(index)


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0, reason="this user may write everywhere, or this is no Unix"
)
def test_a_folder_that_is_read_only(tmp_path: Path) -> None:
    index = tmp_path / "index"
    index_of(str(index), documents(3))
    for path in (index, index / "segments"):
        path.chmod(0o555)
    try:
        code_, errors = build(source_in(tmp_path), str(index))
    finally:
        for path in (index, index / "segments"):
            path.chmod(0o755)
    assert (code_, len(errors)) == (2, 1)
    check_unchanged(str(index))
