"""All the measurements of a report, each from its data if that is there; what is not is named, not
guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from model.families.config import ModelConfig
from model.families.registry import read_config
from model.weights.hub import resolve
from training.errors import EvaluationError
from training.evaluate.benchmarks import BENCHMARKS, Judging, run_benchmark
from training.evaluate.progress import progress_bar
from training.evaluate.sandbox.pool import Sandbox, missing_tools

TESTED_FILES = {
    "HumanEval": ("humaneval", "human-eval/HumanEval.jsonl.gz", "python"),
    "MBPP": ("mbpp", "mbpp/mbpp.jsonl", "python"),
    "HumanEval-X Python": ("humaneval-x", "humaneval-x/humaneval_python.jsonl.gz", "python"),
    "HumanEval-X JavaScript": ("humaneval-x", "humaneval-x/humaneval_js.jsonl.gz", "javascript"),
    "HumanEval-X Java": ("humaneval-x", "humaneval-x/humaneval_java.jsonl.gz", "java"),
    "HumanEval-X C++": ("humaneval-x", "humaneval-x/humaneval_cpp.jsonl.gz", "cpp"),
}
SPAN_FILES = {
    "single-line": "human-eval-infilling/HumanEval-SingleLineInfilling.jsonl.gz",
    "multi-line": "human-eval/HumanEval.jsonl.gz",
    "random-span": "human-eval-infilling/HumanEval-RandomSpanInfillingLight.jsonl.gz",
}
CONTEXTS = (512, 1_024, 2_048, 4_096, 8_192)


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much of each set is looked at; None: all of it."""

    samples: int = 200
    problems: int | None = None
    spans: int | None = None
    lines: int = 500
    windows: int = 100
    temperature: float = 0.2
    top_p: float = 0.95
    max_new_tokens: int = 512


@dataclass(frozen=True, kw_only=True)
class EvaluationData:
    """`data` holds human-eval, mbpp, humaneval-x and human-eval-infilling; `held_out` documents of no
    training.
    """

    data: Path
    held_out: Path | None = None
    samples: Path = field(default_factory=lambda: Path("samples"))


def measure_all(model: str, sources: EvaluationData, effort: Effort, judging: Judging) -> dict[str, Any]:
    """Everything a report holds, for JSON. Raises EvaluationError, ModelError."""
    for name in ("matplotlib", "rapidfuzz"):
        import_module(name)  # a package that is missing is told now and not after hours
    result: dict[str, Any] = {"model": model, "effort": asdict(effort), "left_out": []}
    result["tested"] = _tested(model, sources, effort, judging, result["left_out"])
    result["infilling"] = {}
    for kind, file in SPAN_FILES.items():
        if (sources.data / file).is_file():
            span = measure_spans(model, str(sources.data / file), ("spm", "psm"), effort.spans, judging)
            result["infilling"][kind] = span["orders"]
        else:
            result["left_out"].append(f"{kind} infilling: {file} is missing")
    config, result["parameters"] = _shape(model)
    result["positions"] = config.n_positions
    if sources.held_out is None:
        result["left_out"].append("line completion and perplexity: no held-out documents were given")
        return result
    result["lines"] = measure_lines(model, sources.held_out, effort.lines)["contexts"]
    if config.n_positions < CONTEXTS[0]:
        result["left_out"].append(f"perplexity: the model has {config.n_positions} positions only")
    else:
        result["perplexity"] = measure_perplexity(model, sources.held_out, None, effort.windows)["perplexity"]
    return result


def _shape(model: str) -> tuple[ModelConfig, int]:
    """Its configuration, and how many parameters it has."""
    import torch

    from model.pytorch.modules import build

    config = read_config(resolve(model).folder)
    with torch.device("meta"):  # no memory is taken
        parameters = build(config).parameters()
        return config, sum(parameter.numel() for parameter in parameters)


