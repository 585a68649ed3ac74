"""Accepted text parses where the editor has closed something: the benchmark, on a few files of this project.

The grammars come with tree-sitter-language-pack; without it there is nothing to judge by.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

pytest.importorskip("tree_sitter_language_pack")

from benchmarks.closing.__main__ import judge, main, scripted
from benchmarks.closing.answers import cases_of
from benchmarks.closing.holes import holes

ROOT = Path(__file__).resolve().parents[2]


def test_accepted_text_parses_as_the_file_does() -> None:
    folders = [ROOT / "lsp/context", ROOT / "extension/src/server", ROOT / "model/native"]
    verdicts = scripted(folders, n_cases=90, seed=4)
    assert len(verdicts) == 90
    broken = [f"{one.case.answer_kind}: {one.accepted}" for one in verdicts if not one.is_good]
    assert broken == []
    # Else nothing but empty suggestions would do.
    assert sum(one.is_exact for one in verdicts) >= 75


def test_a_hole_is_the_file_as_it_was_typed(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("import os\n" * 12 + 'print(f"{os.sep}", 1)\n', encoding="utf-8")
    kinds = {hole.kind: hole for hole in holes([path], per_kind=3, rng=random.Random(3))}
    assert set(kinds) == {"call", "string", "interpolation"}
    hole = kinds["interpolation"]
    assert hole.original == path.read_text(encoding="utf-8")
    assert hole.tail == '}")'
    assert {case.answer_kind for case in cases_of(hole)} >= {"typed: right", "typed: closed tail"}
    verdicts = [judge(case) for case in cases_of(hole)]
    assert all(one.is_good for one in verdicts if one is not None)


def test_the_command_says_how_many_parse(capsys: pytest.CaptureFixture[str]) -> None:
    main([str(ROOT / "lsp/completion"), "--cases", "12", "--json"])
    assert '"cases": 12' in capsys.readouterr().out
