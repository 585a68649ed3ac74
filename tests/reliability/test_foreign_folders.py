"""The small run of `python -m tests.reliability foreign_folders`."""

from __future__ import annotations

from tests.reliability.foreign_folders import run


def test_no_command_removes_a_file_that_is_not_ours() -> None:
    assert not run(seed=2, is_long=False).failures
