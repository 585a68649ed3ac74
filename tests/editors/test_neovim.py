"""Neovim: its own inline completion (0.12), llm-ls's methods as llm.nvim sends them, and llama.vim (0.11)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.editors.conftest import INDEXED
from tests.editors.scripted import HERE, Session

CACHED = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "starcoder-lsp-editors"
LLAMA_VIM = CACHED.with_name(CACHED.name + "-llama.vim")
PLACES = [CACHED / "nvim", shutil.which("nvim"), Path(sys.executable).with_name("nvim")]


def neovim(at_least: tuple[int, int]) -> str:
    """A Neovim of this version or newer; the test is skipped, by name, where there is none."""
    for place in PLACES:
        if place is None or not Path(place).exists():
            continue
        said = subprocess.run([str(place), "--version"], capture_output=True, text=True, timeout=60).stdout
        version = re.search(r"NVIM v(\d+)\.(\d+)", said)
        if version is not None and (int(version[1]), int(version[2])) >= at_least:
            return str(place)
    pytest.skip(f"needs Neovim {at_least[0]}.{at_least[1]} or newer: tests/editors/install fetches it")


def test_native_inline_completion(session: Session) -> None:
    command = [neovim((0, 12)), "--headless", "--clean", "-S", str(HERE / "neovim_native.lua")]
    set_up = session.set_up("Neovim 0.12", "lua")
    keys = "def perimeter(points):<CR>total = "
    report = session.run(command, INDEXED, STARCODER_SETUP=str(set_up), STARCODER_KEYS=keys)
    assert report["ghost"].strip()
    assert report["before"].endswith("    total = ")
    # What was shown is what is in the buffer after Tab.
    assert report["after"] == report["before"] + report["ghost"]
    assert_named(report["check"])


def test_llm_nvim_requests(session: Session) -> None:
    command = [neovim((0, 11)), "--headless", "--clean", "-S", str(HERE / "neovim_llm.lua")]
    report = session.run(command, INDEXED + "def perimeter(points):\n    total = ")
    assert report["ghost"].strip()
    assert report["after"] == report["before"] + report["ghost"]
    assert report["accepted"] == 1


@contextmanager
def engine_on_port(session: Session, token: str) -> Iterator[str]:
    """The URL of an engine of the bundled model."""
    command = [sys.executable, "-I", "-m", "lsp", "engine", "--model", "starter"]
    process = subprocess.Popen(
        [*command, "--listen", "127.0.0.1:0", "--token", token],
        env=session.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().removeprefix("ready: ").split(" ")[0]
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_llama_vim(session: Session) -> None:
    command = [neovim((0, 11)), "--headless", "--clean", "-S", str(HERE / "neovim_llama.lua")]
    if not LLAMA_VIM.is_dir() or shutil.which("curl") is None:
        pytest.skip("needs curl and llama.vim: tests/editors/install fetches it")
    with engine_on_port(session, "secret") as url:
        report = session.run(
            command,
            INDEXED + "def perimeter(points):\n    total =",
            STARCODER_LLAMA_VIM=str(LLAMA_VIM),
            STARCODER_ENGINE=url,
            STARCODER_TOKEN="secret",
        )
    assert report["ghost"].strip()
    assert report["after"] == report["before"] + report["ghost"]
    assert re.search(r"p: [1-9].* t/s\) \| g: [1-9]", report["figures"])


def assert_named(check: dict[str, Any]) -> None:
    """The answer names file and licence of the code that the index knows."""
    (match, *_) = check["matches"]
    assert match["source"]["path"].endswith("area.py")
    assert match["source"]["license"] == "MIT"
    assert match["range"]["start"]["line"] == 0
