import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from attribution.errors import IndexBusyError, IndexDamagedError, IndexFormatError, IndexMissingError
from attribution.indexing.build import build
from attribution.source import SourceDocument
from attribution.store import prepare
from attribution.store.contract import Index
from attribution.store.embedded import reader as embedded
from attribution.store.embedded import writer as embedded_writer
from attribution.store.embedded.reader import EmbeddedIndex
from attribution.store.open import open_index, open_writer
from attribution.store.opt_outs import OptOut
from attribution.tokens.fingerprint import Channel, winnow
from attribution.tokens.lexer import lex
from tests.attribution.samples import code, document, index_of

ROOT = Path(__file__).resolve().parents[3]


def documents(count: int, *, first: int = 0) -> list[SourceDocument]:
    return [
        document(f"owner{n % 7}/project", f"src/file{n}.py", code(n), license="MIT")
        for n in range(first, first + count)
    ]


def finds(index: Index, text: bytes) -> list[bytes]:
    return [c.key for c in index.candidates(winnow(lex(text), Channel.TEXT), Channel.TEXT, limit=5)]


def files(folder: Path) -> dict[str, bytes]:
    """All that lasts; SQLite's shared memory and log come and go."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(("-shm", "-wal"))
    }


def test_every_document_is_found_by_its_own_text(tmp_path: Path) -> None:
    everything = documents(40)
    index_of(tmp_path, everything)
    index = EmbeddedIndex(tmp_path)
    for one in everything:
        assert finds(index, one.text) == [one.key]
        content = index.contents([one.key])[one.key]
        assert (content.text, content.sources) == (one.text, (one.source,))
    assert index.verify() == []
    index.close()


def test_building_twice_changes_nothing(tmp_path: Path) -> None:
    index_of(tmp_path, documents(20))
    before = files(tmp_path)
    with open_writer(tmp_path) as writer:
        counts = build(documents(20), writer)
    assert (counts.added, counts.known, counts.unchanged) == (0, 0, 20)
    assert files(tmp_path) == before


def test_copies_share_a_content_and_a_new_version_replaces_the_old(tmp_path: Path) -> None:
    same = [document("b/copy", "x.py", code(1)), document("a/first", "x.py", code(1))]
    index_of(tmp_path, same)
    index = EmbeddedIndex(tmp_path)
    content = index.contents([same[0].key])[same[0].key]
    assert (content.sources[0].repository, len(content.sources)) == ("a/first", 2)
    assert (index.info().documents, index.info().contents) == (2, 1)
    index_of(tmp_path, [document("a/first", "x.py", code(2)), document("b/copy", "x.py", code(2))])
    assert finds(index, code(1).encode()) == []
    assert len(finds(index, code(2).encode())) == 1
    assert (index.info().documents, index.info().removed_contents) == (2, 1)
    index.close()


def test_many_commits_are_merged_and_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_writer, "COMMIT_BYTES", 1)
    monkeypatch.setattr(prepare, "BATCH_DOCUMENTS", 2)
    everything = documents(60)
    index_of(tmp_path, everything, renamed=True)
    index = EmbeddedIndex(tmp_path)
    segments = list((tmp_path / "segments").iterdir())
    assert len(segments) < 2 * embedded_writer.FANOUT
    assert all(finds(index, one.text) == [one.key] for one in everything)
    assert index.verify() == []
    with open_writer(tmp_path) as writer:
        writer.compact()
    assert len(list((tmp_path / "segments").iterdir())) == 2
    assert all(finds(index, one.text) == [one.key] for one in everything)
    index.close()


def test_what_is_removed_is_gone_at_once_and_stays_gone(tmp_path: Path) -> None:
    everything = documents(14)
    secret = document("owner3/project", "secret.py", "unmistakable = 'LETTERS'\n" + code(99))
    index_of(tmp_path, [*everything, secret])
    reader = EmbeddedIndex(tmp_path)
    with open_writer(tmp_path) as writer:
        assert writer.remove([OptOut(repository="Owner3/Project")]).documents == 3
    gone = [one for one in [*everything, secret] if one.source.owner == "owner3"]
    assert all(finds(reader, one.text) == [] for one in gone)
    assert reader.contents([one.key for one in gone]) == {}
    with open_writer(tmp_path) as writer:
        writer.compact()
    assert all(finds(reader, one.text) == [] for one in gone)
    assert reader.info().removed_contents == 0
    with open_writer(tmp_path) as writer:
        counts = build([*everything, secret], writer)
    assert (counts.refused, counts.unchanged) == (3, 12)
    assert all(finds(reader, one.text) == [] for one in gone)
    assert all(len(finds(reader, one.text)) == 1 for one in everything if one not in gone)
    assert reader.verify() == []
    reader.close()


@pytest.mark.parametrize(
    ("rule", "left"),
    [
        (OptOut(owner="OWNER1"), 12),
        (OptOut(path="src/file1*.py"), 9),
        (OptOut(repository="owner1/project", path="src/file8.py"), 13),
        (OptOut.from_line("owner1/project:src/file8.py"), 13),
        (OptOut.from_line("nobody"), 14),
    ],
)
def test_opt_outs_cover_what_they_say(tmp_path: Path, rule: OptOut, left: int) -> None:
    index_of(tmp_path, documents(14))
    with open_writer(tmp_path) as writer:
        writer.remove([rule])
    index = open_index(tmp_path)
    assert index.document_count() == left
    index.close()


def test_a_removed_text_is_not_on_the_disk_any_more(tmp_path: Path) -> None:
    index_of(tmp_path, [document("a/a", "x", "UNMISTAKABLE" * 9), document("b/b", "x", code(5))])
    index = EmbeddedIndex(tmp_path)
    with open_writer(tmp_path) as writer:
        writer.remove([OptOut(owner="a")])
    packed = index._catalogue.connection.execute("SELECT packed FROM blocks").fetchall()
    assert all(b"UNMISTAKABLE" not in prepare.unpack(row[0]) for row in packed)
    index.close()


def test_copies_in_one_batch_leave_no_second_text_behind(tmp_path: Path) -> None:
    text = "UNMISTAKABLE " * 40
    index_of(tmp_path, [document("a/a", "x", text), document("a/b", "y", text)])
    index = EmbeddedIndex(tmp_path)
    with open_writer(tmp_path) as writer:
        assert writer.remove([OptOut(owner="a")]).documents == 2
    packed = index._catalogue.connection.execute("SELECT packed FROM blocks").fetchall()
    assert packed
    assert all(b"UNMISTAKABLE" not in prepare.unpack(row[0]) for row in packed)
    index.close()


def test_candidates_are_ranked_by_summed_idf_with_ties_by_key(tmp_path: Path) -> None:
    shared, rare = code(1, lines=6), code(2, lines=6)
    both = document("a/both", "x", shared + rare)
    everything = [both, *(document(f"a/{n}", "x", shared + code(10 + n)) for n in range(6))]
    index_of(tmp_path, everything)
    index = EmbeddedIndex(tmp_path)
    query = winnow(lex((shared + rare).encode()), Channel.TEXT)
    found = index.candidates(query, Channel.TEXT, limit=4)
    assert found[0].key == both.key
    assert found[0].score > found[1].score
    assert [c.key for c in found[1:]] == sorted(one.key for one in everything[1:])[:3]
    index.close()


def test_a_very_common_fingerprint_does_not_cost_the_rare_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = code(1, lines=5)
    everything = [document(f"a/{n}", "x", header + code(10 + n, lines=5)) for n in range(30)]
    index_of(tmp_path, everything)
    monkeypatch.setattr(embedded, "MAX_QUERY_POSTINGS", 40)
    index = EmbeddedIndex(tmp_path)
    assert finds(index, everything[7].text)[0] == everything[7].key
    assert len(finds(index, header.encode())) == 5
    index.close()


def test_a_second_writer_is_refused_and_readers_are_not(tmp_path: Path) -> None:
    index_of(tmp_path, documents(3))
    with open_writer(tmp_path) as writer:
        build(documents(3, first=3), writer)
        with pytest.raises(IndexBusyError, match="another process"), open_writer(tmp_path):
            pass
        index = open_index(tmp_path)
        assert index.document_count() == 6
        index.close()


def test_an_exception_rolls_back_to_the_last_commit(tmp_path: Path) -> None:
    def broken() -> Iterator[SourceDocument]:
        yield from documents(2000, first=10)
        raise RuntimeError("the disk is full")

    index_of(tmp_path, documents(5))
    with pytest.raises(RuntimeError, match="full"), open_writer(tmp_path) as writer:
        build(broken(), writer)
    index = open_index(tmp_path)
    assert index.document_count() == 5
    assert index.verify() == []
    index.close()


KILLED = """
import os, signal, sys
from attribution.store import prepare
from attribution.store.embedded import writer as embedded_writer
from attribution.indexing.build import build
from attribution.store.open import open_writer
from tests.attribution.store.test_embedded import documents

