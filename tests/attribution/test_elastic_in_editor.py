"""The language server's questions to an index on a real Elasticsearch."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from attribution.store.open import open_writer
from attribution.store.opt_outs import OptOut
from lsp.sources.store import AttributionStore, Where
from tests.attribution.samples import index_of
from tests.lsp.indexed import FILES, NEW, documents, excerpt

COPIED = excerpt("lsp/completion/type_through.py", "def type_through", "def _typed").encode()


@pytest.fixture
def store(elastic_url: str) -> Iterator[AttributionStore]:
    index_of(elastic_url, documents())
    made = AttributionStore(Where(index=elastic_url))
    yield made
    made.close()


@pytest.mark.parametrize("by_hand", [True, False])
def test_found_and_not_found(store: AttributionStore, by_hand: bool) -> None:
    answer = store.search(COPIED, by_hand=by_hand)
    (finding,) = answer.findings
    assert (answer.kind, answer.documents) == ("index", len(FILES))
    assert finding.match is not None
    assert (finding.match.source.repository, finding.match.source.license) == ("alice/gate", "MIT")
    assert COPIED in (store.text_of(finding.match) or b"")
    assert store.search(NEW.encode(), by_hand=by_hand).findings == ()


def test_removal_counts_from_the_next_question_on(store: AttributionStore, elastic_url: str) -> None:
    assert store.search(COPIED, by_hand=False).findings
    with open_writer(elastic_url, create=False) as writer:
        writer.remove([OptOut(owner="alice")])
    assert not store.search(COPIED, by_hand=False).findings


def test_an_index_that_is_not_there_yet(elastic_url: str) -> None:
    store = AttributionStore(Where(index=elastic_url))
    answer = store.search(COPIED, by_hand=True)
    assert answer.kind == "none"
    assert f"starcoder-lsp index build SOURCES… --into {elastic_url}" in answer.lack
    index_of(elastic_url, documents())
    assert store.search(COPIED, by_hand=True).findings
    store.close()
