"""The command line, in process: what it prints and what it exits with."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lsp.cli import cli
from lsp.cli.checks import Verdict
from lsp.cli.doctor import check_engine
from lsp.link.engines import engine_of
from lsp.settings.settings import Settings
from tests.lsp.cli.conftest import Command
from tests.model.foreign_server import ForeignServer
from tests.model.tiny import write_tiny_model


def test_the_version_is_the_packages(command: Command) -> None:
    from model.version import package_version

    assert command("--version").out == f"starcoder-lsp {package_version()}\n"


def test_help_names_every_command(command: Command) -> None:
    run = command("--help")
    assert run.code == 0
    for name in ("serve", "engine", "complete", "ask", "doctor", "config", "train", "eval"):
        assert f" {name} " in run.out


def test_help_does_not_load_what_only_commands_need() -> None:
    program = (
        "import sys; from lsp.cli import cli; sys.argv = ['starcoder-lsp', '--help']\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'transformers', 'httpx', 'pygls', 'training'} & set(sys.modules)\n"
        "sys.exit(' '.join(heavy) or None)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)


def test_config_shows_values_and_where_they_come_from(command: Command, home: Path) -> None:
    Path(".starcoder.toml").write_text("[completion]\nalternatives = 3\n", encoding="utf-8")
    shown = json.loads(command("config", "--json").out)
    assert shown["settings"]["completion"]["alternatives"] == 3
    assert shown["origins"]["completion.alternatives"] == str(home / "work" / ".starcoder.toml")
    assert shown["origins"]["model"] == "default"

    table = command("config").out
    assert any("completion.alternatives" in line and " 3 " in line for line in table.splitlines())


def test_config_reports_what_it_does_not_understand(command: Command) -> None:
    Path(".starcoder.toml").write_text("[completion]\nalternatives = 'many'\n", encoding="utf-8")
    run = command("config")
    assert run.code == 0
    assert "completion.alternatives = 'many': expected a whole number" in run.err


def test_doctor_names_the_problem_and_the_remedy(command: Command) -> None:
    run = command("doctor", "--json", "--model", "nobody/has-this")
    checks = {check["name"]: check for check in json.loads(run.out)}
    assert run.code == cli.ExitCode.PROBLEM
    assert checks["model"]["verdict"] == "problem"
    assert "not on this machine" in checks["model"]["remedy"]
    assert checks["installation"]["verdict"] == "good"
    assert checks["engine"]["finding"].startswith("not running")


def test_doctor_describes_the_model_in_use(command: Command, home: Path) -> None:
    folder = write_tiny_model(home / "tiny")
    (folder / "README.md").write_text("---\nlicense: bigcode-openrail-m\n---\n", encoding="utf-8")
    run = command("doctor", "--json", "--model", str(folder))
    checks = {check["name"]: check for check in json.loads(run.out)}
    assert run.code == 0
    assert "context of 1,024 tokens" in checks["model"]["finding"]
    assert checks["licence"]["verdict"] == "note"
    assert "bigcode-openrail-m" in checks["licence"]["finding"]
    assert checks["device"]["verdict"] == "good"

    table = command("doctor", "--model", str(folder)).out
    assert "✓  installation" in table
    assert "•  licence" in table


def test_doctor_shows_settings_that_are_not_understood(command: Command, home: Path) -> None:
    Path(".starcoder.toml").write_text("[engine]\nurl = 'http://elsewhere.example'\n", encoding="utf-8")
    run = command("doctor", "--json", "--model", str(write_tiny_model(home / "tiny")))
    (found,) = [check for check in json.loads(run.out) if check["name"] == "settings"]
    assert run.code == cli.ExitCode.PROBLEM
    assert "engine.url" in found["finding"]


def test_doctor_says_when_a_server_does_not_answer(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STARCODER_ENGINE_URL", "http://127.0.0.1:9")  # discard: nobody listens
    run = command("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(run.out)}
    assert run.code == cli.ExitCode.PROBLEM
    assert checks["engine"]["verdict"] == "problem"
    assert "127.0.0.1:9" in checks["engine"]["finding"]


async def test_doctor_does_not_tick_a_server_that_completes_nothing() -> None:
    for refusing, said in (
        (ForeignServer(missing=True), "answered 404"),
        (ForeignServer(refuse=lambda body: "too dear"), "too dear"),
    ):
        async with refusing.running() as server:
            settings, _ = Settings.from_mapping({"engine": {"url": server.url}}, source="test")
            check = await check_engine(settings)
        assert check.verdict is Verdict.PROBLEM
        assert said in check.remedy
    async with ForeignServer().running() as server:
        settings, _ = Settings.from_mapping({"engine": {"url": server.url}}, source="test")
        assert (await check_engine(settings)).verdict is Verdict.GOOD


def test_a_machine_without_a_runtime_folder_is_no_reason_to_complain(
    command: Command, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")  # warnings are errors here
    run = command("doctor", "--model", str(write_tiny_model(home / "tiny")))
    assert (run.code, run.err) == (0, "")


@pytest.mark.parametrize(
    ("position", "complaint"),
    [
        ("app.py", "is not FILE:LINE:COL"),
        ("app.py:1:1:1:x", "is not FILE:LINE:COL"),
        ("absent.py:1:1", "cannot be read"),
        ("app.py:9:1", "has the lines 1 to 3"),
        ("app.py:1:99", "has the columns 1 to 7"),
        ("app.py:0:1", "has the lines 1 to 3"),
    ],
)
def test_complete_says_what_is_wrong_with_a_position(command: Command, position: str, complaint: str) -> None:
    Path("app.py").write_text("x = 1;\ny = 2\n", encoding="utf-8")
    run = command("complete", position)
    assert run.code == cli.ExitCode.USAGE
    assert complaint in " ".join(run.err.replace("│", " ").split())


@pytest.fixture
def starter_engine(home: Path) -> Iterator[None]:
    """Ends the engine that the test starts."""

    async def stop() -> None:
        engine = engine_of(Settings())
        await engine.stop()
        await engine.aclose()

    yield
    asyncio.run(stop())


@pytest.mark.usefixtures("starter_engine")
def test_complete_streams_what_the_model_says(command: Command) -> None:
    Path("app.py").write_text("import os\n\n\ndef files(folder):\n    return os.\n", encoding="utf-8")
    shown = json.loads(command("complete", "app.py:5:15", "--json").out)
    assert shown["finish_reason"] in ("stop", "length")
    assert shown["timings"]["completion_tokens"] >= 1
    assert shown["first_token_ms"] <= shown["total_ms"]

    again = command("complete", "app.py:5:15")
    assert again.code == 0
    assert again.out.rstrip("\n") == shown["text"].rstrip("\n")
    assert "KV reuse" in again.err


def test_serve_takes_one_transport(command: Command) -> None:
    run = command("serve", "--tcp", "127.0.0.1:0", "--ws", "127.0.0.1:0")
    assert run.code == cli.ExitCode.USAGE
    assert "choose one" in run.err


def test_an_unknown_model_ends_the_engine_with_a_remedy(command: Command) -> None:
    run = command("engine", "--model", "no-such-model", "--listen", "127.0.0.1:0")
    assert run.code == cli.ExitCode.MODEL
    assert "'no-such-model' is neither" in run.err
    assert "Traceback" not in run.err


def test_an_engine_for_the_network_needs_a_token(command: Command) -> None:
    run = command("engine", "--listen", "0.0.0.0:0")
    assert run.code == cli.ExitCode.MODEL
    assert "without a token" in run.err


def test_training_commands_pass_their_arguments_on(command: Command) -> None:
    run = command("train", "pretrain", "--help")
    assert run.code == 0
    assert "--recipe" in run.out
