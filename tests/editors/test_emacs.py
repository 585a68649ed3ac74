"""Emacs with eglot and the Lisp of docs/editors.md."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.editors.conftest import INDEXED
from tests.editors.scripted import HERE, Session
from tests.editors.test_neovim import assert_named


@pytest.fixture(scope="module")
def emacs() -> str:
    """An Emacs that has eglot; the tests are skipped, by name, where there is none."""
    found = shutil.which("emacs")
    if found is None:
        pytest.skip("needs Emacs with eglot: tests/editors/install installs it")
    asked = subprocess.run([found, "--batch", "--eval", "(require 'eglot)"], capture_output=True, timeout=60)
    if asked.returncode:
        pytest.skip("this Emacs has no eglot: tests/editors/install installs it")
    return found


def test_suggest_accept_and_check(session: Session, emacs: str) -> None:
    set_up: Path = session.set_up("Emacs with eglot", "elisp")
    text = INDEXED + "def perimeter(points):\n    total = "
    report = session.run([emacs, "--batch", "-l", str(HERE / "emacs.el")], text, STARCODER_SETUP=str(set_up))
    assert report["before"] == text
    assert report["ghost"].strip()
    assert report["after"] == text + report["ghost"]
    assert_named(report["check"])
