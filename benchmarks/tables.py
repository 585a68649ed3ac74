"""Markdown that benchmarks write: tables, and a page's sections between marks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

MODELS_PAGE = Path(__file__).resolve().parents[1] / "docs" / "models.md"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table's lines."""
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def put_section(page: Path, name: str, markdown: str) -> None:
    """Replace what stands on a page between `<!-- name -->` and `<!-- /name -->`. Raises `ValueError` if it
    has no such lines."""
    text = page.read_text(encoding="utf-8")
    page.write_text(with_section(text, name, markdown, page=str(page)), encoding="utf-8")


def with_section(text: str, name: str, markdown: str, *, page: str = "the page") -> str:
    """The text with the section replaced. Raises `ValueError` if it has no such lines."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    pattern = re.compile(f"{re.escape(begin)}.*{re.escape(end)}", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"{page} has no lines {begin} and {end} to put the tables between")
    return pattern.sub(lambda _: f"{begin}\n{markdown.rstrip()}\n{end}", text)
