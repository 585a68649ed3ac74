from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from attribution.sources.manifest import Manifest, Split
from tests.training.corpus.corpus_packages import cached, make_npm, make_wheel, written
from training.corpus.build import build_corpus, work_folder
from training.corpus.errors import CorpusError, IntegrityError
from training.corpus.filters.options import BuildOptions
from training.corpus.index import text_of
from training.corpus.records.document import CorpusDocument, Reason
from training.corpus.records.languages import TableName
from training.corpus.records.report import CorpusReport
from training.corpus.records.shards import ShardWriter, read_documents
from training.corpus.stages.executors import Execution
from training.corpus.stages.workspace import Stage

FUNCTION = "def {name}(width, height):\n    return width * height - {number}\n"
OPTIONS = BuildOptions(table=TableName.STARTER, max_file_bytes=20_000)
PROBLEM_TEXT = "Write a function to find the largest of three numbers."


def code(name: str, number: int = 0) -> str:
    return FUNCTION.format(name=name, number=number)


@pytest.fixture
def corpus(tmp_path: Path) -> Manifest:
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
            "alpha/eval.py": f"# {PROBLEM_TEXT}\n" + code("largest"),
            "alpha/table.csv": "1,2\n",
            "alpha/tests/test_area.py": code("test_area"),
        },
        exclude=("*/tests/*",),
    )
    held_out = make_wheel(
        source, "beta", {"beta/s.py": code("shared_with_the_held_out_package")}, split=Split.HELD_OUT
    )
    script = make_npm(source, "gamma", {"src/f.js": "export function f(a) {\n  return a * 2 + 1;\n}\n"})
    return cached(tmp_path / "cache", trained, held_out, script, source=source)


def build(
    manifest: Manifest, folder: Path, options: BuildOptions = OPTIONS, out: str = "out", **more: object
) -> CorpusReport:
    report = build_corpus(
        [written(manifest, folder)],
        folder / out,
        name="tiny",
        options=options,
        packages=folder / "cache",
        **more,  # type: ignore[arg-type] # the callee's own
    )
    assert report is not None
    return report


def problems(folder: Path) -> tuple[str, ...]:
    path = folder / "problems.jsonl"
    path.write_text(json.dumps({"text": PROBLEM_TEXT, "code": "", "test_list": []}) + "\n")
    return (str(path),)


