"""The loss curve of a run as a picture, from its log."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training.loop.run_log import read_log

_SMOOTHING_SHARE = 0.02


def plot_loss(log: Path, picture: Path) -> None:
    """Training loss (raw and smoothed) and held-out bits per byte, over tokens."""
    from matplotlib.figure import Figure  # slow to import; no pyplot, which would keep global state

    records = list(read_log(log))
    steps = [record for record in records if record["kind"] == "step"]
    evaluations = [record for record in records if record["kind"] == "held_out"]
    if len(steps) < 2:
        return
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    _plot_training(left, steps)
    _plot_held_out(right, evaluations)
    figure.savefig(picture, dpi=110)


def _plot_training(axes: Any, steps: Sequence[dict[str, Any]]) -> None:
    tokens = np.array([step["tokens"] for step in steps]) / 1e6
    loss = np.array([step["loss"] for step in steps])
    width = max(1, int(len(loss) * _SMOOTHING_SHARE))
    axes.plot(tokens, loss, color="0.8", linewidth=0.6)
    axes.plot(tokens[width - 1 :], np.convolve(loss, np.ones(width) / width, mode="valid"), color="tab:blue")
    axes.set(xlabel="million tokens", ylabel="training loss, nats a token", title="training")
    axes.set_ylim(float(loss.min()) - 0.1, float(np.quantile(loss, 0.98)) + 0.1)
    axes.grid(alpha=0.3)


def _plot_held_out(axes: Any, evaluations: Sequence[dict[str, Any]]) -> None:
    languages = sorted({name for record in evaluations for name in record["bits_per_byte"]})
    for language in languages:
        points = [
            (r["tokens"] / 1e6, r["bits_per_byte"][language])
            for r in evaluations
            if language in r["bits_per_byte"]
        ]
        axes.plot(*zip(*points, strict=True), marker=".", label=language)
    axes.set(xlabel="million tokens", ylabel="bits a byte", title="held-out packages")
    axes.grid(alpha=0.3)
    if languages:
        axes.legend(fontsize="small")
