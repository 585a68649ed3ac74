"""The picture of growth: build time and check time against the size of the corpus."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.attribution.report import Figures

PICTURE = "attribution-growth.png"


def draw_growth(growth: Sequence[Figures], folder: Path) -> Path:
    """Two panels beside each other: seconds of a build, milliseconds of a check."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    points = [(one.built, one.answers["verbatim"]) for one in growth]
    sizes = [built.megabytes for built, _ in points]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    left.plot(sizes, [built.wall_s for built, _ in points], "o-", label="by the clock")
    left.plot(sizes, [built.cpu_s or 0.0 for built, _ in points], "s--", label="of one core")
    left.set(title="Building the index", ylabel="seconds")
    for share, style in (("p95", "-"), ("p50", "--")):
        right.plot(
            sizes,
            [asked[f"{share}_ms"] for _, asked in points],
            "o" + style,
            color="C0",
            label=f"{share}, by the clock",
        )
        right.plot(
            sizes,
            [asked[f"{share}_cpu_ms"] for _, asked in points],
            "s" + style,
            color="C1",
            label=f"{share}, of one core",
        )
    right.set(title="Checking 20 lines, ten candidates verified", ylabel="milliseconds")
    for axes in (left, right):
        axes.set(xlabel="MB of source", xlim=(0, None), ylim=(0, None))
        axes.set_xticks(sizes, labels=[f"{size:.3g}" for size in sizes])
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.18))
        axes.spines[["top", "right"]].set_visible(False)
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / PICTURE, dpi=150)
    plt.close(figure)
    return folder / PICTURE
