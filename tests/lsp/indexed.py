"""A small attribution index of real files: this project's own, under other owners' names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attribution.source import SourceDocument
from tests.attribution.samples import document, index_of

ROOT = Path(__file__).parents[2]
REVISION = "0123abc"
# path in this checkout -> (repository, licence)
FILES = {
    "lsp/completion/type_through.py": ("alice/gate", "MIT"),
    "model/local/gitignore.py": ("bob/ignore", "GPL-3.0-only"),
    "lsp/documents/debounce.py": ("carol/timing", "MIT OR Apache-2.0"),
    "lsp/context/ring.py": ("carol/timing", "MIT OR Apache-2.0"),
    "model/runner/sampling.py": ("dave/dice", None),
    "attribution/tokens/shape.py": ("erin/shapes", "BSD-3-Clause"),
}
NEW = '''def tariff(zone, weight_kg, fragile=False):
    """The price of a parcel in cents: three zones, a surcharge for glass."""
    base = {"near": 390, "land": 540, "far": 1290}[zone]
    per_kg = 35 if zone == "far" else 12
    return base + per_kg * max(0, weight_kg - 2) + (250 if fragile else 0)
'''


def text_of(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def excerpt(path: str, start: str, end: str) -> str:
    """The lines from the one that begins with `start` up to the one before `end`."""
    text = "\n" + text_of(path)
    begin = text.index("\n" + start) + 1
    return text[begin : text.index("\n" + end, begin)].rstrip() + "\n"


def documents() -> list[SourceDocument]:
    return [
        document(
            repository,
            path,
            text_of(path),
            license=licence,
            revision=REVISION,
            url=f"https://example.com/{repository}/blob/{REVISION}/{path}",
        )
        for path, (repository, licence) in FILES.items()
    ]


def build_index(folder: Path) -> Path:
    index_of(folder, documents())
    return folder


def options(index: Path | str | None, **attribution: Any) -> dict[str, Any]:
    """Settings with an index, and no engine (nobody listens there)."""
    given = {"index": str(index)} if index is not None else {}
    return {
        "engine": {"url": "http://127.0.0.1:9", "fimTemplate": "suffix"},
        "attribution": given | attribution,
    }