def _tested(
    model: str, sources: EvaluationData, effort: Effort, judging: Judging, left_out: list[str]
) -> dict[str, dict[str, Any]]:
    from training.evaluate.scoring.generate import SamplingPlan

    plan = SamplingPlan(
        model=model,
        samples=effort.samples,
        temperature=effort.temperature,
        top_p=effort.top_p,
        max_new_tokens=effort.max_new_tokens,
    )
    scores = {}
    for title, (name, file, language) in TESTED_FILES.items():
        missing = missing_tools(language)
        if missing or not (sources.data / file).is_file():
            left_out.append(f"{title}: {' and '.join(missing) or file} is missing")
            continue
        problems = BENCHMARKS[name].problems(str(sources.data / file), effort.problems)
        target = sources.samples / f"{title.lower().replace(' ', '-')}.jsonl"
        scores[title] = run_benchmark(problems, plan, judging, target)
    return scores


def measure_spans(
    model: str,
    problems: str,
    orders: Sequence[str],
    limit: int | None,
    judging: Judging | None,
    *,
    heal: bool = True,
) -> dict[str, Any]:
    """Infilling in each of the orders, side by side; the pass rate too if programs may be run."""
    from model.prompt.fim_format import FimOrder
    from model.start.load import load_engine
    from training.evaluate.scoring.spans import read_spans, score_spans

    kind, spans = read_spans(problems, limit)
    engine = load_engine(resolve(model).folder)

    def each(sandbox: Sandbox | None) -> dict[str, Any]:
        scores = {}
        for order in orders:
            with progress_bar(f"{kind} infilling, {order}") as progress:
                scores[order] = score_spans(
                    engine, kind, spans, FimOrder(order), sandbox, progress, heal=heal
                )
        return scores

    if judging is None:
        return {"model": model, "kind": kind, "healed": heal, "orders": each(None)}
    with judging.sandbox() as sandbox:
        return {"model": model, "kind": kind, "healed": heal, "orders": each(sandbox)}


def measure_lines(model: str, held_out: Path, lines: int, languages: Sequence[str] = ()) -> dict[str, Any]:
    """Line completion with what is before the line only, and with what follows it too."""
    from model.prompt.fim_format import FimOrder
    from model.start.load import load_engine
    from training.evaluate.scoring.lines import draw_lines, score_lines
    from training.evaluate.sets.held_out_text import read_held_out

    problems = draw_lines(read_held_out(held_out, languages), lines)
    engine = load_engine(resolve(model).folder)
    scores = {}
    for name, order in (("before", None), ("around", FimOrder.SPM)):
        with progress_bar(f"lines, {name}") as progress:
            scores[name] = asdict(score_lines(engine, problems, order, progress))
    return {"model": model, "contexts": scores}


def measure_perplexity(
    model: str,
    held_out: Path,
    contexts: Sequence[int] | None,
    windows: int,
    languages: Sequence[str] = (),
) -> dict[str, Any]:
    """By context length; None: those of 512 to 8,192 that the model has."""
    import torch

    from model.prompt.tokenizer import Tokenizer
    from model.pytorch.checkpoint import load_checkpoint
    from model.pytorch.device import Placement
    from model.pytorch.quantize import Scheme
    from training.compute.precision import Precision, pick_device
    from training.evaluate.scoring import perplexity
    from training.evaluate.sets.held_out_text import read_held_out

    folder = resolve(model).folder
    device = pick_device("auto")
    placement = Placement(device=device, dtype=torch.float32, scheme=Scheme.NONE, reason="evaluation")
    loaded = load_checkpoint(folder, placement)
    chosen = contexts or [each for each in CONTEXTS if each <= loaded.config.n_positions]
    if not chosen:
        raise EvaluationError(f"{model} has {loaded.config.n_positions} positions; name shorter --contexts")
    documents = read_held_out(held_out, languages)
    tokenizer = Tokenizer.from_folder(folder)
    end_id = loaded.config.family.fim_format(tokenizer.special_ids).end_of_text_id
    cut = perplexity.windows(documents, tokenizer, end_id, max(chosen), windows)
    precision = Precision(device=device, bf16=False)
    with progress_bar("perplexity") as progress:
        found = perplexity.perplexities(loaded, cut, chosen, precision, progress)
    return {"model": model, "perplexity": [asdict(each) for each in found]}
