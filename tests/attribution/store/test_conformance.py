"""What every index must do, whatever stores it: one suite, run on each store."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from attribution.errors import IndexMissingError
from attribution.indexing.build import build
from attribution.match.attribute import attribute
from attribution.source import GroupBy, LicenceEvidence
from attribution.store.open import open_index, open_writer, read_opt_outs, remove_documents
from attribution.store.opt_outs import OptOut, read_opt_out_list
from attribution.tokens.fingerprint import Channel, all_fingerprints, winnow
from attribution.tokens.lexer import lex
from tests.attribution.samples import HEADER, code, document, finds, index_of
from tests.attribution.samples import mixed_documents as documents


def test_every_document_is_found_and_nothing_is_made_up(url: str) -> None:
    index_of(url, documents())
    index = open_index(url)
    for one in documents(8)[:8]:
        best = attribute(one.text, index)[0]
        assert best.source == (one.source if one != documents()[3] else best.source)
        assert best.tokens == len(lex(one.text))
    assert attribute(code(5000).encode(), index) == []
    assert index.document_count() == 32
    assert index.channels == (Channel.TEXT,)
    assert index.verify() == []
    info = index.info()
    assert (info.documents, info.contents, info.repositories) == (32, 31, 17)
    assert info.source_bytes == sum(len(one.text) for one in documents())
    assert info.postings > 100
    assert info.text_disk_bytes > 1000
    index.close()


def test_the_evidence_of_a_licence_is_kept_and_documents_are_counted(url: str) -> None:
    evidence = LicenceEvidence(
        declared="MIT", declared_in="package.json", detected="GPL-3.0-only", detected_in="LICENSE"
    )
    first = document("a/b", "x.py", code(1), license="MIT")
    judged = replace(first, source=replace(first.source, license="MIT AND GPL-3.0-only", evidence=evidence))
    index_of(url, [first, document("a/c", "y.unheard", code(2), license=None)])
    with open_writer(url) as writer:
        counts = build([judged], writer)
        assert (counts.replaced, counts.unchanged) == (1, 0)
        assert build([judged], writer).unchanged == 1
    index = open_index(url)
    assert index.contents([judged.key])[judged.key].sources == (judged.source,)
    assert index.documents_by(GroupBy.LICENSE) == {"MIT AND GPL-3.0-only": 1, None: 1}
    assert index.documents_by(GroupBy.REPOSITORY) == {"a/b": 1, "a/c": 1}
    assert index.documents_by(GroupBy.LANGUAGE) == {"Python": 1, None: 1}
    index.close()


def test_building_twice_and_resuming(url: str) -> None:
    with open_writer(url) as writer:
        counts = build(documents(10), writer)
    assert (counts.added, counts.known, counts.unchanged) == (11, 1, 0)
    with open_writer(url) as writer:
        counts = build(documents(), writer)
    assert (counts.added, counts.known, counts.unchanged) == (20, 0, 12)
    index = open_index(url)
    assert index.document_count() == 32
    index.close()


def test_a_new_version_replaces_the_old(url: str) -> None:
    index_of(url, [document("a/b", "x.py", code(1))])
    index_of(url, [document("a/b", "x.py", code(2))])
    assert finds(url, code(1).encode()) == []
    assert finds(url, code(2).encode()) == [("a/b", "x.py")]
    index = open_index(url)
    assert (index.info().documents, index.info().contents) == (1, 1)
    index.close()


def test_opt_outs_hold_at_once_after_compaction_and_rebuild(url: str) -> None:
    everything = documents()
    index_of(url, everything)
    with open_writer(url) as writer:
        rules = [OptOut(owner="owner1"), OptOut(repository="OWNER2/project2"), OptOut(path="src/größe4.*")]
        removed = writer.remove(rules)
    gone = [one for one in everything if any(rule.covers(one.source) for rule in rules)]
    assert removed.documents == len(gone) == 9

    def check() -> None:
        for one in gone:
            assert (one.source.repository, one.source.path) not in finds(url, one.text)
        index = open_index(url)
        assert index.document_count() == 32 - 9
        assert index.contents([one.key for one in gone]) == {}
        index.close()

    check()
    with open_writer(url) as writer:
        writer.compact()
    check()
    with open_writer(url) as writer:
        assert build(everything, writer).refused == 9
    check()


def test_opt_outs_can_be_taken_to_another_index(url: str, tmp_path: Path) -> None:
    rules = [OptOut(owner="owner1"), OptOut(repository="o/n", path="a/*"), OptOut(path="*.pem")]
    index_of(url, documents(4))
    with open_writer(url) as writer:
        writer.remove([*rules, OptOut(repository="npm:@a/b"), OptOut(owner="pypi:thing")])
        writer.remove(rules)
    index = open_index(url)
    lines = index.opt_outs()
    index.close()
    assert lines == [":*.pem", "npm:@a/b", "o/n:a/*", "owner1", "pypi:thing"]
    (tmp_path / "list").write_text("\n".join(lines))
    again = read_opt_out_list(tmp_path / "list")
    assert {rule.line for rule in again} == set(lines)
    assert set(rules) < set(again)


def test_a_content_lives_as_long_as_one_document_holds_it(url: str) -> None:
    index_of(url, documents(5))
    with open_writer(url) as writer:
        assert writer.remove([OptOut(repository="Owner3/project0")]).documents == 1
    assert finds(url, documents()[3].text)[0] == ("copies/one", "c.py")


def test_what_is_written_in_this_context_is_known_in_it(url: str) -> None:
    with open_writer(url) as writer:
        build(documents(4), writer)
        assert writer.remove([OptOut(owner="owner0")]).documents == 1
        counts = build(documents(4), writer)
    assert counts.refused == 1
    assert finds(url, documents()[0].text) == []
    assert finds(url, documents()[1].text)[0] == ("Owner1/project1", "src/größe1.py")


def test_the_shape_channel(url: str) -> None:
    index_of(url, documents(3), renamed=True)
    index = open_index(url)
    assert index.channels == tuple(Channel)
    query = all_fingerprints(lex(documents()[0].text), Channel.SHAPE)
    assert index.candidates(query, Channel.SHAPE, limit=1)[0].key == documents()[0].key
    index.close()


def test_a_missing_index(url: str) -> None:
    with pytest.raises(IndexMissingError, match="starcoder-lsp index build"):
        open_index(url)
    with pytest.raises(IndexMissingError, match="starcoder-lsp index build"), open_writer(url, create=False):
        pass


def test_elasticsearch_gives_the_answers_of_the_embedded_store_in_the_same_order(
    tmp_path: Path, elastic_url: str
) -> None:
    for url in (tmp_path, elastic_url):
        index_of(url, documents(60), renamed=True)
    one, other = open_index(tmp_path), open_index(elastic_url)
    queries = [item.text for item in documents(60)[::4]]
    queries += [HEADER.encode(), (code(3) + code(800) + code(9)).encode(), code(4000, lines=300).encode()]
    for query in queries:
        for channel in Channel:
            for fingerprints in (winnow(lex(query), channel), all_fingerprints(lex(query), channel)):
                theirs = other.candidates(fingerprints, channel, limit=7)
                ours = one.candidates(fingerprints, channel, limit=7)
                assert [c.key for c in ours] == [c.key for c in theirs]
                assert [c.score for c in ours] == pytest.approx([c.score for c in theirs], rel=0.03)
        assert attribute(query, one) == attribute(query, other)
    one.close()
    other.close()


def test_a_content_names_all_its_holders_and_their_licences(url: str) -> None:
    licences = ["MIT", "GPL-3.0-only", None, "MIT"]
    held = [document(f"o{n}/r", "x.py", code(1), license=licence) for n, licence in enumerate(licences)]
    index_of(url, held)
    index = open_index(url)
    [content] = index.contents([held[0].key]).values()
    assert content.sources == tuple(one.source for one in held)
    assert index.licences([held[0].key, b"absent"]) == {held[0].key: {"MIT", "GPL-3.0-only", None}}
    [match] = attribute(held[0].text, index)
    assert (match.holders, match.also_in) == (content.sources, 3)
    index.close()


def test_documents_are_told_apart_by_package_revision_and_origin(url: str) -> None:
    held = [
        document("o/mono", "src/index.js", code(1), package="npm:@o/a", revision="1.0.0"),
        document("o/mono", "src/index.js", code(2), package="npm:@o/b", revision="1.0.0"),
        document("o/mono", "src/index.js", code(3), package="npm:@o/a", revision="2.0.0"),
        document("src", "main.py", code(4), origin="/one/src"),
        document("src", "main.py", code(5), origin="/two/src"),
    ]
    with open_writer(url) as writer:
        counts = build(held, writer)
    assert (counts.added, counts.replaced) == (5, 0)
    later = document("src", "main.py", code(6), origin="/two/src")
    with open_writer(url) as writer:
        counts = build([*held[:4], later], writer)
    assert (counts.added, counts.replaced, counts.unchanged) == (0, 1, 4)
    index = open_index(url)
    assert index.document_count() == 5
    [content] = index.contents([held[1].key]).values()
    assert content.sources == (held[1].source,)
    assert index.lacking([*held, later]) == [held[4]]
    index.close()


def test_a_rule_that_covers_nothing_is_named_and_rules_can_be_lifted(url: str) -> None:
    index_of(url, [document("o/mono", "a.js", code(1), package="npm:@o/a"), document("p/q", "b.js", code(2))])
    used, idle = OptOut.from_line("npm:@o/A"), OptOut.from_line("nobody/nothing")
    with open_writer(url) as writer:
        assert writer.remove([used, idle]) == (1, (idle,))
    with open_writer(url) as writer:
        assert writer.lift([used, OptOut(owner="never")]) == 1
    index = open_index(url)
    assert index.opt_outs() == read_opt_outs(url) == ["nobody/nothing"]
    index.close()


def test_what_is_removed_while_a_build_runs_stays_away(url: str) -> None:
    everything = documents(12)
    gone = [one for one in everything if one.source.owner == "Owner1"]
    waits = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        with open_writer(url) as writer:
            build(everything[:6], writer)
            rules = [OptOut(owner="owner1")]
            removal = pool.submit(remove_documents, url, rules, on_wait=waits.set)
            # One store removes at once, the other waits for the next commit.
            while not (waits.is_set() or removal.done()):
                time.sleep(0.001)
            if waits.is_set():
                while not list(Path(url).glob("opt-outs/*.json")):
                    time.sleep(0.001)
            build(everything, writer)
        assert removal.result(timeout=30).idle == ()
    index = open_index(url)
    assert index.contents([one.key for one in gone]) == {}
    assert index.opt_outs() == ["owner1"]
    assert index.verify() == []
    index.close()
