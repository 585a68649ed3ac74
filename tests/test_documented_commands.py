"""The commands in README and docs: each block is run here, or says above it why it is not.

What is not run is still read: its programs, subcommands, options and targets of make exist.
"""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer.main

from lsp.cli import cli
from tests.model.serving import PATIENCE_S
from training.cli.cli import eval_app, train_app

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"^(?:<!-- (?P<mark>[^\n]*) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
_COMMAND = re.compile(r"(\$ )?(starcoder-lsp|make|python3?|~/\S+|torchrun|curl|pip|lm_eval|code|hf|uv) ")
_TARGET = re.compile(r"^([\w-]+):", re.M)
# Programs of others: what they take is not known here.
_FOREIGN = ("curl", "pip", "lm_eval", "code", "hf", "python3", "uv", "export")


@dataclass(frozen=True)
class Block:
    where: str
    mark: str
    text: str

    @property
    def commands(self) -> list[list[str]]:
        """Its commands' words: lines that go on are joined, what a command answers is left out."""
        lines = self.text.replace("\\\n", " ").splitlines()
        if lines[0].startswith("$ "):
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        words = [shlex.split(part, comments=True) for line in lines for part in line.split(" && ")]
        return [each for each in words if each]


def blocks() -> Iterator[Block]:
    for page in PAGES:
        source = page.read_text(encoding="utf-8")
        for found in _BLOCK.finditer(source):
            if found["language"] == "sh" or (not found["language"] and _COMMAND.match(found["text"])):
                line = source.count("\n", 0, found.start("text"))
                yield Block(f"{page.relative_to(ROOT)}:{line}", found["mark"] or "", found["text"])


BLOCKS = list(blocks())
RUN = [block for block in BLOCKS if block.mark == "run"]
READ = [block for block in BLOCKS if block.mark != "run"]


def test_every_block_is_run_or_says_why_not() -> None:
    assert len(BLOCKS) > 10
    unmarked = [each.where for each in READ if not re.fullmatch(r"not run: \S.*", each.mark)]
    assert not unmarked, "put <!-- run --> or <!-- not run: WHY --> above it"


def understood(words: Sequence[str]) -> str | None:
    """What of a command of ours is no subcommand or option of it; None if all is."""
    forwarded = {"train": train_app, "eval": eval_app}
    app = forwarded.get(words[0], cli.app)
    words = words[1:] if words[0] in forwarded else words
    command: Any = typer.main.get_command(app)
    while (inner := getattr(command, "commands", None)) is not None:
        name, *words = words
        if name not in inner:
            return name
        command = inner[name]
    known = {spelling for each in command.params for spelling in (*each.opts, *each.secondary_opts)}
    given = [word.partition("=")[0] for word in words if word.startswith("-")]
    return next((word for word in given if word not in known), None)


@pytest.mark.parametrize("block", READ, ids=[block.where for block in READ])
def test_what_is_not_run_is_understood(block: Block) -> None:
    targets = set(_TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8")))
    for program, *words in block.commands:
        name = program.rpartition("/")[2]
        if name == "make":
            assert {word for word in words if "=" not in word} <= targets
        elif name == "starcoder-lsp":
            assert understood(words) is None
        elif "-m" in words and (module := words[words.index("-m") + 1]) in ("training", "lsp"):
            rest = words[words.index("-m") + 2 :]
            if rest:
                assert understood(rest) is None
            assert (ROOT / module / "__main__.py").is_file()
        else:
            assert name in _FOREIGN


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        ("engine --lisen x", "--lisen"),
        ("train pretrian --run x", "pretrian"),
        ("train corpus a --into=b --no-such c", "--no-such"),
        ("endgine", "endgine"),
        ("train plan --recipe x", None),
    ],
)
def test_a_misspelt_command_is_found(command: str, wrong: str | None) -> None:
    assert understood(command.split()) == wrong


@pytest.fixture
def place(tmp_path: Path) -> tuple[dict[str, str], int]:
    """An environment with `starcoder-lsp`, and a port where an engine of the bundled model answers."""
    program = tmp_path / "starcoder-lsp"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -I -m lsp "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    environment = {**os.environ, "HOME": str(tmp_path), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    return environment, port


def test_what_is_run(place: tuple[dict[str, str], int]) -> None:
    environment, port = place
    engines: list[subprocess.Popen[str]] = []
    asked = 0
    try:
        for block in RUN:
            for words in block.commands:
                words = [word.replace("127.0.0.1:8080", f"127.0.0.1:{port}") for word in words]
                if words[:2] == ["starcoder-lsp", "engine"]:
                    engine = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True)
                    engines.append(engine)
                    assert engine.stdout is not None
                    assert engine.stdout.readline().startswith("ready: ")
                    continue
                run = subprocess.run(
                    words, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=True
                )
                assert '"choices"' in run.stdout, f"{block.where}: {run.stdout}"
                asked += 1
    finally:
        for engine in engines:
            engine.terminate()
            engine.communicate(timeout=PATIENCE_S)
    assert (len(engines), asked) == (1, 2)
