"""Any 32 tokens of an indexed file are found, whatever their white space, to the byte, on both stores.

The files are real ones. What a match says is checked by a regular expression and the bytes themselves.
"""

from __future__ import annotations

import re
import sysconfig
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from attribution.match.attribute import AUTOMATIC, SearchOptions, attribute
from attribution.source import Match, MatchKind, SourceDocument, Span
from attribution.store.contract import Index
from attribution.store.open import open_index
from tests.attribution.conftest import fresh_name
from tests.attribution.samples import code, document, index_of

ROOT = Path(__file__).resolve().parents[3]
# What says little is found too, and left out by default.
ALL = SearchOptions(boilerplate=True)
STANDARD_LIBRARY = Path(sysconfig.get_paths()["stdlib"])
# Prose, tables, classes, generated code, and one of a megabyte with hardly a line that is short.
FILES = ["argparse.py", "difflib.py", "typing.py", "_pydecimal.py", "inspect.py", "turtle.py"]
FILES += ["html/entities.py", "pydoc_data/topics.py", "json/decoder.py", "unittest/mock.py"]
FILES += ["encodings/cp1252.py", "email/_header_value_parser.py"]
WITH_CRLF = ["configparser.py", "smtplib.py", "tarfile.py"]
WITH_CR = ["gettext.py"]
OURS = ["README.md", "extension/package.json", "Makefile", "docs/attribution.md"]
TOKEN = re.compile(rb"[\w\x80-\xff]+|[^\w\s]")
SPACES = [b" ", b"\n", b"\r\n", b"\r", b"\t", b"\f", b"\v", b"  \n\n "]


def real_documents() -> list[SourceDocument]:
    texts = {name: (STANDARD_LIBRARY / name).read_bytes() for name in (*FILES, *WITH_CRLF, *WITH_CR)}
    texts |= {name: (ROOT / name).read_bytes() for name in OURS}
    texts |= {name: re.sub(rb"\r?\n", b"\r\n", texts[name]) for name in WITH_CRLF}
    texts |= {name: re.sub(rb"\r?\n", b"\r", texts[name]) for name in WITH_CR}
    # UTF-8, and what is no UTF-8 at all.
    texts["größe.py"] = "".join(
        f"Größe_{n} = berechne(Länge[{n}], 'naïve — 漢字\u2028\u00a0', öffne={n * 7})\r\n" for n in range(40)
    ).encode()
    texts["latin1.c"] = (
        texts["größe.py"].decode().replace("Größe", "Straße").encode("latin-1", errors="replace")
    )
    texts["no-newline-at-the-end.py"] = code(1, lines=12).encode().rstrip()
    return [document("real/files", name, text) for name, text in texts.items()]


DOCUMENTS = real_documents()
TEXTS = {one.source.path: one.text for one in DOCUMENTS}
PLACES = {path: [match.span() for match in TOKEN.finditer(text)] for path, text in TEXTS.items()}


