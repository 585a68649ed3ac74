"""Patterns one by one. `tests.lsp.settings.test_exclusions` compares whole trees with git."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.local.gitignore import Patterns, parse
from model.local.secret_files import SECRET_GLOBS


def names(line: str, path: str) -> bool:
    """Whether a pattern names a path; a slash at its end makes it a folder."""
    pattern = Patterns.of_lines([line], origin="x").verdict(path.rstrip("/"), is_folder=path.endswith("/"))
    return pattern is not None


@pytest.mark.parametrize(
    ("line", "named", "not_named"),
    [
        ("*.log", ["a.log", "b/a.log", ".log"], ["a.logs", "log"]),
        ("/a", ["a", "a/"], ["b/a"]),
        ("a/", ["a/", "b/a/"], ["a", "a/b"]),
        ("a/b", ["a/b", "a/b/"], ["c/a/b", "a/b/c"]),
        ("a/*", ["a/b", "a/b/"], ["a/b/c", "a/"]),
        ("a/**", ["a/b", "a/b/c"], ["a/", "a"]),
        ("**/a", ["a", "b/a", "b/c/a"], ["ab", "b/ca"]),
        ("a/**/b", ["a/b", "a/c/b", "a/c/d/b"], ["ab", "a/cb"]),
        ("a**b", ["ab", "axxb"], ["a/b"]),
        ("?", ["a", "b/c"], ["ab"]),
        ("[ab-d].[!x]", ["a.y", "c.z"], ["e.y", "a.x", "a./"]),
        ("[[:digit:]_]", ["7", "_"], ["a"]),
        ("[]]", ["]"], ["["]),
        ("[^]]", ["a"], ["]"]),
        ("\\#a", ["#a"], ["\\#a"]),
        ("\\!a", ["!a"], ["a"]),
        ("a\\*", ["a*"], ["ab"]),
        ("a  ", ["a"], ["a  "]),
        ("a\\ ", ["a "], ["a"]),
        ("a\r", ["a"], ["a\r"]),
    ],
)
def test_what_a_pattern_names(line: str, named: list[str], not_named: list[str]) -> None:
    assert [path for path in named if not names(line, path)] == []
    assert [path for path in not_named if names(line, path)] == []


@pytest.mark.parametrize("line", ["", "   ", "# comment", "!", "/", "[a", "a\\", "\r"])
def test_a_line_that_is_no_pattern_is_left_out(line: str) -> None:
    assert parse(line) is None


def test_the_last_pattern_counts() -> None:
    patterns = Patterns.of_text("\ufeff*.log\n!keep.log\n", origin=".gitignore")
    kept = patterns.verdict("a/keep.log", is_folder=False)
    assert kept is not None
    assert kept.negated
    other = patterns.verdict("a/b.log", is_folder=False)
    assert other is not None
    assert (other.negated, other.line) == (False, "*.log")


def test_case_matters_only_where_it_is_asked_to() -> None:
    assert Patterns.of_lines(["*.PEM"], origin="x", ignore_case=True).verdict("a.pem", is_folder=False)
    assert not Patterns.of_lines(["*.PEM"], origin="x").verdict("a.pem", is_folder=False)


def test_the_default_globs_are_patterns() -> None:
    assert len(Patterns.of_lines(SECRET_GLOBS, origin="x").patterns) == len(SECRET_GLOBS)


@given(st.text(alphabet="ab*?[]!^-\\/#. :d~&|", max_size=12), st.text(alphabet="ab/.-[]", max_size=8))
def test_no_line_is_too_strange(line: str, path: str) -> None:
    Patterns.of_lines([line], origin="x").verdict(path, is_folder=False)


STRANGE_LINES = r"""
[a-c
[!a]
[a-]
[-a]
[b-a]
[]a]
[\]]
a\
**
***
a/**b
**a/b
[[:alpha:]]
[[:bogus:]]
*/
/*
//a
a//b
./a
\a
[^a]b
!
!!a
\!a
/**
**/
a/**/
**/**/b
a b
"""


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed: nothing to compare with")
def test_git_reads_strange_lines_the_same(tmp_path: Path) -> None:
    paths = ["a", "b", "c", "-", "]", "ab", "aab", "a b", "bb", "A"]
    paths += [f"{folder}/{name}" for folder in ("d", "d/e") for name in ("a", "b", "]", "ab")]
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["git", "init", "-q", "."], cwd=tmp_path, env=environment, check=True)
    for path in paths:
        (tmp_path / path).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / path).touch()
    for line in STRANGE_LINES.strip().split("\n"):
        (tmp_path / ".gitignore").write_text(line + "\n", encoding="utf-8")
        result = subprocess.run(
            ["git", "check-ignore", "--no-index", "-z", "--stdin"],
            cwd=tmp_path,
            env=environment,
            input="\0".join(paths),
            capture_output=True,
            text=True,
            check=False,
        )
        patterns = Patterns.of_lines([line], origin="x")
        ours = [path for path in paths if ignored(patterns, path)]
        assert ours == result.stdout.split("\0")[:-1], line


def ignored(patterns: Patterns, path: str) -> bool:
    """Whether a path or a folder above it is named."""
    parts = path.split("/")
    for length in range(1, len(parts) + 1):
        verdict = patterns.verdict("/".join(parts[:length]), is_folder=length < len(parts))
        if verdict is not None and not verdict.negated:
            return True
    return False
