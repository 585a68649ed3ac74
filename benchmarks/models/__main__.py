"""How good models are on this machine, and how quick: infilling, programs, perplexity, keys.

    python -m benchmarks.models starter FILE.gguf --data FOLDER [--limit N] [--docs]

All of it takes hours for a model of half a billion parameters on two cores: `--sets`, `--limit`, `--tokens`
and `--keys` take parts, and figures of models that are not named are kept in `--figures`. llama.cpp answers
beside ours where llama-server (`--llama-server`, or on the path) and llama-cpp-python are installed;
`benchmarks/build_llama_cpp` builds both for this CPU.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import statistics
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.engine.contender import percentile_95
from benchmarks.llama_server import PROGRAM, find_program
from benchmarks.machine import processor
from benchmarks.models.measure import PROGRAMS, Wanted, measure
from benchmarks.models.report import FIGURES, Figures, into_docs, keep, kept, markdown, merged
from benchmarks.models.text import compare, windows
from benchmarks.replay import __main__ as replay
from model.errors import ModelError
from model.local.threads import available_cpus
from model.weights.hub import resolve
from training.errors import TrainingError
from training.evaluate.measure import SPAN_FILES
from training.evaluate.progress import progress_bar

_SETS = (*SPAN_FILES, *PROGRAMS)


def text_figures(model: str, n_tokens: int, threads: int) -> dict[str, Any] | None:
    """Perplexity and agreement beside llama.cpp; None where it cannot be asked."""
    path = resolve(model).folder
    if not path.is_file() or importlib.util.find_spec("llama_cpp") is None:
        return None
    from benchmarks.engine.llama_cpp_peer import LlamaCpp
    from benchmarks.engine.ours import Ours

    ours = Ours(path, quantize="auto", threads=threads)
    theirs = LlamaCpp(path, quantization=None, threads=threads, alone=True)
    with progress_bar("perplexity") as progress:
        return asdict(compare(ours, theirs, windows(ours.engine.tokenizer, n_tokens), progress))


def key_figures(model: str, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """A replay's median and 95th percentile to the first text, by editor."""
    given = [
        "--model",
        model,
        "--keys",
        str(options.keys),
        "--threads",
        str(options.threads),
        "--tokens",
        "1",
    ]
    given += ["--llama-server", options.llama_server] if options.llama_server else []
    given += ["--context", str(options.context)] if options.context else []
    report = asyncio.run(replay.run(replay.parser().parse_args(given), lambda: None))
    times = {one: report.times(one, None, lambda answer: answer.first_ms) for one in report.editors}
    return {
        one: {"p50_ms": statistics.median(each), "p95_ms": percentile_95(each), "keys": len(each)}
        for one, each in times.items()
    }


def run(model: str, options: argparse.Namespace) -> dict[str, Any]:
    """All parts of one model."""
    wanted = Wanted(
        data=options.data,
        answers=options.answers,
        sets=options.sets.split(","),
        limit=options.limit,
        peer_limit=options.peer_limit,
        threads=options.threads,
        llama_server=find_program(options.llama_server),
    )
    parts: dict[str, Any] = {
        "machine": f"{processor()}, {options.threads} threads",
        "quality": asdict(measure(model, wanted)),
    }
    if options.tokens and (text := text_figures(model, options.tokens, options.threads)):
        parts["text"] = text
    if options.keys:
        parts["keys"] = key_figures(model, options)
    return parts


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = argparse.ArgumentParser(
        prog="python -m benchmarks.models", description=(__doc__ or "").partition("\n")[0]
    )
    arguments.add_argument(
        "models", nargs="*", help="names, folders or GGUF files; none: only show the figures"
    )
    arguments.add_argument(
        "--data",
        type=Path,
        default=Path(),
        help="where human-eval, human-eval-infilling, mbpp lie",
    )
    arguments.add_argument(
        "--sets", default=",".join(_SETS), help=f"with commas (default: {','.join(_SETS)})"
    )
    arguments.add_argument("--limit", type=int, help="problems of each set, evenly spread (default: all)")
    arguments.add_argument(
        "--peer-limit", type=int, help="llama.cpp and ours without healing get so many of them (default: all)"
    )
    arguments.add_argument("--tokens", type=int, default=20_000, help="of real code, for perplexity; 0: none")
    arguments.add_argument("--keys", type=int, default=300, help="of a replay; 0: none")
    arguments.add_argument("--context", type=int, help="tokens of our prompts in it (default: the engine's)")
    arguments.add_argument("--threads", type=int, default=available_cpus(), help="of each")
    arguments.add_argument("--llama-server", help=f"the program (default: {PROGRAM} on the path)")
    arguments.add_argument(
        "--figures", type=Path, default=Path("build/models.json"), help="keeps all figures"
    )
    arguments.add_argument(
        "--answers",
        type=Path,
        default=Path("build/answers"),
        help="keeps all answers: a run that was stopped goes on; remove it when the engine has changed",
    )
    arguments.add_argument(
        "--docs",
        action="store_true",
        help=f"keep them in {FIGURES.name} of docs/; write its page and picture",
    )
    return arguments


def main() -> int:
    """Measure one model after the other, write, print."""
    options = parser().parse_args()
    file = FIGURES if options.docs else options.figures
    options.answers.mkdir(parents=True, exist_ok=True)
    figures: Figures = kept(file)
    try:
        for model in options.models:
            name = resolve(model).name
            figures[name] = merged(figures.get(name, {}), run(model, options))
            keep(file, figures)
    except (ModelError, TrainingError) as error:
        print(f"benchmarks.models: {error}", file=sys.stderr)
        return 2
    print(markdown(figures))
    if options.docs:
        into_docs(figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
