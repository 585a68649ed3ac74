"""What tells documents apart: packages named by archives, folders of one name, rows of no repository."""

from __future__ import annotations

import io
import json
import os
import sys
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import pytest
import zstandard

from attribution.source import Source
from attribution.sources.ingest import Sources
from tests.attribution.sources.test_ingest import read, write


def tar_of(files: dict[str, bytes], mode: str = "w:gz") -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=mode) as bundle:  # type: ignore[call-overload] # modes are literals
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            bundle.addfile(info, io.BytesIO(text))
        link = tarfile.TarInfo("link.py")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        bundle.addfile(link)
    return data.getvalue()


def zip_of(files: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as bundle:
        for name, text in files.items():
            bundle.writestr(name, text)
        link = zipfile.ZipInfo("link.py")
        link.external_attr = 0o120777 << 16
        bundle.writestr(link, "/etc/passwd")
    return data.getvalue()


CODE = b"print(1)\n"


GEM = tar_of({"data.tar.gz": tar_of({"lib/a.rb": CODE, "b.rb": CODE})}, "w")


@pytest.mark.parametrize(
    ("name", "data", "path", "named"),
    [
        ("thing-1.2.0.gem", GEM, "lib/a.rb", "gem:thing"),
        ("thing-1.2.0.crate", tar_of({"thing-1.2.0/src/a.rs": CODE}), "src/a.rs", "cargo:thing"),
        ("Thing.Core.1.2.0.nupkg", zip_of({"a.cs": CODE}), "a.cs", "nuget:Thing.Core"),
        ("thing-1.2.0-py3.11.egg", zip_of({"a.py": CODE}), "a.py", "pypi:thing"),
        ("thing-1.2.0-sources.jar", zip_of({"A.java": CODE}), "A.java", "maven:thing"),
        ("thing-1.2.0.aar", zip_of({"A.kt": CODE}), "A.kt", "maven:thing"),
    ],
)
def test_an_archive_names_its_package(tmp_path: Path, name: str, data: bytes, path: str, named: str) -> None:
    (tmp_path / name).write_bytes(data)
    found, skipped = read(tmp_path / name)
    source = found[path].source
    assert (source.repository, source.package, source.revision) == (named, named, "1.2.0")
    assert skipped["not a regular file"] == 1


def test_a_go_module_and_a_tar_of_zstandard(tmp_path: Path) -> None:
    module = "github.com/foo/bar/v2"
    files = {f"{module}@v2.10.2/{name}": CODE for name in ("a.go", "sub/b.go")}
    (tmp_path / "v2.10.2.zip").write_bytes(zip_of(files))
    found, _ = read(tmp_path / "v2.10.2.zip")
    assert set(found) == {"a.go", "sub/b.go"}
    source = found["a.go"].source
    assert (source.repository, source.package, source.revision) == ("foo/bar", f"go:{module}", "v2.10.2")
    packed = zstandard.ZstdCompressor().compress(tar_of({"thing/a.py": CODE, "b.py": CODE}, "w"))
    (tmp_path / "thing.tar.zst").write_bytes(packed)
    found, skipped = read(tmp_path / "thing.tar.zst")
    assert (set(found), skipped["not a regular file"]) == ({"thing/a.py", "b.py"}, 1)


def test_folders_of_one_name_and_rows_without_a_repository_have_an_origin(tmp_path: Path) -> None:
    write(tmp_path, {"one/src/a.py": CODE, "two/src/a.py": CODE})
    (tmp_path / "rows.jsonl").write_text(
        "".join(json.dumps({"path": "a.py", "text": str(n)}) + "\n" for n in (1, 2))
    )
    origins = set()
    for name in ("one/src", "two/src"):
        [document] = read(tmp_path / name)[0].values()
        assert document.source.repository == "src"
        origins.add(document.source.origin)
    assert len(origins) == 2
    found = list(Sources(names=[str(tmp_path / "rows.jsonl")]).documents(Counter()))
    assert len({row.source.provenance for row in found}) == 2


def test_encodings_and_notebooks(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "code", "source": ["x = 1\n", "y = 2"]},
        {"cell_type": "markdown", "source": "# T"},
    ]
    write(
        tmp_path,
        {
            "utf16.py": "größe = 1\n".encode("utf-16"),
            "latin.py": "# coding: latin-1\ngröße = 1\n".encode("latin-1"),
            "odd.py": b"# coding: no-such\n\xff\n",
            "book.ipynb": json.dumps({"cells": cells}),
        },
    )
    found, skipped = read(tmp_path)
    assert found["utf16.py"].text == "größe = 1\n".encode()
    assert found["latin.py"].text.endswith("größe = 1\n".encode())
    assert found["book.ipynb#cell1"].text == b"x = 1\ny = 2"
    assert found["book.ipynb#cell2"].text == b"# T"
    assert skipped == {"in an encoding that cannot be read": 1}


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names that this system does not have")
def test_a_name_that_is_not_utf8_is_written_out(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"a\xff.py")).write_bytes(CODE)
    [document] = read(tmp_path)[0].values()
    assert document.source.path == "a\\xff.py"


def test_the_package_is_part_of_what_identifies_a_document() -> None:
    one = Source(repository="o/mono", path="index.js", package="npm:a", revision="1")
    assert one.provenance == ("o/mono", "npm:a", "1", "")
