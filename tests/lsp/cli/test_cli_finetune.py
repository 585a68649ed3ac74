"""Fine-tuning as a user does it: a folder of code, then completions by the new model and their sources."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from lsp.link.engines import engine_of
from lsp.settings.settings import Settings
from tests.lsp.cli.conftest import Command
from tests.training.own_repository import base_model, repository

SMALL = ('stages=[{"seq_len": 64, "micro_batch": 8}]', "compute.bf16=false", 'compute.device="cpu"')


@pytest.fixture
def engine_of_made(home: Path) -> Iterator[None]:
    """Ends the engine of the model that the test makes."""
    yield

    async def stop() -> None:
        engine = engine_of(Settings(model=str(home / "work" / "made")))
        await engine.stop()
        await engine.aclose()

    asyncio.run(stop())


@pytest.mark.slow
@pytest.mark.usefixtures("engine_of_made")
def test_one_command_and_the_new_model_completes_and_its_code_is_known(command: Command) -> None:
    base_model(Path("base"), n_positions=512)
    repository(Path("project"))
    changes = [part for one in SMALL for part in ("--set", one)]
    made = command(
        "train", "finetune", "--on", "project", "--to", "made", "--model", "base", "--epochs", "0.3", *changes
    )
    assert made.code == 0, made.err
    assert "starcoder-lsp complete FILE:LINE:COL --model ./made" in made.out

    shown = json.loads(
        command("complete", "project/src/part_0/file_2.py:3:5", "--model", "made", "--json").out
    )
    assert shown["finish_reason"] in ("stop", "length")
    assert shown["timings"]["completion_tokens"] >= 1

    copied = Path("project/src/part_0/file_2.py").read_text()
    Path("mine.py").write_text("import os\n\n" + copied)
    checked = command("check", "mine.py", "--format", "json")
    (report,) = json.loads(checked.out)
    assert report["searched"]["documents"] >= 40
    assert report["matches"][0]["source"]["repository"] == "project"
    assert report["matches"][0]["source"]["path"] == "src/part_0/file_2.py"
