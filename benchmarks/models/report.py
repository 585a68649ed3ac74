"""The figures of all models as a table, a picture and a page's section. Owns the file that keeps them.

Models are measured one by one, for hours: the file keeps those that a run does not name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.models.measure import HEALED, LLAMA, NOT_HEALED, PROGRAMS, interval
from benchmarks.replay.report import OURS
from benchmarks.tables import MODELS_PAGE, put_section, table
from training.evaluate.measure import SPAN_FILES

FIGURES = MODELS_PAGE.with_suffix(".json")
PICTURE = MODELS_PAGE.with_suffix(".png")
_NONE = "–"

Figures = dict[str, dict[str, Any]]
"""By model, then by part: `quality`, `text`, `keys`."""


def kept(file: Path) -> Figures:
    """What earlier runs found."""
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def keep(file: Path, figures: Figures) -> None:
    """Write all figures."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def merged(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """A model's figures, those of this run in the place of earlier ones of the same sets."""
    parts = before | now
    if "quality" in before:
        for kind in ("infilling", "programs"):
            parts["quality"][kind] = before["quality"][kind] | now["quality"][kind]
    return parts


def markdown(figures: Figures) -> str:
    """All tables."""
    machines = sorted({parts["machine"] for parts in figures.values()})
    lines = [f"{'; '.join(machines)}. ± is the 95 % interval of so many problems.", ""]
    head = ["model", "order", *(f"{kind}: {HEALED}; {NOT_HEALED} / {LLAMA}" for kind in SPAN_FILES)]
    lines += table([*head, *(f"{name} pass@1" for name in PROGRAMS)], map(_quality_row, figures.items()))
    lines += ["", *table(_TEXT_HEAD, map(_text_row, figures.items()))]
    lines += [f"\n{model}: left out {'; '.join(left)}." for model, left in _left_out(figures).items()]
    return "\n".join(lines)


def into_docs(figures: Figures) -> None:
    """Put the tables into the page in docs/, and the picture beside it once there is something to draw."""
    if points(figures):
        draw(figures, PICTURE)
    put_section(MODELS_PAGE, "quality", section(figures))


def section(figures: Figures) -> str:
    """The tables and the picture, as they stand on the page."""
    picture = f"\n\n![Quality against latency on this machine]({PICTURE.name})" if points(figures) else ""
    return markdown(figures) + picture


def _quality_row(item: tuple[str, Mapping[str, Any]]) -> list[str]:
    model, parts = item
    quality = parts["quality"]
    spans = [_span(quality["infilling"].get(kind, {})) for kind in SPAN_FILES]
    programs = [_passed(quality["programs"].get(name)) for name in PROGRAMS]
    return [model, quality["order"], *spans, *programs]


def _span(scores: Mapping[str, Mapping[str, Any]]) -> str:
    if not scores:
        return _NONE
    beside = _NONE if LLAMA not in scores else f"{100 * scores[LLAMA]['exact_match']:.1f}"
    return f"{_exactly(scores[HEALED])}; {_exactly(scores[NOT_HEALED])} / {beside}"


def _exactly(score: Mapping[str, Any]) -> str:
    share, n = score["exact_match"], score["n_problems"]
    return f"{100 * share:.1f} ± {100 * interval(share, n):.1f} ({n:,})"


def _passed(score: Mapping[str, Any] | None) -> str:
    if score is None:
        return _NONE
    share, n = score["pass@1"], score["n_problems"]
    return f"{100 * share:.1f} ± {100 * interval(share, n):.1f} ({n:,})"


_TEXT_HEAD = [
    "model",
    "in our engine",
    "tokens",
    "perplexity, ours / llama.cpp",
    "ratio",
    "same next token",
    "key to first text, p50 (p95) ms, ours / llama.vscode",
]


def _text_row(item: tuple[str, Mapping[str, Any]]) -> list[str]:
    model, parts = item
    text, keys = parts.get("text"), parts.get("keys")
    row = [model, parts["quality"]["description"]["quantize"]]
    if text is None:
        row += [_NONE] * 4
    else:
        ours, theirs = text["perplexity"].values()
        row += [f"{text['n_tokens']:,}", f"{ours:.3f} / {theirs:.3f}", f"{ours / theirs:.4f}"]
        row.append(f"{100 * text['same_token']:.1f} %")
    said = (f"{one['p50_ms']:,.0f} ({one['p95_ms']:,.0f})" for one in (keys or {}).values())
    return [*row, " / ".join(said) or _NONE]


def _left_out(figures: Figures) -> dict[str, list[str]]:
    return {
        model: parts["quality"]["left_out"]
        for model, parts in figures.items()
        if parts["quality"]["left_out"]
    }


def points(figures: Figures) -> dict[str, list[tuple[str, float, float]]]:
    """By editor: models, the median of a key's time, and the percentage of single lines filled exactly."""
    found: dict[str, list[tuple[str, float, float]]] = {}
    for model, parts in figures.items():
        scores = parts["quality"]["infilling"].get("single-line", {})
        for editor, keys in parts.get("keys", {}).items():
            who = HEALED if editor == OURS else LLAMA
            if who in scores:
                name = editor.partition(",")[0]
                found.setdefault(name, []).append((model, keys["p50_ms"], 100 * scores[who]["exact_match"]))
    return found


def draw(figures: Figures, path: Path) -> None:
    """Quality against latency, ours beside llama.vscode's."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for name, each in points(figures).items():
        models, times_ms, shares = zip(*each, strict=True)
        axes.scatter(times_ms, shares, label=name)
        for place in zip(models, times_ms, shares, strict=True):
            axes.annotate(place[0], place[1:], xytext=(5, 5), textcoords="offset points", fontsize=8)
    axes.set(xscale="log", ylim=(0, None), title="Quality against latency on this machine")
    axes.set(xlabel="from a key to the first text, median ms (less is better)")
    axes.set(ylabel="HumanEval single lines filled exactly, %")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)
    plt.close(figure)
