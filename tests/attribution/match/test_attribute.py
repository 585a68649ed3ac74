"""The whole line from a text to matches, on an embedded index."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attribution.errors import AttributionError
from attribution.match import lexed as lexed_texts
from attribution.match.attribute import AUTOMATIC, SearchOptions, attribute
from attribution.match.lexed import Lexed
from attribution.source import Boilerplate, Match, MatchKind, Source, SourceDocument
from attribution.store.contract import Index
from attribution.store.open import open_index
from attribution.tokens.lexer import TokenBatch, lex, lex_batch
from tests.attribution.samples import code, document, index_of

RENAMEABLE = """
def merge_intervals(intervals, *, key=None):
    ordered = sorted(intervals, key=key or (lambda interval: interval.start))
    merged = []
    for interval in ordered:
        if merged and interval.start <= merged[-1].end:
            merged[-1] = Interval(merged[-1].start, max(merged[-1].end, interval.end))
        else:
            merged.append(interval)
    while len(merged) > 1 and merged[0].is_empty():
        merged.pop(0)
    return [interval for interval in merged if interval.end > interval.start]
"""
CRLF = "".join(f"Größe_{n} = berechne(Länge[{n}], 'naïve — 漢字', öffne={n * 7})\r\n" for n in range(40))
DOCUMENTS = [
    *(document(f"o{n}/r", f"f{n}.py", code(n), license="MIT") for n in range(8)),
    document("windows/umlaut", "größe.py", CRLF, license="ISC"),
    document("names/merge", "merge.py", RENAMEABLE),
]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    opened = open_index(index_of(tmp_path_factory.mktemp("index"), DOCUMENTS, renamed=True))
    yield opened
    opened.close()


def tokens_of(text: bytes) -> list[bytes]:
    return re.findall(rb"[\w\x80-\xff]+|[^\w\s]", text)


def bytes_of(match: Match, query: bytes) -> tuple[bytes, bytes]:
    """What the match says is the same: in the query and in the source."""
    [source] = [one for one in DOCUMENTS if one.source == match.source]
    return (
        query[match.query.start_byte : match.query.end_byte],
        source.text[match.source_span.start_byte : match.source_span.end_byte],
    )


@st.composite
def slices(draw: st.DrawFn) -> tuple[SourceDocument, bytes, list[bytes]]:
    """A document, a slice of at least 32 of its tokens as it stands, and the slice's tokens."""
    source = draw(st.sampled_from(DOCUMENTS))
    tokens = lex(source.text)
    first = draw(st.integers(0, len(tokens) - 32))
    last = draw(st.integers(first + 32, min(len(tokens), first + 300)))
    text = source.text[int(tokens.starts[first]) : int(tokens.ends[last - 1])]
    return source, text, tokens_of(text)


@pytest.mark.parametrize("question", [SearchOptions(), AUTOMATIC])
@given(taken=slices(), data=st.data())
def test_any_slice_is_found_whatever_its_white_space(
    index: Index,
    question: SearchOptions,
    taken: tuple[SourceDocument, bytes, list[bytes]],
    data: st.DataObject,
) -> None:
    source, _, tokens = taken
    spaces = st.sampled_from([b" ", b"\n", b"\r\n", b"\t", b"  \n\n "])
    query = b"".join(token + data.draw(spaces) for token in tokens)
    best = attribute(query, index, question)[0]
    assert best.source == source.source
    assert best.kind in {MatchKind.EXACT, MatchKind.REFORMATTED}
    assert best.tokens == len(tokens)
    ours, theirs = bytes_of(best, query)
    assert tokens_of(ours) == tokens_of(theirs) == tokens


@given(
    taken=slices(), before=st.sampled_from(["", "é\r\n", "x = zzz\n\n"]), after=st.sampled_from(["", "\r\nÄ"])
)
def test_spans_are_byte_exact_on_both_sides(
    index: Index, taken: tuple[SourceDocument, bytes, list[bytes]], before: str, after: str
) -> None:
    source, text, _ = taken
    query = before.encode() + text + after.encode()
    best = attribute(query, index)[0]
    ours, theirs = bytes_of(best, query)
    assert (best.kind, ours, theirs) == (MatchKind.EXACT, text, text)
    assert best.query.start_byte == len(before.encode())
    assert best.query.start_line == len(before.splitlines()) + 1 if before.endswith("\n") else 1
    at = best.source_span
    for span, whole in ((best.query, query), (at, source.text)):
        lines = whole.splitlines(keepends=True)
        covered = b"".join(lines[span.start_line - 1 : span.end_line])
        assert whole[span.start_byte : span.end_byte] in covered
        assert whole[span.start_byte : span.end_byte].count(b"\n") == span.end_line - span.start_line


def test_a_short_text_and_a_foreign_one_have_no_match(index: Index) -> None:
    assert attribute(b"", index) == []
    assert attribute(b"a b c", index) == []
    assert attribute(code(1234).encode(), index) == []


def test_an_edited_copy_is_near(index: Index) -> None:
    lines = code(3).splitlines()
    lines[4] = "something else"
    lines.insert(9, "inserted = 1")
    query = "\n".join(lines).encode()
    [best] = attribute(query, index)
    assert (best.kind, best.source.path) == (MatchKind.NEAR, "f3.py")
    assert 0.9 < best.similarity < 1
    assert (best.query.start_line, best.query.end_line) == (1, len(lines))
    assert (
        attribute(query, index, SearchOptions(kinds=frozenset({MatchKind.EXACT})))[0].kind is MatchKind.EXACT
    )