@pytest.fixture(scope="module", params=["embedded", "elasticsearch"])
def index(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    if request.param == "embedded":
        opened = open_index(index_of(tmp_path_factory.mktemp("slices") / "index", DOCUMENTS))
        yield opened
        opened.close()
        return
    for url in fresh_name(request.getfixturevalue("server")):
        opened = open_index(index_of(url, DOCUMENTS))
        yield opened
        opened.close()


@st.composite
def slices(draw: st.DrawFn, max_tokens: int = 400) -> tuple[str, bytes]:
    """The path of a document and at least 32 of its tokens, as they stand there."""
    path = draw(st.sampled_from(sorted(PLACES)))
    places = PLACES[path]
    first = draw(st.integers(0, len(places) - 32))
    last = draw(st.integers(first + 32, min(len(places), first + max_tokens)))
    return path, TEXTS[path][places[first][0] : places[last - 1][1]]


def reformatted(text: bytes, dice: Random) -> bytes:
    """The same tokens with other white space, none where none is needed."""
    tokens = TOKEN.findall(text)
    parts = [dice.choice([b"", *SPACES])]
    for token, following in zip(tokens, [*tokens[1:], b"."], strict=True):
        both_words = is_word(token) and is_word(following)
        parts += [token, dice.choice(SPACES if both_words else [b"", *SPACES])]
    return b"".join(parts)


def is_word(token: bytes) -> bool:
    return re.fullmatch(rb"[\w\x80-\xff]+", token) is not None


def at(span: Span, text: bytes) -> bytes:
    """The bytes of a span, which stand in the lines that it names, by their number."""
    found = text[span.start_byte : span.end_byte]
    ends = [len(line) for line in text.splitlines(keepends=True)]
    start_byte = sum(ends[: span.start_line - 1])
    assert start_byte <= span.start_byte < start_byte + ends[span.start_line - 1]
    before_last = sum(ends[: span.end_line - 1])
    assert before_last < span.end_byte <= before_last + ends[span.end_line - 1]
    return found


def both_sides(match: Match, query: bytes) -> tuple[bytes, bytes]:
    return at(match.query, query), at(match.source_span, TEXTS[match.source.path])


def check_claims(matches: list[Match], query: bytes) -> None:
    """What matches say is so, to the byte."""
    for match in matches:
        ours, theirs = both_sides(match, query)
        if match.kind is MatchKind.EXACT:
            assert ours == theirs
        elif match.kind is MatchKind.REFORMATTED:
            assert ours != theirs
            assert TOKEN.findall(ours) == TOKEN.findall(theirs)
        if match.kind in {MatchKind.EXACT, MatchKind.REFORMATTED}:
            assert match.tokens == len(TOKEN.findall(ours))


@pytest.mark.parametrize("question", [replace(AUTOMATIC, boilerplate=True), ALL], ids=["automatic", "manual"])
@given(taken=slices(), dice=st.randoms(use_true_random=False))
def test_any_slice_is_found_whatever_its_white_space(
    index: Index, question: SearchOptions, taken: tuple[str, bytes], dice: Random
) -> None:
    _, text = taken
    query = reformatted(text, dice)
    matches = attribute(query, index, question)
    check_claims(matches, query)
    # The same tokens may stand elsewhere too: then whichever is named has to hold all of them.
    ours, theirs = both_sides(matches[0], query)
    assert TOKEN.findall(ours) == TOKEN.findall(theirs) == TOKEN.findall(text)
    assert matches[0].tokens == len(TOKEN.findall(text))


@given(taken=slices(), before=st.text(max_size=30), after=st.text(max_size=30))
def test_spans_are_byte_exact_on_both_sides(
    index: Index, taken: tuple[str, bytes], before: str, after: str
) -> None:
    _, text = taken
    query = before.encode() + b"\n" + text + b"\r\n" + after.encode()
    matches = attribute(query, index, ALL)
    check_claims(matches, query)
    start = len(before.encode()) + 1
    best = matches[0]
    assert best.query.start_byte <= start
    assert best.query.end_byte >= start + len(text)
    if best.kind is MatchKind.EXACT:
        assert text in both_sides(best, query)[1]


@given(
    taken=slices(max_tokens=60),
    others=st.tuples(st.integers(0, 99), st.integers(100, 199)),
    lines=st.integers(1, 60),
)
def test_a_slice_is_found_in_the_middle_of_other_code(
    index: Index, taken: tuple[str, bytes], others: tuple[int, int], lines: int
) -> None:
    _, text = taken
    before, after = (code(5000 + seed, lines=lines).encode() for seed in others)
    query = before + text + b"\n" + after
    matches = attribute(query, index, ALL)
    check_claims(matches, query)
    inside = [
        match
        for match in matches
        if match.query.start_byte <= len(before) and match.query.end_byte >= len(before) + len(text)
    ]
    assert inside


@st.composite
def written(draw: st.DrawFn) -> list[bytes]:
    """Texts of anything: letters of all scripts, marks, any bytes, any white space."""
    word = st.one_of(st.text(min_size=1, max_size=6).map(str.encode), st.binary(min_size=1, max_size=4))
    words = st.lists(word, min_size=40, max_size=120)
    return [draw(st.sampled_from(SPACES)).join(draw(words)) for _ in range(draw(st.integers(1, 3)))]


@settings(max_examples=40)
@given(texts=written(), dice=st.randoms(use_true_random=False), data=st.data())
def test_any_text_at_all_is_found_to_the_byte(texts: list[bytes], dice: Random, data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(texts))
    places = [match.span() for match in TOKEN.finditer(text)]
    assume(len(places) >= 32)
    first = data.draw(st.integers(0, len(places) - 32))
    piece = text[places[first][0] : places[data.draw(st.integers(first + 31, len(places) - 1))][1]]
    with TemporaryDirectory() as folder:
        documents = [document("any/text", str(number), text) for number, text in enumerate(texts)]
        index = open_index(index_of(folder, documents))
        for query in (piece, reformatted(piece, dice)):
            best = attribute(query, index, replace(AUTOMATIC, boilerplate=True))[0]
            theirs = at(best.source_span, texts[int(best.source.path)])
            assert TOKEN.findall(theirs) == TOKEN.findall(piece)
            assert at(best.query, query) == query.strip(b" \t\n\r\f\v")
            assert (best.kind is MatchKind.EXACT) is (theirs == at(best.query, query))
            if times(texts, piece) == 1:
                assert theirs == piece
        index.close()


def times(texts: list[bytes], piece: bytes) -> int:
    """How often the tokens of a piece stand in the texts."""
    wanted = TOKEN.findall(piece)
    everything = [TOKEN.findall(text) for text in texts]
    return sum(tokens[at : at + len(wanted)] == wanted for tokens in everything for at in range(len(tokens)))