embedded_writer.COMMIT_BYTES = 1
prepare.BATCH_DOCUMENTS = 3
left = int(sys.argv[2])

def die_after(writes):
    global left
    def write(*arguments):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return writes(*arguments)
    return write

# Every way in which something reaches the disk.
embedded_writer.write_segment = die_after(embedded_writer.write_segment)
embedded_writer.merge_segments = die_after(embedded_writer.merge_segments)
embedded_writer.EmbeddedWriter._end_and_begin = die_after(embedded_writer.EmbeddedWriter._end_and_begin)
embedded_writer._try_unlink = die_after(embedded_writer._try_unlink)
with open_writer(sys.argv[1]) as writer:
    build(documents(80), writer)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_build_killed_at_any_write_resumes_and_ends_the_same(tmp_path: Path) -> None:
    whole = {one.key: one for one in documents(80)}
    for left in (0, 1, 2, 7, 16, 17, 22, 50):
        folder = tmp_path / str(left)
        killed = subprocess.run(
            [sys.executable, "-c", KILLED, str(folder), str(left)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": "."},
        )
        assert killed.returncode == -signal.SIGKILL
        index = EmbeddedIndex(folder)
        assert index.verify() == []
        survived = index.document_count()
        assert survived % 3 == 0
        index_of(folder, documents(80))
        assert index.document_count() == 80
        assert index.verify() == []
        assert all(finds(index, one.text) == [key] for key, one in whole.items())
        listed = {written.file for _, written, _, _ in index._catalogue.segments()}
        assert listed == {path.name for path in (folder / "segments").iterdir()}
        index.close()


def test_several_processes_build_the_same_index(tmp_path: Path) -> None:
    everything = documents(30)
    with open_writer(tmp_path / "two") as writer:
        build(everything, writer, processes=2)
    index_of(tmp_path / "one", everything)
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_a_missing_index_is_told_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(IndexMissingError, match="starcoder-lsp index build"):
        open_index(tmp_path / "none")
    with (
        pytest.raises(IndexMissingError, match="starcoder-lsp index build"),
        open_writer(tmp_path, create=False),
    ):
        pass


def test_something_else_is_not_taken_for_an_index(tmp_path: Path) -> None:
    (tmp_path / "catalogue.sqlite").write_bytes(b"SQLite format 3\0 not really")
    with pytest.raises(IndexFormatError, match="not an attribution index"):
        open_index(tmp_path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("UPDATE meta SET value = '0' WHERE name = 'format'", "format 0 instead of 1"),
        # What the first program wrote.
        ("DELETE FROM meta WHERE name = 'segments'", "segments 1 instead of 3"),
    ],
)
def test_an_index_of_another_format_is_refused(tmp_path: Path, change: str, told: str) -> None:
    index_of(tmp_path, documents(1))
    index = EmbeddedIndex(tmp_path)
    index._catalogue.connection.execute(change)
    index.close()
    for opened in (open_index, lambda path: open_writer(path).__enter__()):
        with pytest.raises(IndexFormatError, match="opt-outs list") as caught:
            opened(tmp_path)
        assert told in str(caught.value)


