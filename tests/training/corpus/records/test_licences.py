from __future__ import annotations

from pathlib import Path

import pytest

from attribution.sources.manifest import Ecosystem
from tests.training.corpus.corpus_packages import MIT_TEXT, make_npm, make_wheel
from training.corpus.errors import IntegrityError
from training.corpus.records.archives import read_members
from training.corpus.records.licences import (
    declared_licence,
    is_licence_file,
    licence_agrees,
    licence_note,
    licence_texts,
    notice_markdown,
)
from training.corpus.records.manifest import PERMISSIVE_LICENSES, starter_manifest
from training.corpus.records.reading import LicenceTexts


@pytest.mark.parametrize(
    ("declared", "pinned"),
    [
        ("MIT", "MIT"),
        ("MIT License", "MIT"),
        ("BSD License", "BSD-3-Clause"),
        ("BSD License", "BSD-2-Clause"),
        ("BSD-3-Clause", "BSD-3-Clause"),
        ("Apache License 2.0; Apache Software License", "Apache-2.0"),
        ("MIT OR Apache-2.0", "MIT OR Apache-2.0"),
        ("Apache-2.0 AND MIT", "Apache-2.0 AND MIT"),
        ("ISC", "ISC"),
    ],
)
def test_agreeing_licences(declared: str, pinned: str) -> None:
    assert licence_agrees(declared, pinned)


@pytest.mark.parametrize(
    ("declared", "pinned"),
    [
        ("GPL-3.0", "MIT"),
        ("", "MIT"),
        ("BSD-2-Clause", "BSD-3-Clause"),
        ("MIT", "MIT AND Apache-2.0"),
        ("SUMMIT", "MIT"),
    ],
)
def test_contradicting_licences(declared: str, pinned: str) -> None:
    assert not licence_agrees(declared, pinned)


def test_metadata_of_both_ecosystems() -> None:
    pasted = b"License: BSD\n  Copyright (c) Ada\nClassifier: License :: OSI Approved :: BSD License\n"
    assert declared_licence(Ecosystem.PYPI, pasted) == "BSD; BSD License"
    assert declared_licence(Ecosystem.PYPI, b"License-Expression: MIT\nLicense: other\n") == "MIT"
    assert declared_licence(Ecosystem.NPM, b'{"license": "ISC"}') == "ISC"
    assert declared_licence(Ecosystem.NPM, b'{"license": {"type": "MIT", "url": "x"}}') == "MIT"
    assert declared_licence(Ecosystem.NPM, b"{}") == ""


@pytest.mark.parametrize(
    "path", ["LICENSE", "x-1.0.dist-info/licenses/LICENSE.txt", "COPYING", "a/NOTICE.md", "LICENCE"]
)
def test_licence_files(path: str) -> None:
    assert is_licence_file(path)


@pytest.mark.parametrize("path", ["src/license.py", "LICENSES/tool.js", "licensed.md", "notices_view.txt"])
def test_other_files_are_no_licences(path: str) -> None:
    assert not is_licence_file(path)


def test_a_note_collects_the_texts_and_refuses_a_wrong_pin(tmp_path: Path) -> None:
    package = make_wheel(tmp_path, "alpha", {"alpha/__init__.py": "x = 1\n"})
    note = licence_note(package, read_members(tmp_path / package.file, max_member_bytes=10_000))
    assert note.texts == (("alpha-1.0.dist-info/LICENSE", MIT_TEXT),)
    liar = make_wheel(tmp_path, "beta", {}, license="MIT")
    truth = make_wheel(tmp_path, "gamma", {}, license="ISC")
    members = list(read_members(tmp_path / truth.file, max_member_bytes=10_000))
    with pytest.raises(IntegrityError, match=r"'ISC', the manifest says 'MIT'"):
        licence_note(liar, members)


def test_identical_texts_stand_once_and_missing_ones_are_said(tmp_path: Path) -> None:
    packages = [make_wheel(tmp_path, name, {}) for name in ("alpha", "beta")] + [
        make_npm(tmp_path, "gamma", {})
    ]
    texts = LicenceTexts()
    for package in packages:
        texts.add_note(licence_note(package, read_members(tmp_path / package.file, max_member_bytes=10_000)))
    text = licence_texts(texts.owners, texts.without)
    assert text.count("Permission is hereby granted") == 1
    assert "pypi:alpha==1.0 (LICENSE)\npypi:beta==1.0 (LICENSE)\n" in text
    assert "without a licence file (licence as stated in their metadata): npm:gamma==1.0.0" in text


def test_the_notice_lists_every_package_of_the_starter_without_addresses() -> None:
    manifest = starter_manifest()
    notice = notice_markdown(manifest.packages, title="Packages")
    rows = [
        line for line in notice.splitlines() if line.startswith("| ") and not line.startswith("| package")
    ]
    assert len(rows) == len(manifest.packages)
    assert "://" not in notice
    assert all(any(name in row for name in PERMISSIVE_LICENSES) for row in rows)
