"""The commands as a user types them, and the three ways in which `check` answers."""

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # its types are a package of their own
import pytest
import typer
from typer.testing import CliRunner, Result

from attribution.cli.check import check, index_app
from attribution.tokens.lexer import lex
from tests.attribution.samples import code

app = typer.Typer()
app.add_typer(index_app)
app.command("check")(check)
RUNNER = CliRunner()
SCHEMA = Path(__file__).with_name("sarif-schema-2.1.0.json")


def run(*arguments: str | Path, stdin: bytes = b"") -> Result:
    result = RUNNER.invoke(app, [str(one) for one in arguments], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("corpus")
    table = root / "corpus.jsonl"
    rows = [
        {
            "repository": f"o{n}/r",
            "path": f"src/f{n}.py",
            "license": licence,
            "text": code(n),
            "package": f"v{n}",
        }
        for n, licence in enumerate(["MIT", "GPL-3.0-only", "MIT OR GPL-2.0-only", None])
    ]
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = run("index", "build", table, "--into", root / "index", "--processes", "1")
    assert result.exit_code == 0
    assert "4 documents added" in result.output
    return root / "index"


def test_json_has_the_documented_shape(index: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import os\n" + code(1))
    (tmp_path / "other.py").write_text(code(500))
    files = [tmp_path / "mine.py", tmp_path / "other.py"]
    result = run("check", *files, "--index", index, "--format", "json")
    assert result.exit_code == 0
    first, second = json.loads(result.output)
    size = len(code(1).encode())
    assert first == {
        "file": str(files[0]),
        "searched": {"index": str(index), "documents": 4},
        "matches": [
            {
                "kind": "exact",
                "tokens": len(lex(code(1).encode())),
                "similarity": 1.0,
                "query": {
                    "start_line": 2,
                    "end_line": 31,
                    "start_byte": 10 + leading_spaces(code(1)),
                    "end_byte": 10 + size - 1,
                },
                "source": {
                    "repository": "o1/r",
                    "path": "src/f1.py",
                    "revision": "v1",
                    "license": "GPL-3.0-only",
                    "url": "https://github.com/o1/r",
                    "start_line": 1,
                    "end_line": 30,
                },
                "also_in": 0,
                "files": 1,
                "common": False,
                "boilerplate": None,
                "own": False,
                "cell": None,
                "holders": [
                    {
                        "repository": "o1/r",
                        "path": "src/f1.py",
                        "revision": "v1",
                        "license": "GPL-3.0-only",
                        "url": "https://github.com/o1/r",
                    }
                ],
                "verdict": {"outcome": "passed", "reason": ""},
                "fingerprint": first["matches"][0]["fingerprint"],
            }
        ],
    }
    assert second == {"file": str(files[1]), "searched": first["searched"], "matches": []}


def leading_spaces(text: str) -> int:
    return len(text) - len(text.lstrip())


def sarif(index: Path, *arguments: str, stdin: bytes) -> Any:
    return json.loads(
        run("check", "-", "--index", index, "--format", "sarif", *arguments, stdin=stdin).output
    )


def test_sarif_is_valid_against_its_schema(index: Path) -> None:
    schema = json.loads(SCHEMA.read_text())
    found = sarif(index, "--fail-on", "copyleft", stdin=(code(1) + code(0)).encode())
    jsonschema.validate(found, schema)
    levels = {one["properties"]["source"]["license"]: one["level"] for one in found["runs"][0]["results"]}
    assert levels == {"GPL-3.0-only": "error", "MIT": "note"}
    empty = sarif(index, stdin=b"nothing here")
    jsonschema.validate(empty, schema)
    assert empty["runs"][0]["results"] == []
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**found, "runs": [{}]}, schema)


def test_text_names_lines_repository_and_licence(index: Path) -> None:
    result = run("check", "-", "--index", index, stdin=code(3).encode())
    count = len(lex(code(3).encode()))
    assert result.output == (
        f"-:1-30: exact, {count} tokens\n    o3/r: src/f3.py:1-30   https://github.com/o3/r\n"
        "    licence: unknown\n"
    )
    assert "no match in 4 indexed documents" in run("check", "-", "--index", index, stdin=b"x").output


@pytest.mark.parametrize(
    ("number", "fail_on", "code_expected"),
    [
        (0, "any", 1),
        (0, "copyleft", 0),
        (1, "copyleft", 1),
        (2, "copyleft", 0),
        (3, "copyleft", 0),
        (1, "GPL-3.0-only OR AGPL-3.0-only", 1),
        (0, "GPL-3.0-only OR AGPL-3.0-only", 0),
        (600, "any", 0),
        (0, "MIT OR", 2),
    ],
)
def test_exit_codes(index: Path, number: int, fail_on: str, code_expected: int) -> None:
    result = run("check", "-", "--index", index, "--fail-on", fail_on, stdin=code(number).encode())
    assert result.exit_code == code_expected


def test_kinds_and_min_tokens(index: Path) -> None:
    query = " ".join(code(0).split()[:48]).encode()
    assert len(
        json.loads(run("check", "-", "--index", index, "--format", "json", stdin=query).output)[0]["matches"]
    )
    for options in (["--kind", "exact"], ["--min-tokens", "100"]):
        result = run("check", "-", "--index", index, "--format", "json", *options, stdin=query)
        assert json.loads(result.output)[0]["matches"] == []


