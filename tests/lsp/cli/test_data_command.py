"""`starcoder-lsp where` and `clean`: what lies where, and that no more is removed than was said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lsp.cli.cli import app
from lsp.cli.data_command import everything_kept


@pytest.fixture
def kept(home: Path) -> dict[str, Path]:
    """A file of each kind, by kind, and the user's own beside them."""
    files = {}
    for one in everything_kept():
        assert one.path.is_relative_to(home)  # not so where the test's name makes a socket's path too long
        file = one.path if one.path.suffix else one.path / "folder" / "file"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x" * 1000)
        files[one.what] = file
    (home / "mine").mkdir()
    (home / "mine" / "notes").write_text("mine")
    # A link in a folder of ours leads out of it.
    (files["fetched models"].parent / "link").symlink_to(home / "mine")
    return files


def run(*arguments: str, given: str = "") -> str:
    answer = CliRunner().invoke(app, arguments, input=given)
    assert answer.exit_code == (1 if given == "n\n" else 0), answer.output
    return answer.output


def test_each_place_and_its_size(kept: dict[str, Path]) -> None:
    rows = {row["what"]: row for row in json.loads(run("where", "--json"))}
    assert set(rows) == set(kept)
    for what, file in kept.items():
        assert file.is_relative_to(rows[what]["path"])
        assert 1000 <= rows[what]["bytes"] < 1200, rows[what]  # each file once, and the link as a link
    shown = run("where")
    assert all(what in shown for what in kept)


def test_clean_asks_and_spares(kept: dict[str, Path], home: Path) -> None:
    asked = run("clean", given="n\n")
    assert "fetched models" in asked
    assert "settings" not in asked
    assert all(file.exists() for file in kept.values())
    run("clean", given="y\n")
    gone = {what for what, file in kept.items() if not file.exists()}
    assert gone == {"fetched models", "logs"}
    assert "settings" in run("clean", "--all", "--yes")
    assert not any(file.exists() for file in kept.values())
    assert (home / "mine" / "notes").read_text() == "mine"