def test_damage_is_told_by_every_reading_and_by_verify(tmp_path: Path) -> None:
    index_of(tmp_path, documents(5))
    [segment] = (tmp_path / "segments").iterdir()
    whole = segment.read_bytes()
    index = open_index(tmp_path)
    assert len(finds(index, code(1).encode())) == 1
    for damaged in (whole[:100] + bytes([whole[100] ^ 1]) + whole[101:], whole[:-8], whole[:200], b""):
        segment.write_bytes(damaged)  # in the very file that is open: what was mapped would die of SIGBUS
        for one in (index, open_index(tmp_path)):
            with pytest.raises(IndexDamagedError, match="index verify"):
                finds(one, code(1).encode())
            assert one.verify() == [f"{segment.name}: its content has changed since it was written"]
    segment.unlink()
    with pytest.raises(IndexDamagedError, match="cannot read"):
        finds(open_index(tmp_path), code(1).encode())
    assert "cannot be read" in open_index(tmp_path).verify()[0]


def test_a_damaged_catalogue_is_told(tmp_path: Path) -> None:
    index_of(tmp_path, documents(20))
    catalogue = tmp_path / "catalogue.sqlite"
    data = bytearray(catalogue.read_bytes())
    data[4096:] = bytes(len(data) - 4096)
    catalogue.write_bytes(data)
    with pytest.raises((IndexDamagedError, IndexFormatError)):
        finds(open_index(tmp_path), code(1).encode())


def test_fingerprints_of_a_prepared_batch_by_document() -> None:
    batch = prepare.prepare(documents(5), [Channel.TEXT])
    for one, found in zip(documents(5), batch.fingerprints(Channel.TEXT), strict=True):
        assert found.tolist() == winnow(lex(one.text), Channel.TEXT).tolist()


def test_blocks_hold_the_texts_and_blanking_keeps_the_others() -> None:
    texts = [document("a/a", str(n), text) for n, text in enumerate(["one", "", "three" * 9000, "four", ""])]
    for size in (0, 10, 32_768):
        batch = prepare.prepare(texts, [Channel.TEXT], block_bytes=size)
        blocks = [prepare.unpack(packed) for packed in batch.blocks]
        for one, at in zip(texts, batch.documents, strict=True):
            assert blocks[at.block][at.start_byte : at.start_byte + at.text_bytes] == one.text
    blank = prepare.unpack(prepare.blanked(prepare.prepare(texts[:1], []).blocks[0], 1, 1))
    assert blank == b"o\0e"
    assert np.array_equal(prepare.prepare([], [Channel.TEXT]).postings[Channel.TEXT], [])