def tree(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_every_file_meets_its_fate(corpus: Manifest, tmp_path: Path) -> None:
    report = build(corpus, tmp_path, replace(OPTIONS, decontaminate=problems(tmp_path)))
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
    assert report.redacted_files == 1
    assert report.clusters == {2: 2}
    assert list(report.contaminants) == [PROBLEM_TEXT.lower()]


def test_a_document_carries_its_provenance(corpus: Manifest, tmp_path: Path) -> None:
    build(corpus, tmp_path)
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


def test_what_lies_beside_the_shards_speaks_of_them(corpus: Manifest, tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = build(corpus, tmp_path)
    stored = json.loads((out / "report.json").read_text())
    assert stored == json.loads(json.dumps(report.as_mapping()))
    assert stored["read"]["files"] == sum(d["files"] for d in stored["dropped"].values()) + sum(
        counts["files"] for split in stored["kept"].values() for counts in split.values()
    )
    with gzip.open(out / "documents.jsonl.gz", "rt") as lines:
        entries = [json.loads(line) for line in lines]
    shards = [*read_documents(out / "train"), *read_documents(out / "held_out")]
    assert {entry["sha256"] for entry in entries} == {document.sha256 for document in shards}
    manifest = json.loads((out / "corpus.json").read_text())
    for shard in manifest["shards"]:
        data = (out / shard["split"] / shard["file"]).read_bytes()
        assert shard["sha256"] == hashlib.sha256(data).hexdigest()
        assert shard["documents"] == gzip.decompress(data).count(b"\n")
    assert {source["name"] for source in manifest["sources"]} == {
        package.identity for package in corpus.packages
    }
    assert "| alpha | 1.0 | MIT | pypi | ada/alpha | train |" in (out / "NOTICE.md").read_text()
    assert "Permission is hereby granted" in (out / "LICENSES.txt").read_text()


def test_the_index_tells_how_to_make_a_text_from_its_file(corpus: Manifest, tmp_path: Path) -> None:
    build(corpus, tmp_path)
    with gzip.open(tmp_path / "out" / "documents.jsonl.gz", "rt") as lines:
        entry = next(entry for entry in map(json.loads, lines) if entry["path"] == "alpha/mail.py")
    text = text_of(("# ada@calc-engine.co.uk\n" + code("mail")).encode(), entry["replaced"])
    assert text is not None
    assert hashlib.sha256(text).hexdigest() == entry["sha256"]


def test_the_datasheet_has_its_figures_and_pictures(corpus: Manifest, tmp_path: Path) -> None:
    build(corpus, tmp_path, replace(OPTIONS, decontaminate=problems(tmp_path)))
    sheet = (tmp_path / "out" / "DATASHEET.md").read_text()
    for expected in (
        "5 documents for training",
        "| Python | 4 |",
        "| binary | 1 |",
        "2 groups of",
        "| MIT |",
    ):
        assert expected in sheet
    for line in sheet.splitlines():
        if line.startswith("!["):
            picture = tmp_path / "out" / line.rpartition("(")[2].rstrip(")")
            assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_same_sources_give_the_same_bytes_for_any_number_of_tasks_at_once(
    corpus: Manifest, tmp_path: Path
) -> None:
    build(corpus, tmp_path, out="one", tasks=3)
    build(corpus, tmp_path, out="two", tasks=3, execution=Execution(workers=2))
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    assert [path.name for path in (tmp_path / "one" / "train").iterdir() if "python" in path.name] == [
        "python-00000.jsonl.gz"
    ]


def test_interrupted_the_old_corpus_stays_and_the_same_command_goes_on(
    corpus: Manifest, tmp_path: Path
) -> None:
    build(corpus, tmp_path)
    before = tree(tmp_path / "out")

    def interrupt(stage: Stage, done: int, total: int) -> None:
        if stage is Stage.WRITE:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(corpus, tmp_path, replace(OPTIONS, redact_pii=False), progress=interrupt)
    assert tree(tmp_path / "out") == before
    with pytest.raises(CorpusError, match="unfinished build of other sources or options"):
        build(corpus, tmp_path)
    stages = []
    report = build(
        corpus,
        tmp_path,
        replace(OPTIONS, redact_pii=False),
        progress=lambda stage, done, total: stages.append(stage),
    )
    assert report.redacted == {}
    assert not work_folder(tmp_path / "out").exists()


def test_a_folder_of_something_else_is_never_replaced(corpus: Manifest, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.md").write_text("years of work")
    with pytest.raises(CorpusError, match=r"holds chapter\.md and is no corpus"):
        build(corpus, tmp_path, out="thesis")
    assert (tmp_path / "thesis" / "chapter.md").read_text() == "years of work"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_missing_or_changed_archive_is_named(corpus: Manifest, tmp_path: Path, workers: int) -> None:
    archive = tmp_path / "cache" / "npm" / "gamma-1.0.0.tgz"
    data = archive.read_bytes()
    archive.write_bytes(data[:-7])
    with pytest.raises(IntegrityError, match="npm:gamma"):
        build(corpus, tmp_path, execution=Execution(workers=workers), tasks=2)
    archive.unlink()
    with pytest.raises(CorpusError, match="fetch the manifest first"):
        build(corpus, tmp_path)
    assert not (tmp_path / "out").exists()


def test_near_duplicates_are_dropped_unless_kept_on_purpose(tmp_path: Path) -> None:
    long = "\n".join(f"value_{i} = compute_{i}(alpha_{i}, beta_{i}, gamma_{i})" for i in range(80))
    files = {"a/one.py": long + "\n", "a/two.py": long.replace("value_7 ", "renamed_7 ") + "\n"}
    manifest = cached(tmp_path / "cache", make_wheel(tmp_path / "s", "alpha", files), source=tmp_path / "s")
    assert build(manifest, tmp_path).dropped_files[Reason.NEAR_DUPLICATE] == 1
    kept = build(manifest, tmp_path, replace(OPTIONS, near_dedup=False), out="all")
    assert kept.kept_files[Split.TRAIN, "Python"] == 2


def test_a_language_over_its_weight_is_thinned_out(tmp_path: Path) -> None:
    files = {f"a/{i}.css": f".box-{i} {{\n  color: red;\n  margin: {i}px;\n}}\n" for i in range(200)}
    manifest = cached(tmp_path / "cache", make_npm(tmp_path / "s", "styles", files), source=tmp_path / "s")
    options = replace(OPTIONS, near_dedup=False, weights={"CSS": 4_000})
    report = build(manifest, tmp_path, options)
    assert 2_500 < report.total_bytes(Split.TRAIN, "CSS") < 5_500  # by chance, of about 8,900
    assert report.dropped_files[Reason.OVER_WEIGHT] == 200 - report.kept_files[Split.TRAIN, "CSS"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_file_bytes": 0}, "max_file_bytes 0"),
        ({"held_out_share": 1.0}, "held_out_share"),
        ({"notebooks": ("html",)}, "html"),
        ({"weights": {"CSS": 0}}, "CSS"),
    ],
)
def test_bad_options_are_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        BuildOptions(**values)  # type: ignore[arg-type] # wrong on purpose


def documents(count: int) -> Sequence[CorpusDocument]:
    return [
        CorpusDocument(
            repository="a/b", path=f"{i}.cc", language="C++", license="MIT", package="p", text="x" * 100
        )
        for i in range(count)
    ]


def test_shards_roll_over_by_text_size(tmp_path: Path) -> None:
    with ShardWriter(tmp_path, shard_text_bytes=200) as writer:
        for document in documents(5):
            writer.write(document)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"cpp-0000{i}.jsonl.gz" for i in range(3)]
    assert list(read_documents(tmp_path)) == documents(5)
