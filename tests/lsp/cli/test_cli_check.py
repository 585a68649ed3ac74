"""`starcoder-lsp check` with no index named: the settings say where, a portrait what the model has seen."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]  # its types are a package of their own
import pytest

from attribution.match.portrait import build_portrait
from tests.lsp.cli.conftest import Command
from tests.lsp.indexed import NEW, ROOT, build_index, documents, text_of

PATH = "lsp/completion/type_through.py"
SCHEMA = ROOT / "tests/attribution/cli/sarif-schema-2.1.0.json"


@pytest.fixture
def model(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model in use, of which only the portrait is there."""
    folder = home / "trained"
    folder.mkdir()
    build_portrait(documents(), folder / "portrait.bin")
    monkeypatch.setenv("STARCODER_MODEL", str(folder))
    Path("copy.py").write_text("import os\n\n" + text_of(PATH), encoding="utf-8")
    Path("new.py").write_text(NEW, encoding="utf-8")
    return folder


def test_text_says_what_was_seen_and_what_was_searched(command: Command, model: Path) -> None:
    run = command("check", "copy.py", "new.py")
    assert run.code == 0
    lines = run.out.splitlines()
    assert lines[0].startswith("copy.py:3-")
    assert f"tokens in the training set of {model}" in lines[0]
    assert "does not know where" in lines[1]
    assert lines[-1].startswith(f"new.py: not seen in the training set of {model}")
    assert "there is no attribution index at" in run.err
    assert "starcoder-lsp index build SOURCES…" in run.err
    assert f"searched: the portrait of what {model} was trained on" in run.err


def test_json_has_the_same_shape_as_with_an_index(command: Command, model: Path) -> None:
    copy, new = json.loads(command("check", "copy.py", "new.py", "--format", "json").out)
    assert copy["searched"] == {"index": None, "documents": 0, "portrait": str(model / "portrait.bin")}
    (match,) = copy["matches"]
    assert match["kind"] == "seen"
    assert set(match["source"].values()) == {None}
    assert match["source"].keys() == {
        "repository",
        "path",
        "revision",
        "license",
        "url",
        "start_line",
        "end_line",
    }
    assert match["query"]["start_line"] == 3
    data = Path("copy.py").read_bytes()
    assert match["query"]["end_byte"] <= len(data)
    assert match["also_in"] == 0
    assert new["matches"] == []
    tokens = match["tokens"]
    (short,) = json.loads(
        command("check", "copy.py", "--min-tokens", str(tokens + 1), "--format", "json").out
    )
    assert short["matches"] == []


def test_sarif_is_valid_and_exit_codes_are_kept(command: Command, model: Path) -> None:
    assert command("check", "new.py", "--fail-on", "any").code == 0
    run = command("check", "copy.py", "--fail-on", "any", "--format", "sarif")
    assert run.code == 1
    log = json.loads(run.out)
    jsonschema.validate(log, json.loads(SCHEMA.read_text()))
    (result,) = log["runs"][0]["results"]
    assert (result["ruleId"], result["level"]) == ("attribution/seen", "error")


@pytest.mark.parametrize("option", [["--fail-on", "copyleft"], ["--fail-on", "MIT"], ["--kind", "exact"]])
def test_what_a_portrait_cannot_answer_is_an_error_and_not_a_pass(
    command: Command, model: Path, option: list[str]
) -> None:
    run = command("check", "copy.py", *option)
    assert run.code == 2
    assert "cannot be answered by the portrait" in run.err
    assert "starcoder-lsp index build" in run.err


def test_an_index_that_was_named_must_be_there(command: Command, model: Path, home: Path) -> None:
    run = command("check", "copy.py", "--index", str(home / "none"))
    assert run.code == 2
    assert "starcoder-lsp index build" in run.err


def test_the_index_of_the_settings_is_used(command: Command, model: Path, home: Path) -> None:
    index = build_index(home / "index")
    folder = home / "config" / "starcoder-lsp"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(f'[attribution]\nindex = "{index}"\n')
    (checked,) = json.loads(command("check", "copy.py", "--format", "json").out)
    assert checked["searched"]["index"] == str(index)
    assert checked["matches"][0]["source"]["license"] == "MIT"


@pytest.mark.skipif(
    not (ROOT / "model/starter/portrait.bin").exists(),
    reason="this checkout has no portrait in model/starter",
)
def test_the_bundled_model_names_the_command_for_its_training_set(command: Command, home: Path) -> None:
    Path("new.py").write_text(NEW, encoding="utf-8")
    run = command("check", "new.py")
    assert run.out.startswith("new.py: not seen in the training set of starter (22,")
    assert "starcoder-lsp index build --starter" in run.err


def test_a_model_without_a_portrait_is_an_error(
    command: Command, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STARCODER_MODEL", "bigcode/starcoderbase-1b")
    Path("new.py").write_text(NEW, encoding="utf-8")
    run = command("check", "new.py")
    assert run.code == 2
    assert "starcoder-lsp index build" in run.err
