"""The command line in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from lsp.cli import cli


@dataclass(frozen=True, kw_only=True)
class Run:
    code: int
    out: str
    err: str


Command = Callable[..., Run]


@pytest.fixture
def command(home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Runs `starcoder-lsp ARGUMENTS` in this process."""
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments: str) -> Run:
        monkeypatch.setattr(sys, "argv", ["starcoder-lsp", *arguments])
        try:
            code = int(cli.main())
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capfd.readouterr()
        return Run(code=code, out=out, err=err)

    return run
