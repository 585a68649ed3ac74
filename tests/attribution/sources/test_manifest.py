from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from attribution.errors import SourceError
from attribution.sources.manifest import Ecosystem, Manifest, Package, Split

ENTRY = {
    "ecosystem": "pypi",
    "name": "toolz",
    "version": "1.0",
    "file": "toolz-1.0-py3-none-any.whl",
    "sha256": "0" * 64,
    "license": "MIT",
    "repository": "ada/toolz",
}


def write(folder: Path, *entries: dict[str, str], head: str = 'version = 1\nname = "x"\n') -> Path:
    path = folder / "corpus.toml"
    body = "".join(
        "\n[[package]]\n" + "".join(f'{key} = "{value}"\n' for key, value in entry.items())
        for entry in entries
    )
    path.write_text(head + body)
    return path


def test_reads_an_entry_with_its_defaults(tmp_path: Path) -> None:
    manifest = Manifest.load(write(tmp_path, ENTRY))
    (package,) = manifest.packages
    assert package.identity == "pypi:toolz==1.0"
    assert package.split is Split.TRAIN
    assert package.selects("toolz/core.py")


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"sha256": "0" * 63}, "sha256"),
        ({"file": "../../etc/passwd"}, "plain file name"),
        ({"ecosystem": "cargo"}, "cargo"),
        ({"split": "test"}, "'test'"),
        ({"licence": "MIT"}, "'licence'"),
    ],
)
def test_a_bad_entry_is_named(tmp_path: Path, change: dict[str, str], names: str) -> None:
    with pytest.raises(SourceError, match=names.replace("(", r"\(")):
        Manifest.load(write(tmp_path, {**ENTRY, **change}))


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    entry = {key: value for key, value in ENTRY.items() if key != "license"}
    with pytest.raises(SourceError, match="license"):
        Manifest.load(write(tmp_path, entry))


def test_a_value_that_is_no_string_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, ENTRY)
    path.write_text(path.read_text().replace('"MIT"', "5"))
    with pytest.raises(SourceError, match="package 1: license = 5"):
        Manifest.load(path)


def test_missing_malformed_and_future_manifests(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot read this manifest: No such file"):
        Manifest.load(tmp_path / "absent.toml")
    (tmp_path / "bad.toml").write_text("version = ")
    with pytest.raises(SourceError, match="not valid TOML"):
        Manifest.load(tmp_path / "bad.toml")
    with pytest.raises(SourceError, match="version = 2"):
        Manifest.load(write(tmp_path, ENTRY, head='version = 2\nname = "x"\n'))
    (tmp_path / "empty.toml").write_text('version = 1\nname = "x"\n')
    with pytest.raises(SourceError, match="package"):
        Manifest.load(tmp_path / "empty.toml")


def test_one_file_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="listed twice"):
        Manifest.load(write(tmp_path, ENTRY, ENTRY))


def test_include_and_exclude_are_patterns_over_the_whole_path() -> None:
    entry: dict[str, Any] = {**ENTRY, "ecosystem": Ecosystem.PYPI}
    package = Package(**entry, include=("src/*", "README.md"), exclude=("*/tests/*",))
    assert package.selects("src/deep/down/a.py")
    assert package.selects("README.md")
    assert not package.selects("dist/a.py")
    assert not package.selects("src/tests/a.py")
