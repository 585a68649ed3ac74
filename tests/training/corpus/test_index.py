"""A model's training set becomes an index of exactly that: real packages, really fetched from a folder."""

import gzip
import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from attribution.cli.index import ListedSets, index_app
from attribution.errors import SourceError
from attribution.match.attribute import attribute
from attribution.sources.manifest import Manifest, Package, Split
from attribution.store.open import open_index
from model.weights.hub import bundled_folder
from tests.training.corpus.corpus_packages import make_wheel
from training.corpus.index import TrainedSet, starter_set, text_of

ROOT = Path(__file__).resolve().parents[3]
LINES = {name: "".join(f"{name}_{n} = compute({n}, {name!r})\r\n" for n in range(30)) for name in "abcde"}
MAIL = "author = 'ada@lovelace.org'\n"


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for the whole world, and a cache folder of one's own."""
    folder = tmp_path / "shelf"
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def row(package: Package, path: str, text: str, **more: Any) -> dict[str, Any]:
    data = text.replace("\r\n", "\n").encode()
    return {
        "sha256": hashlib.sha256(data).hexdigest(),
        "package": package.identity,
        "path": path,
        "language": "Python",
        "license": "MIT",
        "split": package.split.value,
        "bytes": len(data),
        **more,
    }


def trained_set(shelf: Path) -> Callable[..., TrainedSet]:
    """Of two packages and a held-out one; not every file of theirs was trained on."""
    files = {f"{name}/{name}.py": LINES[name] for name in "abc"}
    alpha = make_wheel(shelf, "alpha", {**files, "a/unseen.py": LINES["d"]})
    beta = make_wheel(shelf, "beta", {"beta/mail.py": MAIL + LINES["e"]})
    held = make_wheel(shelf, "held", {"held/held.py": LINES["d"]}, split=Split.HELD_OUT)
    replaced = (MAIL + LINES["e"]).replace("ada@lovelace.org", "<EMAIL>")
    rows = [row(alpha, f"{name}/{name}.py", LINES[name]) for name in "abc"]
    rows += [
        row(beta, "beta/mail.py", replaced, replaced=[[10, 26, "<EMAIL>"]]),
        row(held, "held/held.py", LINES["d"]),
    ]
    listing = shelf / "documents.jsonl.gz"
    with gzip.open(listing, "wt", encoding="utf-8") as lines:
        lines.writelines(json.dumps(one) + "\n" for one in rows)
    manifest = Manifest(name="tiny", packages=(alpha, beta, held))

    def make(packages: Path | None, on_package: Callable[[str], None] = lambda identity: None) -> TrainedSet:
        return TrainedSet("tiny", listing, manifest, packages, on_package=on_package)

    return make


def build(make: Callable[..., TrainedSet], index: Path, *options: str | Path) -> Result:
    command = ["build", "--starter", "--into", str(index), "--processes", "1", *map(str, options)]
    return CliRunner().invoke(index_app, command, obj=ListedSets(starter=make))


def test_the_index_holds_exactly_what_was_trained_on(shelf: Path, tmp_path: Path) -> None:
    result = build(trained_set(shelf), tmp_path / "index")
    assert result.exit_code == 0, result.output
    assert "4 documents added" in result.output
    index = open_index(tmp_path / "index")
    assert index.info().documents == 4
    [found] = attribute(LINES["b"].encode(), index)
    source = found.source
    assert (source.repository, source.path, source.license) == ("ada/alpha", "b/b.py", "MIT")
    assert (source.revision, source.url) == ("pypi:alpha==1.0", "https://github.com/ada/alpha")
    # Not what was held out, nor what the pipeline dropped; and what was read had the address replaced.
    assert attribute(LINES["d"].encode(), index) == []
    [mail] = attribute(LINES["e"].encode(), index)
    assert index.contents([mail.key])[mail.key].text.startswith(b"author = '<EMAIL>'\n")
    index.close()


def test_packages_are_deleted_afterwards_unless_their_folder_is_named(shelf: Path, tmp_path: Path) -> None:
    make = trained_set(shelf)
    build(make, tmp_path / "index")
    assert not any(path.is_file() for path in (tmp_path / "cache").rglob("*"))
    build(make, tmp_path / "other", "--packages", tmp_path / "kept")
    kept = {path.name for path in (tmp_path / "kept").rglob("*.whl")}
    assert kept == {"alpha-1.0-py3-none-any.whl", "beta-1.0-py3-none-any.whl"}


