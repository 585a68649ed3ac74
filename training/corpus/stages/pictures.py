"""The datasheet's pictures: bars, and sizes of groups of duplicates."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_BARS = 20


def draw_bars(values: Mapping[str, float], picture: Path, *, title: str, label: str, unit: float) -> None:
    """Horizontal bars, the longest first; `label` names the axis, whose numbers are divided by `unit`."""
    largest = sorted(values.items(), key=lambda item: item[1], reverse=True)[:_BARS]
    names = [name if len(name) <= 48 else name[:45] + "…" for name, _ in largest]
    figure, axes = _figure(height=1.1 + 0.26 * max(3, len(largest)))
    axes.barh(names, [value / unit for _, value in largest], color="tab:blue")
    axes.invert_yaxis()
    more = f", the largest {_BARS} of {len(values)}" if len(values) > _BARS else ""
    axes.set(xlabel=label, title=title + more)
    axes.grid(axis="x", alpha=0.3)
    _save(figure, picture)


def draw_clusters(clusters: Mapping[int, int], picture: Path) -> None:
    """How many groups of duplicates have how many members, on two logarithmic axes."""
    figure, axes = _figure(height=3.6)
    axes.loglog(list(clusters), list(clusters.values()), "o", markersize=4)
    axes.set(xlabel="documents in a group", ylabel="groups", title="equal and similar documents")
    axes.grid(alpha=0.3, which="both")
    _save(figure, picture)


def _figure(height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure  # slow to import; no pyplot, which would keep global state

    figure = Figure(figsize=(8, height), layout="constrained")
    return figure, figure.subplots()


def _save(figure: Any, picture: Path) -> None:
    # The library would write its version and the date: the same corpus must give the same file.
    figure.savefig(picture, dpi=100, metadata={"Software": None})