def test_errors_are_messages_and_exit_code_2(index: Path, tmp_path: Path) -> None:
    missing = run("check", "-", "--index", tmp_path / "none", stdin=b"x")
    assert missing.exit_code == 2
    assert "starcoder-lsp index build" in missing.output
    assert run("check", tmp_path / "none.py", "--index", index).exit_code == 2
    assert run("check", "-", "--index", index, "--min-tokens", "2", stdin=b"x").exit_code == 2
    assert run("index", "build", tmp_path / "none", "--into", tmp_path / "i").exit_code == 2
    assert run("index", "add", tmp_path, "--into", tmp_path / "none").exit_code == 2
    assert run("index", "remove", "--into", index).exit_code == 2


def test_the_life_of_an_index(tmp_path: Path) -> None:
    source, index, opt_out = tmp_path / "project", tmp_path / "index", tmp_path / "opt-out.txt"
    source.mkdir()
    for n in range(6):
        (source / f"f{n}.py").write_text(code(n))
    assert "6 documents added" in run("index", "build", source, "--into", index, "--processes", "1").output
    assert "6 unchanged" in run("index", "add", source, "--into", index, "--processes", "1").output
    info = json.loads(run("index", "info", "--json", "--into", index).output)
    assert (info["documents"], info["repositories"]) == (6, 1)
    assert "documents" in run("index", "info", "--into", index).output
    assert "removed 1 " in run("index", "remove", "--path", "f3.py", "--into", index).output
    assert run("check", source / "f3.py", "--index", index, "--fail-on", "any").exit_code == 0
    opt_out.write_text("# who asked\nproject:f4.py  # this one\n")
    assert "removed 1 " in run("index", "remove", "--opt-out-list", opt_out, "--into", index).output
    assert run("index", "compact", "--into", index).exit_code == 0
    again = run("index", "build", source, "--into", index, "--processes", "1").output
    assert "4 unchanged, 2 opted out" in again
    assert "the index is sound" in run("index", "verify", "--into", index).output
    [segment] = (index / "segments").iterdir()
    segment.write_bytes(segment.read_bytes()[:-1] + b"!")
    damaged = run("index", "verify", "--into", index)
    assert damaged.exit_code == 1
    assert "has changed" in damaged.output


def test_a_build_with_an_opt_out_list(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("project\n")
    (tmp_path / "project").mkdir()
    (tmp_path / "project/a.py").write_text(code(1))
    result = run(
        "index", "build", tmp_path / "project", "--into", tmp_path / "i", "--opt-out-list", tmp_path / "list"
    )
    assert "0 documents added" in result.output
    assert "1 opted out" in result.output


def test_importing_the_commands_loads_nothing_heavy() -> None:
    program = (
        "import sys, attribution.cli.check;"
        "print(*sorted(set(sys.modules) & {'numpy', 'sqlite3', 'rapidfuzz'}))"
    )
    root = Path(__file__).resolve().parents[3]
    loaded = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
    )
    assert loaded.stdout.split() == []


def test_what_is_added_is_held_and_verify_proves_it(tmp_path: Path) -> None:
    for n, name in enumerate(["one/src", "two/src", "one/lib"]):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "main.py").write_text(code(n))
    sources = [tmp_path / name for name in ("one/src", "two/src", "one/lib")]
    index = tmp_path / "index"
    assert "3 documents added" in run("index", "build", *sources, "--into", index, "--processes", "1").output
    assert json.loads(run("index", "info", "--json", "--into", index).output)["documents"] == 3
    assert "the index is sound" in run("index", "verify", *sources, "--into", index).output
    (tmp_path / "two/src/new.py").write_text(code(9))
    lacking = run("index", "verify", *sources, "--into", index)
    assert (lacking.exit_code, lacking.output) == (1, "not held: src: new.py\n")


def test_opt_outs_are_listed_lifted_and_kept_from_an_old_index(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project/a.py").write_text(code(1))
    index = tmp_path / "index"
    run("index", "build", tmp_path / "project", "--into", index, "--processes", "1")
    removed = run(
        "index", "remove", "--owner", "@project", "--repository", "no/body", "--strict", "--into", index
    )
    assert removed.exit_code == 3
    assert "removed 1 documents\nno/body: removed nothing" in removed.output
    assert run("index", "opt-outs", "list", "--into", index).output == "no/body\nproject\n"
    assert run("index", "opt-outs", "lift", "no/body", "--into", index).exit_code == 0
    assert run("index", "opt-outs", "lift", "no/body", "--into", index).exit_code == 2
    connection = sqlite3.connect(index / "catalogue.sqlite")
    connection.execute("DELETE FROM meta WHERE name = 'documents'")
    connection.commit()
    connection.close()
    old = run("index", "info", "--into", index)
    assert old.exit_code == 2
    assert "documents 1 instead of 3" in old.output
    assert "index opt-outs list" in old.output
    assert run("index", "opt-outs", "list", "--into", index).output == "project\n"


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_a_full_disk_is_an_error_and_the_index_stays(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project/a.py").write_text(code(1))
    index = tmp_path / "index"
    run("index", "build", tmp_path / "project", "--into", index, "--processes", "1")
    (tmp_path / "project/b.py").write_text("".join(f"{code(n)}" for n in range(2, 300)))
    program = (
        "import resource, typer; from attribution.cli.index import index_app;"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16));"
        f"index_app(['build', {str(tmp_path / 'project')!r}, '--into', {str(index)!r}, '--processes', '1'])"
    )
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
    assert "error: " in done.stderr
    assert "the index is sound" in run("index", "verify", "--into", index).output
    assert json.loads(run("index", "info", "--json", "--into", index).output)["documents"] == 1
