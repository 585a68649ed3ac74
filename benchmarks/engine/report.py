"""The figures as a table with ratios, the memory's limit beside them, and as a picture."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from benchmarks.engine.contender import Cell
from benchmarks.engine.start import Start
from model.families.config import ModelConfig

_PROBE_BYTES = 2**30


def limits(config: ModelConfig, *, threads: int, device: str = "cpu") -> dict[str, float]:
    """Milliseconds in which the weights of a token pass from memory to the processor, by their size."""
    weights = config.n_multiplying
    if device == "cuda":
        return {"16 bits": 2 * weights / _gpu_bandwidth() * 1e3}
    bandwidth = _bandwidth(threads)
    return {"8 bits": weights / bandwidth * 1e3, "16 bits": 2 * weights / bandwidth * 1e3}


def _gpu_bandwidth() -> float:
    """Bytes a second that a copy within the GPU's memory reads and writes."""
    source = torch.ones(_PROBE_BYTES, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    least_ms = float("inf")
    for _ in range(8):
        began, ended = (
            torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            for _ in range(2)
        )
        began.record()
        target.copy_(source)
        ended.record()
        ended.synchronize()
        least_ms = min(least_ms, began.elapsed_time(ended))
    return 2 * _PROBE_BYTES / least_ms * 1e3


def _bandwidth(threads: int) -> float:
    """Bytes a second that all threads read together from a set that no cache holds."""
    numbers = torch.ones(_PROBE_BYTES // 4)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    least = float("inf")
    for _ in range(8):
        began = time.perf_counter()
        numbers.sum()
        least = min(least, time.perf_counter() - began)
    torch.set_num_threads(before)
    return _PROBE_BYTES / least


def markdown(
    cells: Sequence[Cell], starts: Sequence[Start], bounds: Mapping[str, float], *, title: str
) -> str:
    """Median (p95) milliseconds, and how many times ours is faster than each peer at its best."""
    names = list(dict.fromkeys(cell.contender for cell in cells))
    tasks = list(dict.fromkeys(cell.task for cell in cells))
    found = {(cell.task, cell.contender): cell for cell in cells}
    lines = [
        f"### {title}",
        "",
        "| ms, median (p95) | " + " | ".join(names) + " |",
        "|---" * (len(names) + 1) + "|",
    ]
    for task in tasks:
        row = [found[task, name] for name in names]
        lines.append(
            f"| {task} | " + " | ".join(f"{_shown(c.median_ms)} ({_shown(c.p95_ms)})" for c in row) + " |"
        )
    if starts:
        by_name = {start.contender: start for start in starts}
        row_s = [f"{by_name[name].seconds:.2f} s" if name in by_name else "" for name in names]
        lines.append("| process start to first token | " + " | ".join(row_s) + " |")
        row_mb = [f"{by_name[name].peak_mb:,.0f} MB" if name in by_name else "" for name in names]
        lines.append("| peak memory | " + " | ".join(row_mb) + " |")
    lines += ["", *_ratios(found, names, tasks)]
    if bounds:
        said = ", ".join(f"{_shown(ms)} ms in {size}" for size, ms in bounds.items())
        lines += ["", f"Reading every weight once from memory takes {said}."]
    return "\n".join(lines)


def _shown(number: float) -> str:
    """Three digits that count, never an exponent."""
    return f"{float(f'{number:.3g}'):,.10g}"


def _ratios(found: Mapping[tuple[str, str], Cell], names: Sequence[str], tasks: Sequence[str]) -> list[str]:
    ours = [name for name in names if name.startswith("ours")]
    peers = [name for name in names if not name.startswith("ours")]
    if not ours or not peers:
        return []
    lines = ["| times as fast as | " + " | ".join(peers) + " |", "|---" * (len(peers) + 1) + "|"]
    for task in tasks:
        best = min(found[task, name].median_ms for name in ours)
        row = [f"{found[task, name].median_ms / best:.1f}" for name in peers]
        lines.append(f"| {task} | " + " | ".join(row) + " |")
    return lines


def draw(cells: Sequence[Cell], path: Path, *, title: str) -> None:
    """Bars for every task, on a logarithmic scale."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = list(dict.fromkeys(cell.contender for cell in cells))
    tasks = list(dict.fromkeys(cell.task for cell in cells))
    found = {(cell.task, cell.contender): cell.median_ms for cell in cells}
    figure, axes = pyplot.subplots(figsize=(10, 1.1 * len(tasks) + 1.5), layout="constrained")
    height = 0.85 / len(names)
    for number, name in enumerate(names):
        at = [place + (number - (len(names) - 1) / 2) * height for place in range(len(tasks))]
        values = [found[task, name] for task in tasks]
        bars = axes.barh(at, values, height, label=name)
        axes.bar_label(bars, [f" {_shown(value)}" for value in values], fontsize=6)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.margins(x=0.08, y=0.02)
    axes.set_xlabel("milliseconds (less is better)")
    axes.set_yticks(range(len(tasks)), tasks)
    axes.invert_yaxis()
    figure.legend(fontsize=7, loc="outside lower center", ncols=4)
    axes.set_title(title)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
