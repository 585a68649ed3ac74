"""Language families."""

from __future__ import annotations

import pytest

from lsp.documents.languages import family, relatedness


def test_families() -> None:
    assert family("python") == "python"
    assert family("typescriptreact") == "script"
    assert family("rust") == "c"
    assert family("haskell") is None


@pytest.mark.parametrize(("first", "second"), [("c", "cpp"), ("typescript", "javascript"), ("json", "yaml")])
def test_relations_go_both_ways(first: str, second: str) -> None:
    assert relatedness(first, first) == 1.0
    assert relatedness(first, second) == relatedness(second, first) == 0.7
    assert relatedness(first, "haskell") == 0.3
