from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from training.corpus.records.languages import LanguageRule, TableName, language_table

DATA = Path(__file__).resolve().parents[5] / "shared" / "data"
INSPECTION = DATA / "bigcode-dataset" / "visual_inspection.csv"
LINGUIST = DATA / "linguist" / "languages.yml"
needs_inspection = pytest.mark.skipif(not INSPECTION.is_file(), reason=f"no inspection table at {INSPECTION}")
needs_linguist = pytest.mark.skipif(not LINGUIST.is_file(), reason=f"no linguist at {LINGUIST}")

TABLE = language_table(TableName.STARCODER)
# The inspection's names, lower-cased and with dashes, of languages that linguist calls differently.
OTHER_NAMES = {
    "mathematica": "Wolfram Language",
    "visual-basic": "Visual Basic .NET",
    "c-sharp": "C#",
    "f-sharp": "F#",
}
PROLOG = ":- module(family, [parent/2]).\nparent(X, Y) :- father(X, Y).\n"


def language_of(path: str, head: str = "", table: TableName = TableName.STARCODER) -> str | None:
    rule = language_table(table).rule_for(path, head)
    return None if rule is None or not rule.included else rule.language


@pytest.mark.parametrize(
    ("path", "language"),
    [
        ("a/b.py", "Python"),
        ("a/B.PY", "Python"),
        ("x.tsx", "TypeScript"),
        ("x.d.ts", "TypeScript"),
        ("x.c++", "C++"),
        ("x.cs", "C#"),
        ("x.nb", "Wolfram Language"),
        ("Makefile", "Makefile"),
        ("sub/GNUmakefile", "Makefile"),
        ("docker/Dockerfile", "Dockerfile"),
        ("docker/Dockerfile.1", "Dockerfile"),
        ("CMakeLists.txt", "CMake"),
        ("Rakefile", "Ruby"),
        (".bashrc", "Shell"),
    ],
)
def test_extension_or_name_decides(path: str, language: str) -> None:
    assert language_of(path) == language


@pytest.mark.parametrize(
    "path", ["a.so", "LICENSE", "a.csv", "notes.txt", "page.1", "py", "x.toml", "x.mjs", "x.yy"]
)
def test_what_is_no_language_of_the_table_has_none(path: str) -> None:
    assert language_of(path) is None


@pytest.mark.parametrize(
    ("path", "language"),
    [("x.mjs", "JavaScript"), ("x.pyx", "Cython"), ("x.toml", "TOML"), ("x.pyi", "Python")],
)
def test_the_starter_table_has_more(path: str, language: str) -> None:
    assert language_of(path, table=TableName.STARTER) == language


@pytest.mark.parametrize(
    ("head", "language"),
    [
        ("#!/usr/bin/env python3.11\nimport sys\n", "Python"),
        ("#!/bin/sh -e\n", "Shell"),
        ("#! /usr/bin/perl -w\n", "Perl"),
        ("#!/usr/bin/env -S node --no-warnings\n", "JavaScript"),
        ("#!/usr/bin/env LC_ALL=C awk -f\n", "Awk"),
        ("// -*- mode: C++; tab-width: 4 -*-\n", "C++"),
        (";; -*- Emacs-Lisp -*-\n", "Emacs Lisp"),
        ("# setup\n# vim: set ts=4 ft=ruby :\n", "Ruby"),
        ("The README of a project\n", None),
        ("#!/usr/bin/env brainfuck\n", None),
    ],
)
@pytest.mark.parametrize("path", ["bin/tool", "bin/tool.in", "web/form.cgi"])
def test_an_unknown_file_is_known_by_its_head(path: str, head: str, language: str | None) -> None:
    assert language_of(path, head) == language


def test_a_known_extension_counts_more_than_the_head() -> None:
    assert language_of("a.rb", "#!/usr/bin/env python3\n") == "Ruby"


@pytest.mark.parametrize(
    ("path", "head", "language"),
    [
        ("a.fs", "#version 330\nuniform vec4 color;\n", None),
        ("a.fs", "module Shop\nlet price = 3\n", "F#"),
        ("a.for", ": square dup * ;\n", None),
        ("a.pl", PROLOG, "Prolog"),
        ("a.pl", "use strict;\nmy $x = 1; # a :- b\n", "Perl"),
        ("machine.md", ";; GCC machine description\n(define_insn)\n", None),
        ("readme.md", "# A heading\n", "Markdown"),
    ],
)
def test_an_extension_of_two_languages_is_told_by_the_text(
    path: str, head: str, language: str | None
) -> None:
    assert language_of(path, head) == language


def test_86_languages_and_two_data_formats() -> None:
    assert len(set(TABLE.languages()) - {"JSON", "YAML"}) == 86
    assert {"JSON", "YAML"} <= set(TABLE.languages())


@needs_inspection
def test_every_row_of_the_inspection_is_honoured() -> None:
    wrong: list[tuple[object, ...]] = []
    for row, rule in inspected():
        limits = (
            rule.longest_line_max_chars,
            rule.mean_line_max_chars,
            rule.alphanumeric_min_share,
            rule.alphabetic_min_share,
        )
        longest = number(row["Long_line_threshold"])
        expected = (
            longest,
            100 if longest else None,
            number(row["Alphanum_threshold"]),
            number(row["Alpha filter"]),
        )
        is_included = row["Include"] == "1"
        if is_included != rule.included or (is_included and limits != expected):
            wrong.append((row["language"], row["extension"], limits, expected))
        if is_included and rule.xml_dropped != (row["XML filter"] == "1"):
            wrong.append((row["language"], row["extension"], "XML", row["XML filter"]))
    assert wrong == []


def inspected() -> Iterator[tuple[dict[str, str], LanguageRule]]:
    """Rows of the inspection with our rule for the same extension; every row is met once."""
    with INSPECTION.open(newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["language"]]
    assert len(rows) == 303
    for row in rows:
        extension = row["extension"]
        if (row["language"], extension) in {("makefile", "cmake"), ("makefile", "txt")} or row[
            "language"
        ] == "dockerfile":
            continue  # by name only: see test_extension_or_name_decides
        rule = TABLE.by_extension[extension] if extension else TABLE.by_language["Makefile"]
        name = OTHER_NAMES.get(row["language"], row["language"].replace("-", " "))
        assert rule.language.lower() == name.lower(), (row["language"], extension, rule.language)
        yield row, rule


def number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


@needs_linguist
def test_languages_have_linguists_names() -> None:
    text = LINGUIST.read_text(encoding="utf-8")
    unknown = [
        name
        for name in language_table(TableName.STARTER).languages()
        if not re.search(rf'^"?{re.escape(name)}"?:$', text, re.MULTILINE)
    ]
    assert unknown == ["Maple"]  # linguist has no such language, The Stack has
