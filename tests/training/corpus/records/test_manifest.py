from __future__ import annotations

from pathlib import Path

import pytest

from attribution.sources.manifest import Ecosystem, Manifest, Split
from training.corpus.errors import ManifestError
from training.corpus.records.manifest import load_manifest, starter_manifest

MANIFEST = """
version = 1
name = "x"
table = "starcoder"

[[package]]
ecosystem = "pypi"
name = "toolz"
version = "1.0"
file = "toolz-1.0-py3-none-any.whl"
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
license = "MIT"
repository = "ada/toolz"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "corpus.toml"
    path.write_text(text)
    return path


def test_what_is_trained_on_is_read_as_it_is_indexed(tmp_path: Path) -> None:
    path = written(tmp_path, MANIFEST)
    assert load_manifest(path) == Manifest.load(path)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (('"MIT"', '"GPL-3.0-only"'), "GPL-3.0-only"),
        (('"MIT"', '"MIT AND MPL-2.0"'), "MIT AND MPL-2.0"),
        (('"MIT"', '""'), "licence ''"),
        (('"MIT"', '"()"'), r"licence '\(\)'"),
        (('"starcoder"', '"mine"'), "table 'mine' is unknown; it can be starcoder or starter"),
        (('"pypi"', '"cargo"'), "package 1: 'cargo'"),
    ],
)
def test_what_is_not_trained_on_is_named(tmp_path: Path, change: tuple[str, str], named: str) -> None:
    with pytest.raises(ManifestError, match=named):
        load_manifest(written(tmp_path, MANIFEST.replace(*change)))


def test_the_starter_manifest_holds_out_whole_packages_of_both_ecosystems() -> None:
    manifest = starter_manifest()
    held_out = {package.ecosystem for package in manifest.packages if package.split is Split.HELD_OUT}
    assert held_out == {Ecosystem.PYPI, Ecosystem.NPM}
    assert len(manifest.packages) >= 40
