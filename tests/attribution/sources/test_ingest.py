import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from attribution.errors import SourceError
from attribution.source import SourceDocument
from attribution.sources import trees
from attribution.sources.ingest import Sources
from attribution.sources.tables import read_dataset

ROOT = Path(__file__).resolve().parents[3]
MIT = (
    "Permission is hereby granted, free of charge, to any person obtaining a copy … shall be included in all"
)
GPL_HEADER = "// SPDX-License-Identifier: GPL-2.0-only\n"
STACK_ROW = {
    "content": "print('ö')\n",
    "max_stars_repo_name": "owner/name",
    "max_stars_repo_path": "a/b.py",
    "max_stars_repo_licenses": ["MIT", "ISC"],
    "max_stars_repo_head_hexsha": "abc",
    "ext": "py",
    "lang": "Python",
}


def read(*names: Path | str, packages: Path | None = None) -> tuple[dict[str, SourceDocument], Counter[str]]:
    skipped: Counter[str] = Counter()
    sources = Sources(names=[str(name) for name in names], packages=packages)
    return {one.source.path: one for one in sources.documents(skipped)}, skipped


def write(root: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def git_folder(root: Path, url: str, *, packed: bool = False) -> None:
    config = (
        f'[core]\n\tbare = false\n[remote "up"]\n\turl = x\n[remote "origin"]\n\turl = {url}\n\tfetch = +a\n'
    )
    write(root, {".git/config": config, ".git/HEAD": "ref: refs/heads/main\n"})
    if packed:
        write(root, {".git/packed-refs": "# pack-refs\n" + "b" * 40 + " refs/heads/main\n"})
    else:
        write(root, {".git/refs/heads/main": "a" * 40 + "\n"})


def test_a_folder_under_git(tmp_path: Path) -> None:
    git_folder(tmp_path, "git@github.com:Owner/Name.git")
    write(tmp_path, {"LICENSE": MIT, "src/a.py": "a", "src/gpl.c": GPL_HEADER})
    found, _ = read(tmp_path)
    assert set(found) == {"LICENSE", "src/a.py", "src/gpl.c"}
    source = found["src/a.py"].source
    assert (source.repository, source.revision, source.license) == ("Owner/Name", "a" * 40, "MIT")
    assert source.url == f"https://github.com/Owner/Name/blob/{'a' * 40}/src/a.py"
    assert found["src/gpl.c"].source.license == "GPL-2.0-only"


def test_a_folder_inside_a_working_tree_and_a_single_file(tmp_path: Path) -> None:
    git_folder(tmp_path, "https://user:secret@gitlab.com/group/sub/name.git", packed=True)
    write(tmp_path, {"COPYING": MIT, "src/deep/a.py": "a"})
    for name, path in ((tmp_path / "src", "deep/a.py"), (tmp_path / "src/deep/a.py", "a.py")):
        found, _ = read(name)
        source = found[path].source
        assert (source.repository, source.license) == ("group/sub/name", "MIT")
        assert source.revision == "b" * 40
        assert source.url is not None
        assert "secret" not in source.url


def test_nested_packages_speak_for_themselves(tmp_path: Path) -> None:
    git_folder(tmp_path, "https://github.com/me/mine")
    package = {
        "name": "left-pad",
        "version": "1.3.0",
        "license": "WTFPL OR MIT",
        "repository": "o/left-pad",
    }
    write(
        tmp_path,
        {
            "pyproject.toml": '[project]\nname = "mine"\nlicense = "Apache-2.0"\n',
            "a.py": "a",
            "node_modules/left-pad/package.json": json.dumps(package),
            "node_modules/left-pad/index.js": "b",
        },
    )
    found, _ = read(tmp_path)
    assert found["a.py"].source.license == "Apache-2.0"
    theirs = found["node_modules/left-pad/index.js"].source
    assert (theirs.repository, theirs.license, theirs.revision) == (
        "o/left-pad",
        "WTFPL OR MIT",
        "1.3.0",
    )
    assert theirs.url == "https://github.com/o/left-pad"


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    write(
        tmp_path / "x",
        {
            "a.py": "a",
            "big.js": "x" * (5 << 20),
            "image.png": b"\x89PNG\0\0",
            "jquery.min.js": "y",
            ".hidden/secret": "no",
            "__pycache__/a.pyc": "no",
        },
    )
    (tmp_path / "x/link.py").symlink_to(tmp_path / "x/a.py")
    found, skipped = read(tmp_path / "x")
    assert set(found) == {"a.py"}
    assert found["a.py"].source.repository == "x"
    assert skipped == {
        "larger than 4 MiB": 1,
        "binary": 1,
        "minified, or a lock file": 1,
        "not a regular file": 1,
    }


def test_a_wheel(tmp_path: Path) -> None:
    metadata = (
        "Metadata-Version: 2.1\nName: Thing\nVersion: 1.2\nLicense: BSD 3-Clause\n"
        "Project-URL: Docs, https://thing.example\nProject-URL: Source, https://github.com/o/thing/tree/main\n"
    )
    with zipfile.ZipFile(tmp_path / "thing-1.2-py3-none-any.whl", "w") as bundle:
        bundle.writestr("thing/__init__.py", "x = 1\r\n")
        bundle.writestr("thing-1.2.dist-info/METADATA", metadata)
    found, _ = read(tmp_path / "thing-1.2-py3-none-any.whl")
    source = found["thing/__init__.py"].source
    assert (source.repository, source.revision, source.license) == ("o/thing", "1.2", "BSD-3-Clause")
    assert source.url == "https://github.com/o/thing"
    assert found["thing/__init__.py"].text == b"x = 1\r\n"


def test_packages_installed_beside_each_other_speak_for_themselves(tmp_path: Path) -> None:
    def metadata(name: str, licence: str) -> str:
        return f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nLicense-Expression: {licence}\n"

    root = write(
        tmp_path / "site-packages",
        {
            "alpha/__init__.py": "a = 1",
            "alpha-1.0.dist-info/METADATA": metadata("alpha", "MIT"),
            "alpha-1.0.dist-info/RECORD": "alpha/__init__.py,sha256=x,5\n../../bin/alpha,,\nalpha.py,,\n",
            "alpha.py": "a = 2",
            "beta/__init__.py": "b = 1",
            "beta-1.0.egg-info/PKG-INFO": metadata("beta", "LGPL-2.1-only"),
            "beta-1.0.egg-info/top_level.txt": "beta\n_beta\n",
            "_beta.py": "b = 2",
            "gamma/__init__.py": "c = 1",
        },
    )
    found, _ = read(root)
    told = {path: (each.source.repository, each.source.license) for path, each in found.items()}
    assert told["alpha/__init__.py"] == told["alpha.py"] == ("pypi:alpha", "MIT")
    assert told["beta/__init__.py"] == told["_beta.py"] == ("pypi:beta", "LGPL-2.1-only")
    assert told["gamma/__init__.py"] == ("site-packages", None)


def tar(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as bundle:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            bundle.addfile(info, io.BytesIO(data))
    return path


def test_an_npm_archive_without_its_top_folder(tmp_path: Path) -> None:
    package = json.dumps({"name": "@a/b", "version": "2.0.0", "license": "MIT"}).encode()
    found, _ = read(tar(tmp_path / "b.tgz", {"package/package.json": package, "package/lib/i.js": b"x"}))
    source = found["lib/i.js"].source
    assert (source.repository, source.license, source.url) == ("npm:@a/b", "MIT", None)


def test_paths_that_lead_out_of_an_archive_are_refused(tmp_path: Path) -> None:
    files = {"../../etc/x": b"1", "/abs": b"2", "ok.py": b"3", "a/../../b": b"4"}
    found, skipped = read(tar(tmp_path / "evil.tar.gz", files))
    assert set(found) == {"ok.py"}
    assert skipped == {"its path leads out of the archive": 3}
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as bundle:
        for name, data in {**files, "c:\\x": b"5"}.items():
            bundle.writestr(name, data)
    found, skipped = read(tmp_path / "evil.zip")
    assert set(found) == {"ok.py"}
    assert skipped == {"its path leads out of the archive": 4}


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "MAX_ARCHIVE_BYTES", 1 << 20)
    with pytest.raises(SourceError, match="unpacks to more"):
        read(tar(tmp_path / "bomb.tgz", {"zeros": bytes(2 << 20)}))
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("zeros", bytes(2 << 20))
    with pytest.raises(SourceError, match="unpacks to more"):
        read(tmp_path / "bomb.zip")


def test_a_broken_archive_is_an_error(tmp_path: Path) -> None:
    for name in ("x.zip", "x.tgz"):
        with pytest.raises(SourceError, match="cannot read this archive"):
            read(write(tmp_path, {name: b"not an archive"}) / name)


def test_damage_inside_of_a_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    text = json.dumps({**STACK_ROW, "content": "".join(f"line {n * n}\n" for n in range(999))}).encode()
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("a.py", text)
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(text))
    (tmp_path / "x.jsonl.zst").write_bytes(zstandard.ZstdCompressor(write_checksum=True).compress(text))
    tar(tmp_path / "x.tgz", {"a.py": text})
    for name in ("x.zip", "x.jsonl.gz", "x.jsonl.zst", "x.tgz"):
        whole = (tmp_path / name).read_bytes()
        assert len(read(tmp_path / name)[0]) == 1
        # tarfile does not look at gzip's checksum: there, only what breaks the format shows.
        for place in () if name == "x.tgz" else (len(whole) // 3, len(whole) // 2):
            (tmp_path / name).write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
            with pytest.raises(SourceError, match=name):
                read(tmp_path / name)
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(SourceError, match=name):
            read(tmp_path / name)


def test_a_zstandard_file_of_several_frames_is_read_to_its_end(tmp_path: Path) -> None:
    frames = [json.dumps({**STACK_ROW, "max_stars_repo_path": f"{n}.py"}).encode() + b"\n" for n in range(3)]
    (tmp_path / "x.jsonl.zst").write_bytes(b"".join(map(zstandard.compress, frames)))
    assert set(read(tmp_path / "x.jsonl.zst")[0]) == {"0.py", "1.py", "2.py"}


def compressed(suffix: str, data: bytes) -> bytes:
    ways: dict[str, Callable[[bytes], bytes]] = {
        ".gz": gzip.compress,
        ".zst": zstandard.compress,
        ".jsonl": bytes,
    }
    return ways[suffix](data)


@pytest.mark.parametrize("suffix", [".jsonl", ".gz", ".zst"])
def test_the_stack_as_jsonl(tmp_path: Path, suffix: str) -> None:
    name = "x.jsonl" if suffix == ".jsonl" else f"x.jsonl{suffix}"
    lines = json.dumps(STACK_ROW) + "\n\n" + json.dumps({**STACK_ROW, "max_stars_repo_path": "c.py"}) + "\n"
    found, _ = read(write(tmp_path, {name: compressed(suffix, lines.encode())}) / name)
    assert set(found) == {"a/b.py", "c.py"}
    source = found["a/b.py"].source
    assert (source.repository, source.license, source.revision) == ("owner/name", "MIT AND ISC", "abc")
    assert source.url == "https://github.com/owner/name/blob/abc/a/b.py"
    assert found["a/b.py"].text == "print('ö')\n".encode()


def test_the_stack_as_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.Table.from_pylist([STACK_ROW, {**STACK_ROW, "max_stars_repo_path": "c.py"}])
    parquet.write_table(table, tmp_path / "x.parquet")
    found, _ = read(tmp_path / "x.parquet")
    assert set(found) == {"a/b.py", "c.py"}
    assert found["c.py"].source.license == "MIT AND ISC"


def test_our_own_corpus_in_a_folder_of_shards(tmp_path: Path) -> None:
    row = {
        "repository": "o/n",
        "path": "p.py",
        "language": "Python",
        "license": "MIT",
        "package": "pypi:n==1",
    }
    line = json.dumps({**row, "text": "x", "sha256": "…"}).encode()
    write(tmp_path, {"python-00000.jsonl.gz": gzip.compress(line), "report.json": "{}"})
    found, _ = read(tmp_path)
    assert found["p.py"].source.revision == "pypi:n==1"
    assert set(found) == {"p.py"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"path": "x"}', "no column for the text"),
        ('{"content": "x", "lang": "C"}', "no column for the path .*it has content, lang"),
        ("{broken", "line 1: cannot read"),
        ("[1]", "line 1: cannot read"),
    ],
)
def test_tables_that_cannot_be_read(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        read(write(tmp_path, {"x.jsonl": line}) / "x.jsonl")


def test_a_manifest_reads_the_selected_files_of_verified_archives(tmp_path: Path) -> None:
    archive = tar(tmp_path / "b.tgz", {"package/lib/i.js": b"x", "package/test/t.js": b"y"})
    (tmp_path / "npm").mkdir()
    archive = archive.rename(tmp_path / "npm/b.tgz")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    entry = (
        'version = 1\nname = "m"\n[[package]]\necosystem = "npm"\nname = "b"\nversion = "1"\nfile = "b.tgz"\n'
        f'sha256 = "{digest}"\nlicense = "MIT"\nrepository = "o/b"\ninclude = ["lib/*"]\n'
    )
    manifest = write(tmp_path, {"m.toml": entry}) / "m.toml"
    found, _ = read(manifest, packages=tmp_path)
    assert set(found) == {"lib/i.js"}
    source = found["lib/i.js"].source
    assert (source.repository, source.revision, source.license) == ("o/b", "npm:b==1", "MIT")
    with pytest.raises(SourceError, match="--packages"):
        read(manifest)
    archive.write_bytes(b"altered")
    with pytest.raises(SourceError, match="not the file"):
        read(manifest, packages=tmp_path)
    archive.unlink()
    with pytest.raises(SourceError, match=r"training\.corpus fetch"):
        read(manifest, packages=tmp_path)


def test_a_source_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file or folder"):
        read(tmp_path / "none")
    for name in (str(tmp_path / "none"), "none", "a/b/c"):
        with pytest.raises(SourceError, match="no such file or folder"):
            Sources(names=[name]).check()
    Sources(names=["OWNER/NAME", "hf:o/n", "hf:o/n/data/python@main", "o/n@v1.0", str(tmp_path)]).check()


def test_how_much_there_is_to_read(tmp_path: Path) -> None:
    write(tmp_path, {"a.py": "12345", "b/c.py": "678"})
    assert Sources(names=[str(tmp_path)]).total_bytes() == 8
    assert Sources(names=[str(tmp_path), "owner/dataset"]).total_bytes() is None
    write(tmp_path, {"b/x.jsonl.gz": "12345"})
    assert Sources(names=[str(tmp_path)]).total_bytes() == 8 + 4 * 5


@pytest.mark.filterwarnings("ignore")  # of the library's own imports
def test_a_dataset_is_streamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dataset in a folder is what the library reads without a network; a hub id takes the same way."""
    pytest.importorskip("datasets")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    rows = [STACK_ROW, {**STACK_ROW, "max_stars_repo_path": "c.py"}]
    write(tmp_path / "set", {"train.jsonl": "".join(json.dumps(row) + "\n" for row in rows)})
    found = list(read_dataset(str(tmp_path / "set")))
    assert [one.source.path for one in found] == ["a/b.py", "c.py"]
    write(tmp_path / "set", {"data/c/train.jsonl": json.dumps({**STACK_ROW, "max_stars_repo_path": "d.c"})})
    of_folder = list(read_dataset(str(tmp_path / "set"), folder="data/c"))
    assert [one.source.path for one in of_folder] == ["d.c"]
    with pytest.raises(SourceError, match="cannot stream"):
        list(read_dataset(str(tmp_path / "set"), split="none"))


@pytest.mark.filterwarnings("ignore")  # of the library's own imports
def test_a_dataset_that_cannot_be_reached_is_a_clear_error(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    command = [sys.executable, "-m", "lsp", "index", "build", "owner/name", "--into", str(tmp_path / "index")]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert "error: owner/name: cannot stream this dataset" in done.stderr
    assert "is there a network?" in done.stderr
