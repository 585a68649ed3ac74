"""The demo: its script, and one whole performance on the real server and the bundled model."""

from __future__ import annotations

import ast
import asyncio
import re
import subprocess
import sys
from pathlib import Path

from lsp.demo.script import Scene, Script, shipped_script
from lsp.link.engines import engine_of
from lsp.settings.settings import Settings


def test_marks_split_a_text_into_scenes() -> None:
    script = Script.parse("a = ⟦1 +⟧\nb = ⟦2⟧ # end\n")
    assert script.opening == "a = "
    assert script.scenes == (
        Scene(typed="1 +", until_next="\nb = "),
        Scene(typed="2", until_next=" # end\n"),
    )
    assert script.text == "a = \nb =  # end\n"


def test_the_shipped_script_is_python_around_the_gaps() -> None:
    script = shipped_script()
    assert len(script.scenes) >= 4
    gaps = [scene.typed for scene in script.scenes]
    assert all(gaps)
    ast.parse(script.opening + "None")  # what stands before the first gap is whole


def test_a_performance(home: Path) -> None:
    command = [sys.executable, "-I", "-m", "lsp.demo"]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    finally:
        asyncio.run(stop_engine())
    assert run.returncode == 0, run.stderr
    assert "completed by starter" in run.stdout
    n_scenes = len(shipped_script().scenes)
    assert f"── {n_scenes} of {n_scenes}" in run.stdout
    assert re.search(r"first token \d+ ms · \d+ tokens/s · KV reuse \d+%", run.stdout), run.stdout


def test_a_model_that_is_not_there_is_one_line_and_a_remedy(home: Path) -> None:
    command = [sys.executable, "-I", "-m", "lsp.demo", "--model", "no-such-model"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert run.returncode == 1
    assert "'no-such-model' is neither" in run.stderr
    assert "starcoder-lsp doctor" in run.stderr
    assert "Traceback" not in run.stderr


async def stop_engine() -> None:
    engine = engine_of(Settings())
    await engine.stop()
    await engine.aclose()
