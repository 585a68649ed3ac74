"""Which entries of a folder are not ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.local.own_folder import first_not_of

OWN = {"report.json": (), "train": ("*.gz",)}


@pytest.mark.parametrize(
    ("files", "foreign"),
    [
        ([], None),
        (["report.json", "train/a.gz"], None),
        (["report.json", "notes.md"], "notes.md"),
        (["report.json", "train/own.py"], "train/own.py"),
        (["train/a.gz"], "train"),  # without what all of ours have
    ],
)
def test_the_first_entry_that_is_not_ours(tmp_path: Path, files: list[str], foreign: str | None) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    expected = None if foreign is None else tmp_path / foreign
    assert first_not_of(tmp_path, OWN, mark="report.json") == expected


def test_a_link_is_not_ours_whatever_it_is_called(tmp_path: Path) -> None:
    (tmp_path / "report.json").touch()
    (tmp_path / "train").symlink_to(tmp_path)
    assert first_not_of(tmp_path, OWN, mark="report.json") == tmp_path / "train"
    assert first_not_of(tmp_path / "none", OWN, mark="report.json") is None
