"""Opt-outs as people write them, and the sources that they cover."""

from __future__ import annotations

from pathlib import Path

import pytest

from attribution.source import Source
from attribution.store.opt_outs import OptOut, read_opt_out_list


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("octo", OptOut(owner="octo")),
        ("@octo", OptOut(owner="octo")),
        ("https://github.com/octo", OptOut(owner="octo")),
        ("foo/bar", OptOut(repository="foo/bar")),
        ("foo/bar/", OptOut(repository="foo/bar")),
        ("foo/bar.git", OptOut(repository="foo/bar")),
        ("https://github.com/foo/bar", OptOut(repository="foo/bar")),
        ("https://user@github.com/foo/bar.git", OptOut(repository="foo/bar")),
        ("HTTPS://GitHub.com/foo/bar/tree/main/src", OptOut(repository="foo/bar")),
        ("git@github.com:foo/bar.git", OptOut(repository="foo/bar")),
        ("ssh://git@gitlab.example:22/group/sub/bar.git", OptOut(repository="group/sub/bar")),
        ("github.com/foo/bar", OptOut(repository="foo/bar")),
        ("\ufefffoo/bar", OptOut(repository="foo/bar")),
        ("foo/bar:src/*", OptOut(repository="foo/bar", path="src/*")),
        ("https://github.com/foo/bar:src/*", OptOut(repository="foo/bar", path="src/*")),
        (":*.pem", OptOut(path="*.pem")),
        ("npm:@scope/name", OptOut(repository="npm:@scope/name")),
        ("@scope/name", OptOut(repository="npm:@scope/name")),
        ("pypi:thing", OptOut(owner="pypi:thing")),
    ],
)
def test_a_line_of_an_opt_out_list(line: str, rule: OptOut) -> None:
    assert OptOut.from_line(line) == rule
    assert OptOut.from_line(rule.line) == rule


@pytest.mark.parametrize("line", ["FOO/Bar", "foo", "NPM:@foo/bar", "npm:@FOO/BAR:src/*"])
def test_a_rule_covers_by_owner_repository_or_package_in_any_case(line: str) -> None:
    source = Source(repository="Foo/bar", path="src/x.js", package="npm:@foo/bar")
    assert OptOut.from_line(line).covers(source)
    assert not OptOut.from_line(line).covers(Source(repository="foobar/x", path="src/x.js"))


def test_a_list_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes("\ufeffFoo/bar  # asked\n\n# nothing\n@octo\n".encode())
    assert read_opt_out_list(tmp_path / "list") == [OptOut(repository="Foo/bar"), OptOut(owner="octo")]
