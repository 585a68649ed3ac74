"""A report of what `measure` found: Markdown, the same as JSON, and a picture, beside the paper's table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.evaluate.measure import CONTEXTS
from training.evaluate.paper import PUBLISHED

_NONE = "–"


def write_report(result: Mapping[str, Any], target: Path, command: str) -> None:
    """Write `target` (.md), and beside it the same name with .json and .png."""
    target.parent.mkdir(parents=True, exist_ok=True)
    data = json.dumps({"command": command, **result}, indent=2, ensure_ascii=False)
    target.with_suffix(".json").write_text(data + "\n", encoding="utf-8")
    plot(result, target.with_suffix(".png"))
    target.write_text(markdown(result, command, target.with_suffix(".png").name), encoding="utf-8")


def markdown(result: Mapping[str, Any], command: str, picture: str) -> str:
    """The report as text."""
    sections = [
        f"# Evaluation of `{result['model']}`",
        f"Made by:\n\n<!-- not run: takes hours -->\n```sh\n{command}\n```",
        f"{_effort(result)}",
        f"![The model beside the paper's]({picture})",
        "## Beside the paper\n\n" + _beside_paper(result),
        "## Programs with tests\n\n" + _tested(result["tested"]),
        "## Infilling\n\n" + _infilling(result["infilling"]),
    ]
    if "lines" in result:
        sections += ["## Lines of held-out files\n\n" + _lines(result["lines"])]
    if "perplexity" in result:
        sections += ["## Perplexity against context\n\n" + _perplexity(result)]
    if result["left_out"]:
        sections += ["## Left out\n\n" + "\n".join(f"- {what}" for what in result["left_out"])]
    return "\n\n".join(sections) + "\n"


def _effort(result: Mapping[str, Any]) -> str:
    effort = result["effort"]
    counts = ", ".join(f"{title} {score['n_problems']}" for title, score in result["tested"].items())
    paper = "" if effort["samples"] >= 200 else " (the paper takes 200, so these figures are coarser)"
    return (
        f"{effort['samples']} samples of each problem{paper}, temperature {effort['temperature']}, "
        f"top-p {effort['top_p']}, at most {effort['max_new_tokens']} new tokens; "
        f"problems, evenly spread: {counts or 'none'}. Infilling and lines are greedy."
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    marks = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, marks, *rows))


def _percent(share: float | None) -> str:
    return _NONE if share is None else f"{100 * share:.1f}"


def own_figures(result: Mapping[str, Any]) -> dict[str, float | None]:
    """The model's own figures in the paper's columns, as shares."""
    line = result["infilling"].get("single-line", {})
    tested = result["tested"]
    return {
        "human_eval": tested.get("HumanEval", {}).get("pass@1"),
        "mbpp": tested.get("MBPP", {}).get("pass@1"),
        "single_line": max((score["exact_match"] for score in line.values()), default=None),
    }


def _beside_paper(result: Mapping[str, Any]) -> str:
    own = own_figures(result)
    parameters = result.get("parameters")
    size = _NONE if parameters is None else f"{parameters / 1e6:.1f} M"
    rows = [[f"**{result['model']}**", size, *(_percent(own[key]) for key in own), "this run"]]
    rows += [
        [each.name, each.parameters, *(_published(getattr(each, key)) for key in own), each.source]
        for each in PUBLISHED
    ]
    head = ("model", "parameters", "HumanEval pass@1", "MBPP pass@1", "single-line infilling, Python", "from")
    return _table(head, rows) + (
        "\n\nPercent. Single-line infilling is the exact match of the better order; this run's prompts let "
        "the model write the line end before the hole again (token healing), published ones do not."
    )


def _published(value: float | None) -> str:
    return _NONE if value is None else f"{value:g}"


def _tested(tested: Mapping[str, Any]) -> str:
    ks = sorted({key for score in tested.values() for key in score if key.startswith("pass@")}, key=_k)
    rows = [
        [
            title,
            f"{score['n_problems']} × {score['samples_per_problem']}",
            *(_percent(score.get(k)) for k in ks),
            ", ".join(f"{reason} {count}" for reason, count in score["reasons"].items()),
        ]
        for title, score in tested.items()
    ]
    return _table(("set", "problems × samples", *ks, "programs"), rows)


def _k(name: str) -> int:
    return int(name.removeprefix("pass@"))


def _infilling(kinds: Mapping[str, Any]) -> str:
    rows = [
        [
            kind,
            order.upper(),
            str(score["n_problems"]),
            _percent(score["exact_match"]),
            _percent(score.get("pass_rate")),
        ]
        for kind, orders in kinds.items()
        for order, score in orders.items()
    ]
    return _table(("kind", "order", "problems", "exact match", "pass rate"), rows)


def _lines(lines: Mapping[str, Any]) -> str:
    names = {"before": "only what is before", "around": "what follows too (SPM)"}
    rows = [
        [
            names[name],
            str(score["n_lines"]),
            _percent(score["exact_match"]),
            _percent(score["edit_similarity"]),
        ]
        for name, score in lines.items()
    ]
    return _table(("the model sees", "lines", "exact match", "edit similarity"), rows)


def _perplexity(result: Mapping[str, Any]) -> str:
    found, positions = result["perplexity"], result["positions"]
    rows = [[f"{each['context_tokens']:,}", f"{each['perplexity']:.2f}"] for each in found]
    table = _table(("tokens of context", "perplexity"), rows)
    told = f"The same {found[0]['n_tokens']:,} tokens of held-out repositories, predicted from each."
    if positions < CONTEXTS[-1]:
        told += f" The model has {positions:,} positions, so more context cannot be measured."
    return f"{table}\n\n{told}"


def plot(result: Mapping[str, Any], picture: Path) -> None:
    """pass@1 beside the paper's models, infilling by kind and order, perplexity by context."""
    from matplotlib.figure import Figure  # slow to import

    figure = Figure(figsize=(12, 4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    _plot_models(left, result)
    _plot_infilling(middle, result["infilling"])
    found = result.get("perplexity", [])
    right.plot([each["context_tokens"] for each in found], [each["perplexity"] for each in found], marker="o")
    right.set(title="perplexity, held-out repositories", xlabel="tokens of context")
    right.set_xticks([each["context_tokens"] for each in found])
    right.grid(alpha=0.3)
    figure.savefig(picture, dpi=100)


def _plot_models(axes: Any, result: Mapping[str, Any]) -> None:
    own = own_figures(result)["human_eval"]
    bars = [(each.name, each.human_eval) for each in PUBLISHED if each.human_eval is not None]
    bars = sorted([*bars, (str(result["model"]), 100 * (own or 0.0))], key=lambda bar: bar[1])
    colours = ["tab:blue" if name == result["model"] else "0.7" for name, _ in bars]
    drawn = axes.barh([name for name, _ in bars], [value for _, value in bars], color=colours)
    axes.bar_label(drawn, fmt="%.1f", padding=2)
    axes.set(title="HumanEval pass@1, percent")
    axes.margins(x=0.15)


def _plot_infilling(axes: Any, kinds: Mapping[str, Any]) -> None:
    shades = {"spm": ("tab:blue", "lightsteelblue"), "psm": ("tab:orange", "bisque")}
    names = list(kinds)
    series = [(order, key) for order in ("spm", "psm") for key in ("exact_match", "pass_rate")]
    for number, (order, key) in enumerate(series):
        values = [100 * kinds[name].get(order, {}).get(key, 0.0) for name in names]
        places = [at + 0.2 * (number - 1.5) for at in range(len(names))]
        colour = shades[order][key == "pass_rate"]
        axes.bar(places, values, 0.2, color=colour, label=f"{order.upper()}, {key.replace('_', ' ')}")
    axes.set(title="infilling, percent")
    axes.set_xticks(range(len(names)), names)
    if names:
        axes.legend(fontsize="small")
