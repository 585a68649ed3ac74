"""The walls of the sandbox: `python -m tests.reliability hostile_programs`."""

from __future__ import annotations

from tests.reliability.hostile_programs import run
from tests.training.evaluate.sandboxes import need_sandbox


def test_no_hostile_program_comes_through() -> None:
    need_sandbox()
    assert not run(seed=1, is_long=False).failures
