"""What an installation without extras can do: all of the engine on a CPU, and one line for what it cannot.

An environment is made that has the base dependencies of pyproject.toml and what these need, and nothing else:
links to the packages that the tests run with.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import tomllib
import venv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from lsp.cli.cli import ExitCode
from model.native.library import VARIANT_VARIABLE, native_variant
from model.start.backend import has_nvidia_driver
from tests.lsp.editor import editor, server_environment
from tests.lsp.test_real_engine import end_engine
from tests.model.tiny import write_tiny_model

ROOT = Path(__file__).resolve().parent.parent
ABSENT = ("torch", "transformers", "peft", "rapidfuzz", "pyarrow", "datasets", "zstandard", "elasticsearch")

needs_compiled_code = pytest.mark.skipif(native_variant() is None, reason="no compiled code was built here")


def distributions(requirements: Iterable[str]) -> dict[str, metadata.Distribution]:
    """What requirements bring, and what that needs in turn, by name."""
    found: dict[str, metadata.Distribution] = {}
    waiting = [(Requirement(each), "") for each in requirements]
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        key = str(requirement.name).lower().replace("_", "-")
        is_new = key not in found
        found.setdefault(key, metadata.distribution(requirement.name))
        for chosen in [*([""] if is_new else []), *requirement.extras]:
            waiting += [(Requirement(each), chosen) for each in found[key].requires or ()]
    return found


def top_level(distribution: metadata.Distribution) -> set[str]:
    """The files and folders of a distribution that lie right in site-packages, its metadata among them."""
    first = {
        file.parts[0] for file in distribution.files or () if len(file.parts) > 1 or file.suffix == ".py"
    }
    return first - {"..", "__pycache__"}


@dataclass(frozen=True, kw_only=True)
class Base:
    """The environment's Python, and a user of their own."""

    python: Path
    home: Path

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.python), "-I", *arguments],
            env={**server_environment(self.home), "COLUMNS": "200", **environ},
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def command(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """`starcoder-lsp ARGUMENTS`."""
        return self.run("-m", "lsp", *arguments, **environ)

    def device(self, **environ: str) -> dict[str, str]:
        """What `doctor` says about the device."""
        checks = json.loads(self.command("doctor", "--json", **environ).stdout)
        (device,) = (check for check in checks if check["name"] == "device")
        assert isinstance(device, dict)
        return device


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Base]:
    folder = tmp_path_factory.mktemp("b")
    venv.create(folder / "venv", symlinks=True)
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for distribution in distributions([*project["dependencies"], "pip"]).values():
        for name in top_level(distribution):
            if not (site / name).exists():
                (site / name).symlink_to(str(distribution.locate_file(name)))
    (site / "here.pth").write_text(f"{ROOT}\n", encoding="utf-8")
    (folder / "run").mkdir(mode=0o700)
    yield Base(python=folder / "venv" / "bin" / "python", home=folder)
    for socket in folder.glob("run/**/engine-*.sock"):
        asyncio.run(end_engine(socket))


@pytest.mark.parametrize("name", ABSENT)
def test_the_environment_lacks_what_extras_bring(base: Base, name: str) -> None:
    assert f"No module named '{name}'" in base.run("-c", f"import {name}").stderr


@needs_compiled_code
async def test_a_completion_in_the_editor(base: Base) -> None:
    options = {"completion": {"debounceMs": 0, "maxNewTokens": 16}}
    async with editor(options, home=base.home, command=[str(base.python), "-I", "-m", "lsp"]) as opened:
        await opened.heard.state("ready")
        at = opened.open("import os\n\nfor name in os.listdir('.'):\n    print(na║\n")
        assert any(text.strip() for text in await opened.texts(at))


@needs_compiled_code
def test_a_completion_in_the_terminal(base: Base) -> None:
    file = base.home / "app.py"
    file.write_text("import os\n\nfor name in os.listdir('.'):\n    print(na\n", encoding="utf-8")
    run = base.command("complete", f"{file}:4:13")
    assert (run.returncode, run.stdout.strip() != "") == (0, True), run.stderr


