from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import pytest

from tests.training.corpus_packages import cached, make_npm, make_wheel
from training.corpus.build import BuildOptions, build_corpus
from training.corpus.document import Document, Reason
from training.corpus.errors import CorpusError, IntegrityError
from training.corpus.manifest import Manifest, Package, Split
from training.corpus.shards import ShardWriter, read_documents

FUNCTION = "def {name}(width, height):\n    return width * height - {number}\n"


def code(name: str, number: int = 0) -> str:
    return FUNCTION.format(name=name, number=number)


@pytest.fixture
def corpus(tmp_path: Path) -> tuple[Manifest, Path]:
    """Three packages with one file for every fate, in a cache."""
    source = tmp_path / "source"
    trained = make_wheel(
        source,
        "alpha",
        {
            "alpha/area.py": code("area"),
            "alpha/copy.py": code("area"),
            "alpha/shared.py": code("shared_with_the_held_out_package"),
            "alpha/windows.py": code("carriage_returns").replace("\n", "\r\n"),
            "alpha/bom.py": b"\xef\xbb\xbf" + code("byte_order_mark").encode(),
            "alpha/latin.py": b"# caf\xe9\n" + code("latin").encode(),
            "alpha/nul.py": b"\0" + code("nul").encode(),
            "alpha/big.py": code("big") * 400,
            "alpha/_vendor/other.py": code("vendored"),
            "alpha/mail.py": "# ada@calc-engine.co.uk\n" + code("mail"),
            "alpha/eval.py": "# Write a function to find the largest of three numbers.\n" + code("largest"),
            "alpha/table.csv": "1,2\n",
            "alpha/tests/test_area.py": code("test_area"),
        },
        exclude=("*/tests/*",),
    )
    held_out = make_wheel(
        source, "beta", {"beta/s.py": code("shared_with_the_held_out_package")}, split=Split.HELD_OUT
    )
    script = make_npm(source, "gamma", {"src/f.js": "export function f(a) {\n  return a * 2 + 1;\n}\n"})
    return cached(tmp_path / "cache", trained, held_out, script, source=source), tmp_path / "cache"


@pytest.fixture
def problems(tmp_path: Path) -> Path:
    path = tmp_path / "problems.jsonl"
    record = {"text": "Write a function to find the largest of three numbers.", "code": "", "test_list": []}
    path.write_text(json.dumps(record) + "\n")
    return path


