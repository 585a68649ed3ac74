"""Every case of the gate that docs/attribution.md promises, run as its command stands there."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # its types are a package of their own
import pytest
from typer.testing import Result

from tests.attribution.cli.gate_project import GIT, build_project_index, write_project
from tests.attribution.cli.test_cli import SCHEMA, run
from tests.attribution.samples import code

ROOT = Path(__file__).resolve().parents[3]
_ROW = re.compile(
    r"^\| (?P<what>[^|]+) \| `starcoder-lsp (?P<command>[^`|]+)` \| (?P<code>\d) \| (?P<says>[^|]*) \|$"
)


def rows() -> list[Any]:
    table = (ROOT / "docs/attribution.md").read_text(encoding="utf-8")
    part = table.partition("<!-- gate -->")[2].partition("<!-- /gate -->")[0]
    found = [match for line in part.splitlines() if (match := _ROW.match(line))]
    assert len(found) == part.count("| `starcoder-lsp ")
    return [pytest.param(*match.group("command", "code", "says"), id=match["what"]) for match in found]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    url = tmp_path_factory.mktemp("gate") / "index"
    build_project_index(url)
    return url


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    write_project(folder)
    return folder


@pytest.fixture(autouse=True)
def inside(project: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setenv("STARCODER_ATTRIBUTION_INDEX", str(index))


def check(*arguments: str | Path) -> Result:
    return run("check", *arguments)


@pytest.mark.parametrize(("command", "expected", "says"), rows())
def test_a_case_of_the_gate(command: str, expected: str, says: str) -> None:
    result = run(*shlex.split(command))
    assert (result.exit_code, says.strip() in result.output) == (int(expected), True), result.output


def test_all_holders_are_listed_the_strictest_first() -> None:
    [answer] = json.loads(check("both.py", "--format", "json").stdout)
    [match] = answer["matches"]
    assert [one["license"] for one in match["holders"]] == ["GPL-3.0-only", "MIT"]
    assert (
        "GPL-3.0-only (1 file, owner1/r: both.py); MIT (1 file, owner0/r: both.py)" in check("both.py").output
    )
    [answer] = json.loads(check("near.py", "--format", "json").stdout)
    assert answer["matches"][0]["holders"][0]["license"] == "GPL-3.0-only"


def test_every_match_is_judged_and_given() -> None:
    [answer] = json.loads(check("many.py", "--format", "json", "--fail-on", "copyleft").stdout)
    outcomes = [match["verdict"]["outcome"] for match in answer["matches"]]
    assert (len(outcomes), outcomes.count("denied")) == (21, 1)


def test_a_folder_is_checked_but_for_what_git_ignores() -> None:
    answers = json.loads(check("src", "--format", "json").stdout)
    assert [answer["file"] for answer in answers] == ["src/mit.py"]
    assert "1 left out: ignored by git" in check("src").output


def test_only_added_lines_count() -> None:
    answers = {one["file"]: one for one in json.loads(check("--diff", "HEAD", "--format", "json").stdout)}
    assert answers.keys() == {"changed.py", "new.py"}
    [match] = answers["changed.py"]["matches"]
    assert match["source"]["license"] == "MIT"


def test_processes_give_the_same_answers() -> None:
    names = ["gpl.py", "none.py", "odd.py", "mit.py", "own.py", "book.ipynb"]
    one, two = (check(*names, "--format", "json", "--jobs", jobs) for jobs in ("1", "2"))
    assert (one.stdout, one.exit_code) == (two.stdout, two.exit_code)


def test_places_are_those_of_the_file() -> None:
    [answer] = json.loads(check("utf16.py", "--format", "json").stdout)
    [match] = answer["matches"]
    query, data = match["query"], Path("utf16.py").read_bytes()
    found = data[query["start_byte"] : query["end_byte"]].decode("utf-16-le")
    assert (found, query["end_line"]) == (code(101).strip(), 30)
    [answer] = json.loads(check("book.ipynb", "--format", "json").stdout)
    assert [match["cell"] for match in answer["matches"]] == [2]


def sarif(*arguments: str) -> Any:
    log = json.loads(check(*arguments, "--format", "sarif").stdout)
    jsonschema.validate(log, json.loads(SCHEMA.read_text()))
    return log["runs"][0]


@pytest.mark.skipif(sys.platform == "win32", reason="names that Windows does not have")
def test_sarif_names_each_file_once_and_by_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    odd = os.fsdecode(b"sp ace\xff.py")
    for name in ("c:d.py", odd, "100%.py"):
        Path(name).write_text(code(101))
    subprocess.run([*GIT, "init", "-q"], check=True)
    found = sarif("c:d.py", "./c:d.py", str(tmp_path / "c:d.py"), odd, "100%.py", "none.py")
    uris = [artifact["location"] for artifact in found["artifacts"]]
    assert uris == [
        {"uri": uri, "uriBaseId": "%SRCROOT%"} for uri in ("c%3Ad.py", "sp%20ace%FF.py", "100%25.py")
    ]
    assert found["originalUriBaseIds"]["%SRCROOT%"]["uri"] == f"{tmp_path.as_uri()}/"
    [invocation] = found["invocations"]
    assert not invocation["executionSuccessful"]
    assert "no such file" in invocation["toolExecutionNotifications"][0]["message"]["text"]
    assert odd in check(odd).stdout_bytes.decode("utf-8", "surrogateescape")


def test_fingerprints_stay_when_code_moves(tmp_path: Path) -> None:
    file = tmp_path / "moved.py"
    seen = []
    for before in ("", "import os\n\n", f"{code(100)}\n"):
        file.write_text(before + code(101))
        results = sarif(str(file), "--fail-on", "copyleft")["results"]
        seen += [one["partialFingerprints"]["copy/v2"] for one in results if one["level"] == "error"]
    assert len(seen) == 3
    assert len(set(seen)) == 1
    file.write_text(code(101) * 2)
    twice = sarif(str(file))["results"]
    assert len({one["partialFingerprints"]["copy/v2"] for one in twice}) == len(twice)


def test_an_error_that_nobody_expected_is_no_match(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr("attribution.match.checking.check_inputs", broken)
    result = check("own.py")
    assert result.exit_code == 2
    assert "ZeroDivisionError: a defect" in result.output


def test_a_repository_s_own_filters_run_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tmp_path / "project"
    project.mkdir()
    write_project(project)
    (project / ".gitattributes").write_text("*.py filter=planted\n")
    subprocess.run(
        [*GIT, "config", "filter.planted.clean", f"touch {tmp_path}/ran; cat"], cwd=project, check=True
    )
    monkeypatch.chdir(project)
    assert '"changed.py"' in check("--diff", "HEAD", "--format", "json").stdout
    assert not (tmp_path / "ran").exists()