@pytest.mark.parametrize(
    "names",
    [
        {"interval": "span", "merged": "result"},
        {
            "interval": "a",
            "merged": "b",
            "intervals": "c",
            "ordered": "d",
            "merge_intervals": "e",
            "Interval": "F",
        },
    ],
)
def test_a_renamed_copy_is_renamed(index: Index, names: dict[str, str]) -> None:
    query = re.sub(r"\w+", lambda word: names.get(word[0], word[0]), RENAMEABLE).encode()
    [best] = attribute(query, index)
    assert (best.kind, best.source.path) == (MatchKind.RENAMED, "merge.py")
    assert best.query.end_line - best.query.start_line == 10
    assert attribute(query, index, SearchOptions(kinds=frozenset({MatchKind.EXACT}))) == []


def test_the_same_shape_with_names_mixed_up_is_no_copy(index: Index) -> None:
    words = iter(range(10_000))
    query = re.sub(r"\b[a-z_]{5,}\b", lambda _: f"n{next(words)}", RENAMEABLE).encode()
    assert attribute(query, index) == []


def test_copies_are_grouped_and_counted(tmp_path: Path) -> None:
    header = code(7, lines=6)
    documents = [document(f"o/r{n:02}", "x.py", header + code(20 + n)) for n in range(5)]
    documents += [document("a/copy", f"{n}.py", documents[0].text) for n in range(3)]
    opened = open_index(index_of(tmp_path, documents))
    [match] = attribute(header.encode(), opened)
    assert match.also_in == 7
    assert match.source.repository == "a/copy"
    assert not match.common
    opened.close()


def test_code_is_common_if_many_texts_hold_it(tmp_path: Path) -> None:
    shared = code(7, lines=6)
    documents = [document(f"o/r{n:02}", "x.py", shared + code(100 + n)) for n in range(30)]
    opened = open_index(index_of(tmp_path, [*documents, document("o/rare", "y.py", code(8))]))
    # Only ten are compared.
    [match] = attribute(shared.encode(), opened, SearchOptions(verified=3))
    assert (match.also_in, match.files, match.common) == (2, 30, True)
    [rare] = attribute(code(8).encode(), opened)
    assert (rare.files, rare.common) == (1, False)
    opened.close()


def test_what_is_the_users_own_comes_last_and_is_named(tmp_path: Path) -> None:
    text = code(7)
    documents = [document("me/mine", "a.py", text), document("o/other", "b.py", text + code(9))]
    opened = open_index(index_of(tmp_path, [*documents, document("me/mine", "c.py", code(8))]))

    def own(source: Source) -> bool:
        return source.repository == "me/mine"

    found = attribute((text + "\n" + code(8)).encode(), opened, own=own)
    assert [(one.source.path, one.is_own) for one in found if one.tokens > 200] == [
        ("b.py", False),
        ("a.py", True),
        ("c.py", True),
    ]
    assert found[0].holders == (documents[1].source,)
    opened.close()


def test_a_long_file_with_a_short_copy_in_it(index: Index) -> None:
    stolen = "\n".join(code(5).splitlines()[10:16])
    query = (code(5000, lines=399) + "separator\n" + stolen + "\n" + code(5001, lines=400)).encode()
    [match] = attribute(query, index)
    assert (match.source.path, match.query.start_line, match.source_span.start_line) == ("f5.py", 401, 11)


def test_several_copies_in_one_query(index: Index) -> None:
    query = (code(2) + code(900) + code(6)).encode()
    assert {match.source.path for match in attribute(query, index)} == {"f2.py", "f6.py"}


def test_repetitive_text_is_quick_and_right(tmp_path: Path) -> None:
    opened = open_index(index_of(tmp_path, [document("a/table", "t.py", "x = [" + "0, " * 60_000 + "]")]))
    assert attribute(b"0, " * 300, opened) == []
    [match] = attribute(b"0, " * 300, opened, SearchOptions(boilerplate=True))
    assert (match.tokens, match.boilerplate) == (600, Boilerplate.NUMBERS)
    opened.close()


def test_questions_that_make_no_sense_are_refused() -> None:
    with pytest.raises(AttributionError, match="min_tokens 3"):
        SearchOptions(min_tokens=3)
    with pytest.raises(AttributionError, match="limit 0"):
        SearchOptions(limit=0)


def test_kept_tokens_change_no_answer_and_stay_within_their_limit(index: Index) -> None:
    kept = Lexed(max_tokens=500)
    assert len(lex(DOCUMENTS[0].text)) < 500 < len(lex(DOCUMENTS[0].text)) + len(lex(DOCUMENTS[1].text))
    for one in (*DOCUMENTS, *DOCUMENTS[::-1]):
        assert attribute(one.text, index, AUTOMATIC, kept) == attribute(one.text, index, AUTOMATIC)
        assert 0 < kept.kept_tokens <= 500


def test_tokens_are_kept_for_the_next_question(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    lexed: list[int] = []

    def counting(texts: Sequence[bytes]) -> TokenBatch:
        lexed.append(len(texts))
        return lex_batch(texts)

    monkeypatch.setattr(lexed_texts, "lex_batch", counting)
    kept = Lexed(max_tokens=10_000)
    for _ in range(3):
        attribute(DOCUMENTS[2].text, index, AUTOMATIC, kept)
    assert lexed == [1]


@pytest.mark.parametrize(("number", "has", "types"), [(8, b"\r\n", b"\n"), (0, b"\n", b"\r\n")])
def test_an_editors_line_ends_leave_a_copy_exact(index: Index, number: int, has: bytes, types: bytes) -> None:
    text = DOCUMENTS[number].text
    assert has in text
    best = attribute(text.replace(has, types), index)[0]
    assert (best.source, best.kind) == (DOCUMENTS[number].source, MatchKind.EXACT)
    ours, theirs = bytes_of(best, text.replace(has, types))
    assert ours.splitlines() == theirs.splitlines()