def tree(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


OPTIONS = BuildOptions(max_file_bytes=20_000)


def test_every_file_meets_its_fate(corpus: tuple[Manifest, Path], problems: Path, tmp_path: Path) -> None:
    manifest, cache = corpus
    report = build_corpus(manifest, cache, tmp_path / "out", decontaminate=[problems], options=OPTIONS)
    kept = {document.path: document for document in read_documents(tmp_path / "out" / "train")}
    assert set(kept) == {"alpha/area.py", "alpha/windows.py", "alpha/bom.py", "alpha/mail.py", "src/f.js"}
    assert kept["alpha/windows.py"].text == code("carriage_returns")
    assert kept["alpha/bom.py"].text == code("byte_order_mark")
    assert kept["alpha/mail.py"].text.startswith("# <EMAIL>\n")
    assert [document.path for document in read_documents(tmp_path / "out" / "held_out")] == ["beta/s.py"]
    expected = {
        Reason.DUPLICATE: 2,  # the copy, and the one that the held-out package also has
        Reason.NOT_UTF8: 1,
        Reason.BINARY: 1,
        Reason.TOO_LARGE: 1,
        Reason.VENDORED: 1,
        Reason.CONTAMINATED: 1,
    }
    assert {reason: report.dropped_files[reason] for reason in expected} == expected
    assert report.redacted == {"email": 1}
    assert list(report.contaminants) == ["write a function to find the largest of three numbers."]


def test_a_document_carries_its_provenance(corpus: tuple[Manifest, Path], tmp_path: Path) -> None:
    manifest, cache = corpus
    build_corpus(manifest, cache, tmp_path / "out", options=OPTIONS)
    with gzip.open(tmp_path / "out" / "train" / "javascript-00000.jsonl.gz", "rt") as lines:
        record = json.loads(lines.read())
    text = record.pop("text")
    assert record == {
        "repository": "ada/gamma",
        "path": "src/f.js",
        "language": "JavaScript",
        "license": "MIT",
        "package": "npm:gamma==1.0.0",
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
    }


def test_report_hashes_and_notice_lie_beside_the_shards(
    corpus: tuple[Manifest, Path], tmp_path: Path
) -> None:
    manifest, cache = corpus
    out = tmp_path / "out"
    report = build_corpus(manifest, cache, out, options=OPTIONS)
    written = json.loads((out / "report.json").read_text())
    assert written == json.loads(json.dumps(report.as_mapping()))
    assert written["read"]["files"] == sum(d["files"] for d in written["dropped"].values()) + sum(
        counts["files"] for split in written["kept"].values() for counts in split.values()
    )
    with gzip.open(out / "documents.jsonl.gz", "rt") as lines:
        listed = {entry["sha256"] for entry in map(json.loads, lines)}
    shards = [*read_documents(out / "train"), *read_documents(out / "held_out")]
    assert listed == {document.sha256 for document in shards}
    assert "| alpha | 1.0 | MIT | pypi | ada/alpha | train |" in (out / "NOTICE.md").read_text()
    assert "Permission is hereby granted" in (out / "LICENSES.txt").read_text()


def test_the_same_manifest_gives_the_same_bytes(corpus: tuple[Manifest, Path], tmp_path: Path) -> None:
    manifest, cache = corpus
    build_corpus(manifest, cache, tmp_path / "one", options=OPTIONS)
    build_corpus(manifest, cache, tmp_path / "two", options=OPTIONS)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_an_interrupted_build_leaves_the_old_corpus_and_no_scratch(
    corpus: tuple[Manifest, Path], tmp_path: Path
) -> None:
    manifest, cache = corpus
    parent = tmp_path / "data"
    build_corpus(manifest, cache, parent / "out", options=OPTIONS)
    before = tree(parent)

    def interrupt(package: Package, done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_corpus(manifest, cache, parent / "out", options=BuildOptions(), progress=interrupt)
    assert tree(parent) == before
    assert [path.name for path in parent.iterdir()] == ["out"]


def test_a_rebuild_replaces_an_earlier_corpus(corpus: tuple[Manifest, Path], tmp_path: Path) -> None:
    manifest, cache = corpus
    out = tmp_path / "data" / "out"
    build_corpus(manifest, cache, out, options=OPTIONS)
    only_gamma = Manifest(name="less", packages=manifest.packages[2:])
    build_corpus(only_gamma, cache, out, options=OPTIONS)
    assert [document.path for document in read_documents(out / "train")] == ["src/f.js"]
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_a_folder_of_something_else_is_never_replaced(corpus: tuple[Manifest, Path], tmp_path: Path) -> None:
    manifest, cache = corpus
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.md").write_text("years of work")
    with pytest.raises(CorpusError, match="holds no corpus"):
        build_corpus(manifest, cache, tmp_path / "thesis", options=OPTIONS)
    assert (tmp_path / "thesis" / "chapter.md").read_text() == "years of work"


def test_a_missing_or_changed_archive_is_named(corpus: tuple[Manifest, Path], tmp_path: Path) -> None:
    manifest, cache = corpus
    archive = cache / "npm" / "gamma-1.0.0.tgz"
    data = archive.read_bytes()
    archive.write_bytes(data[:-7])
    with pytest.raises(IntegrityError, match="npm:gamma"):
        build_corpus(manifest, cache, tmp_path / "out", options=OPTIONS)
    archive.unlink()
    with pytest.raises(CorpusError, match="fetch the manifest first"):
        build_corpus(manifest, cache, tmp_path / "out", options=OPTIONS)
    assert not (tmp_path / "out").exists()


def test_near_duplicates_are_dropped_unless_kept_on_purpose(tmp_path: Path) -> None:
    long = "\n".join(f"value_{i} = compute_{i}(alpha_{i}, beta_{i}, gamma_{i})" for i in range(80))
    files = {"a/one.py": long + "\n", "a/two.py": long.replace("value_7 ", "renamed_7 ") + "\n"}
    manifest = cached(tmp_path / "cache", make_wheel(tmp_path / "s", "alpha", files), source=tmp_path / "s")
    report = build_corpus(manifest, tmp_path / "cache", tmp_path / "out")
    assert report.dropped_files[Reason.NEAR_DUPLICATE] == 1
    kept = build_corpus(
        manifest, tmp_path / "cache", tmp_path / "all", options=BuildOptions(near_dedup=False)
    )
    assert kept.kept_files[Split.TRAIN, "Python"] == 2


def test_shards_roll_over_by_text_size(tmp_path: Path) -> None:
    documents = [
        Document(repository="a/b", path=f"{i}.cc", language="C++", license="MIT", package="p", text="x" * 100)
        for i in range(5)
    ]
    with ShardWriter(tmp_path, shard_text_bytes=200) as writer:
        for document in documents:
            writer.write(document)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"cpp-0000{i}.jsonl.gz" for i in range(3)]
    assert list(read_documents(tmp_path)) == documents