def test_what_the_index_has_is_not_fetched_again(shelf: Path, tmp_path: Path) -> None:
    make = trained_set(shelf)
    build(make, tmp_path / "index")
    for wheel in shelf.glob("*.whl"):
        wheel.unlink()
    again = build(make, tmp_path / "index")
    assert again.exit_code == 0
    assert "0 documents added (0 copies of known ones), 0 replaced, 4 unchanged" in again.output


def test_only_the_missing_is_fetched_and_opt_outs_are_kept(shelf: Path, tmp_path: Path) -> None:
    make = trained_set(shelf)
    build(make, tmp_path / "index")
    runner = CliRunner()
    removed = runner.invoke(
        index_app, ["remove", "--repository", "ada/alpha", "--into", str(tmp_path / "index")]
    )
    assert "removed 3 " in removed.output
    again = build(make, tmp_path / "index")
    assert "0 documents added (0 copies of known ones), 0 replaced, 1 unchanged, 3 opted out" in again.output


def test_a_package_that_was_withdrawn_or_changed_is_told(shelf: Path, tmp_path: Path) -> None:
    make = trained_set(shelf)
    (shelf / "beta-1.0-py3-none-any.whl").unlink()
    result = build(make, tmp_path / "index")
    assert "3 documents added" in result.output
    assert "1 left out: pypi:beta==1.0 cannot be fetched" in result.output
    assert result.exit_code == 1
    (shelf / "alpha-1.0-py3-none-any.whl").unlink()
    nothing = build(make, tmp_path / "other")
    assert nothing.exit_code == 2
    assert "error: pypi:" in nothing.output


def test_a_text_that_is_not_the_listed_one_is_left_out(shelf: Path, tmp_path: Path) -> None:
    make = trained_set(shelf)
    wanted = make(None)
    rows = list(wanted._rows.values())
    rows[0]["sha256"] = "0" * 64
    skipped: Counter[str] = Counter()
    assert len(list(wanted.documents(wanted.listed(), skipped))) == 3
    assert skipped == {"pypi:alpha==1.0 has not the files of the list": 1}


def test_a_damaged_list_is_an_error(shelf: Path, tmp_path: Path) -> None:
    trained_set(shelf)
    (shelf / "documents.jsonl.gz").write_bytes(b"not gzip")
    with pytest.raises(SourceError, match="cannot read the list of documents"):
        TrainedSet("x", shelf / "documents.jsonl.gz", Manifest(name="x", packages=()))


def test_texts_are_normalised_and_personal_data_replaced_by_places() -> None:
    data = "\ufeffä = 'me@x.y'\r\nb\r\n".encode()
    assert text_of(data, [(5, 11, "<EMAIL>")]) == "ä = '<EMAIL>'\nb\n".encode()
    assert text_of(b"\xff\xfe", []) is None


def test_the_bundled_list_and_manifest_belong_together() -> None:
    listed = starter_set(None).listed()
    assert len(listed) > 20_000
    assert len({(one.source.repository, one.source.path) for one in listed}) == len(listed)
    assert len({one.key for one in listed}) == len(listed)
    assert all(one.source.license for one in listed)


def test_the_papers_that_ship_with_the_model_speak_of_one_corpus() -> None:
    folder = bundled_folder()
    manifest = json.loads((folder / "corpus.json").read_text())
    listed = (folder / "documents.jsonl.gz").read_bytes()
    assert manifest["documents_sha256"] == hashlib.sha256(listed).hexdigest()
    assert sum(one["documents"] for one in manifest["shards"]) == gzip.decompress(listed).count(b"\n")
    identity = "".join(one["sha256"] for one in manifest["shards"]).encode()
    assert manifest["sha256"] == hashlib.sha256(identity).hexdigest()
    pinned = Manifest.load(ROOT / "training" / "corpus" / "starter.toml").packages
    assert {one["name"]: one["sha256"] for one in manifest["sources"]} == {
        package.identity: package.sha256 for package in pinned
    }
    datasheet = (folder / "DATASHEET.md").read_text()
    pictures = re.findall(r"!\[[^]]*\]\((\S+)\)", datasheet)
    assert len(pictures) >= 3
    assert all((folder / picture).read_bytes().startswith(b"\x89PNG") for picture in pictures)


def test_the_command_that_users_type_knows_the_set() -> None:
    """And it needs nothing of what only training needs."""
    program = (
        "import sys; from lsp.cli.cli import app; from pathlib import Path\n"
        "sets = app.info.context_settings['obj']\n"
        "print(len(sets.starter(None, print).listed()), *sorted({'torch', 'matplotlib'} & set(sys.modules)))"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert told.stdout.split() == [str(len(starter_set(None).listed()))]
