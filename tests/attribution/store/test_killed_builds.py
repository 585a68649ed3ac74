"""`kill -9` of a build at several moments, on each store: the same command goes on, to the same end."""

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from attribution.indexing.build import build
from attribution.match.attribute import attribute
from attribution.source import SourceDocument
from attribution.store.open import open_index, open_writer
from tests.attribution.samples import code, document

ROOT = Path(__file__).resolve().parents[3]
COUNT = 400
# Which progress report the kill follows; the build is then somewhere after that, with batches under way.
MOMENTS = (1, 12, 40, 75)

BUILD = """
import sys
from attribution.store import prepare
from attribution.store.elastic import writer as elastic_writer
from attribution.store.embedded import writer as embedded_writer
from attribution.indexing.build import build
from attribution.store.open import open_writer
from tests.attribution.store.test_killed_builds import many_documents

if __name__ == "__main__":
    embedded_writer.COMMIT_BYTES = elastic_writer.COMMIT_BYTES = 20_000
    prepare.BATCH_DOCUMENTS = 3
    with open_writer(sys.argv[1]) as writer:
        build(many_documents(), writer, processes=2, on_progress=lambda progress: print(".", flush=True))
"""


def many_documents() -> list[SourceDocument]:
    """With copies, and with some that replace what `earlier_documents` has."""
    return [
        document(f"o{n % 7}/r{n % 3}", f"f{n}.py", code(n % 350, lines=8), license="MIT")
        for n in range(COUNT)
    ]


def earlier_documents() -> list[SourceDocument]:
    return [document(f"o{n % 7}/r{n % 3}", f"f{n}.py", code(9000 + n, lines=8)) for n in range(0, COUNT, 9)]


def state(url: str) -> object:
    """All that a reader can tell, but for sizes on the disk."""
    index = open_index(url)
    info = dataclasses.replace(
        index.info(), url="", text_disk_bytes=0, other_disk_bytes=0, removed_contents=0
    )
    assert index.verify() == []
    found = [attribute(one.text, index) for one in many_documents()[::23]]
    keys = [one.key for one in (*many_documents(), *earlier_documents())]
    contents = index.contents(keys)
    index.close()
    return info, found, contents


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> object:
    """What an uninterrupted build ends with; the stores give the same answers, so one will do."""
    url = str(tmp_path_factory.mktemp("whole") / "index")
    for documents in (earlier_documents(), many_documents()):
        with open_writer(url) as writer:
            build(documents, writer)
            writer.compact()
    return state(url)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_build_resumes_and_ends_like_an_uninterrupted_one(
    url: str, tmp_path: Path, uninterrupted: object
) -> None:
    with open_writer(url) as writer:
        build(earlier_documents(), writer)
    program = tmp_path / "build.py"
    program.write_text(BUILD)
    for moment in MOMENTS:
        builder = subprocess.Popen(
            [sys.executable, str(program), url],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": "."},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # the orphaned workers' complaints
        )
        assert builder.stdout is not None
        for _ in range(moment):
            assert builder.stdout.readline() == b".\n"
        builder.kill()
        builder.communicate()
        assert builder.returncode == -signal.SIGKILL
    resumed = open_index(url)
    survived = resumed.document_count()
    resumed.close()
    with open_writer(url) as writer:
        counts = build(many_documents(), writer)
        writer.compact()
    assert counts.unchanged > 0
    assert survived > len(earlier_documents())
    assert state(url) == uninterrupted
    with open_writer(url) as writer:
        again = build(many_documents(), writer)
    assert (again.added, again.known, again.unchanged) == (0, 0, COUNT)
    assert state(url) == uninterrupted