@pytest.fixture(scope="module")
def multi_head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of a shape that compiled code does not take."""
    return write_tiny_model(tmp_path_factory.mktemp("m") / "heads", multi_query=False)


ENGINE = ("engine", "--listen", "127.0.0.1:0")


@pytest.mark.parametrize(
    ("arguments", "environ", "what"),
    [
        (("--device", "cuda"), {}, "device = 'cuda' needs torch"),
        (("--quantize", "none"), {}, "quantize = 'none' needs torch"),
        (
            (),
            {VARIANT_VARIABLE: "off"},
            f"an engine without compiled code ({VARIANT_VARIABLE}=off) needs torch",
        ),
    ],
)
def test_what_only_pytorch_does_is_one_line_with_the_remedy(
    base: Base, arguments: tuple[str, ...], environ: dict[str, str], what: str
) -> None:
    run = base.command(*ENGINE, *arguments, **environ)
    expected = (
        f"starcoder-lsp: {what}, which is not installed: {base.python} -m pip install 'starcoder-lsp[gpu]'\n"
    )
    assert (run.returncode, run.stderr) == (ExitCode.EXTRA_MISSING, expected)


@needs_compiled_code
def test_a_model_that_compiled_code_does_not_take(base: Base, multi_head: Path) -> None:
    run = base.command(*ENGINE, "--model", str(multi_head))
    assert run.returncode == ExitCode.EXTRA_MISSING
    assert re.fullmatch(r"starcoder-lsp: a model that .* needs torch, .*\[gpu\]'\n", run.stderr)


@pytest.mark.parametrize("option", ["--device=tpu", "--device=cuda:1"])
def test_an_unknown_device_is_named_all_the_same(base: Base, option: str) -> None:
    run = base.command(*ENGINE, option)
    assert run.returncode == ExitCode.MODEL
    assert f"device = {option.removeprefix('--device=')!r}: expected auto, cpu or cuda" in run.stderr


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("lsp", ("train", "plan", "--recipe", "starter")),
        ("lsp", ("eval", "loss", "--model", "starter", "--held-out", ".")),
        ("training", ("train", "plan", "--recipe", "starter")),
    ],
)
def test_training_without_its_extra_is_one_line_with_the_remedy(
    base: Base, program: str, arguments: tuple[str, ...]
) -> None:
    run = base.run("-m", program, *arguments)
    assert run.returncode == ExitCode.EXTRA_MISSING, run.stderr
    assert re.fullmatch(
        rf".* needs \w+, which is not installed: {base.python} -m pip install 'starcoder-lsp\[training\]'\n",
        run.stderr,
    )


async def test_the_editor_is_told_too_and_no_engine_is_started_again(base: Base) -> None:
    options = {"engine": {"device": "cuda"}}
    async with editor(options, home=base.home, command=[str(base.python), "-I", "-m", "lsp"]) as opened:
        status = await opened.heard.state("error")
    assert "pip install 'starcoder-lsp[gpu]'" in status["message"]


@needs_compiled_code
@pytest.mark.skipif(native_variant() == "plain", reason="this CPU is one that PyTorch may be quicker on")
@pytest.mark.skipif(has_nvidia_driver(), reason="here is an NVIDIA driver")
def test_doctor_is_content_without_pytorch(base: Base) -> None:
    run = base.command("doctor")
    assert run.returncode == ExitCode.OK, run.stdout
    assert "✓  device" in run.stdout
    assert "gpu" not in run.stdout


@needs_compiled_code
def test_doctor_names_the_extra_where_there_is_a_gpu(base: Base, tmp_path: Path) -> None:
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    device = base.device(PATH=str(tmp_path))
    assert device["verdict"] == "note"
    assert "there is an NVIDIA GPU" in device["remedy"]
    assert "pip install 'starcoder-lsp[gpu]'" in device["remedy"]


@needs_compiled_code
def test_doctor_names_the_extra_where_only_the_slow_variant_runs(base: Base) -> None:
    device = base.device(**{VARIANT_VARIABLE: "plain"})
    assert device["verdict"] == "note"
    assert "pip install 'starcoder-lsp[gpu]'" in device["remedy"]


def test_doctor_names_the_extra_where_there_is_no_compiled_code(base: Base) -> None:
    device = base.device(**{VARIANT_VARIABLE: "off"})
    assert device["verdict"] == "problem"
    assert "needs torch" in device["finding"]
    assert "pip install 'starcoder-lsp[gpu]'" in device["remedy"]
