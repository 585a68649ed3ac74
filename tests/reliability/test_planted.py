"""Workers are deaf to a folder's modules; `python -m tests.reliability planted` tries every command."""

from __future__ import annotations

from pathlib import Path

from tests.reliability.planted import STARTING, plant, run_in


def test_no_worker_runs_a_module_of_the_folder_that_a_command_is_called_in(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    ran = plant(folder)
    index_build, _, pack, *_ = STARTING
    for command in (index_build, pack):
        done = run_in(folder, command, tmp_path)
        assert (done.returncode, ran.exists()) == (0, False), done.stderr
