"""`python -m benchmarks.engine`: run, print a table, write JSON and a picture."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before PyTorch reads it, as the engine sets it
# On Hopper cuDNN's attention plans anew for every length: ours leaves it out, transformers shall not pay.
os.environ.setdefault("TORCH_CUDNN_SDPA_DEPRIORITIZED", "1")

from benchmarks.engine.contender import Cell, Contender
from benchmarks.engine.contenders import contenders_for, make, missing
from benchmarks.engine.models import SHAPES, model_folder
from benchmarks.engine.report import draw, limits, markdown
from benchmarks.engine.start import Start, cold_starts
from benchmarks.engine.tasks import Plan, processor_seconds, run_all
from benchmarks.tables import MODELS_PAGE, put_section
from model.local.threads import available_cpus
from model.weights.hub import resolve
from model.weights.opening import describe


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=__doc__)
    arguments.add_argument(
        "--model", default="starter", help=f"a name, a folder, a GGUF file, or a shape: {', '.join(SHAPES)}"
    )
    arguments.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    arguments.add_argument("--contenders", help="which, with commas (default: all that are installed)")
    arguments.add_argument("--threads", type=int, default=available_cpus(), help="of each")
    arguments.add_argument("--runs", type=int, default=5)
    arguments.add_argument("--tasks", default="", help="parts of their names, with commas (default: all)")
    arguments.add_argument("--no-start", action="store_true", help="leave out cold start and memory")
    arguments.add_argument("--json", type=Path, help="write the figures there")
    arguments.add_argument(
        "--processor",
        action="store_true",
        help="processor time over threads instead of the clock's: for a machine that others use too",
    )
    arguments.add_argument("--docs", action="store_true", help="put the table into docs/models.md")
    arguments.add_argument("--picture", type=Path, help="draw them there (PNG)")
    return arguments


def chosen(names: str | None, device: str, model: Path) -> list[str]:
    """The contenders that can run; says which cannot."""
    able = []
    known = contenders_for(device, model)
    for name in names.split(",") if names else known:
        if name not in known:
            raise SystemExit(f"no contender for it on {device} is called {name!r}: {', '.join(known)}")
        if lacking := missing(name):
            print(f"left out: {name}, as {lacking} is not installed", file=sys.stderr)
        else:
            able.append(name)
    return able


def main() -> int:
    """Run and report."""
    options = parser().parse_args()
    on_gpu = options.device == "cuda"
    folder = model_folder(options.model, weights=not on_gpu)
    config = describe(folder)
    names = chosen(options.contenders, options.device, folder)
    contenders: list[Contender] = [
        make(name, folder, threads=options.threads, device=options.device) for name in names
    ]
    batches = (8, 64, 256) if on_gpu else Plan().batches
    plan = Plan(
        runs=options.runs,
        only=options.tasks.split(","),
        batches=batches,
        keystroke=not folder.is_file(),
        seconds=processor_seconds(options.threads) if options.processor else time.perf_counter,
    ).within(config.n_positions)
    cells: list[Cell] = run_all(contenders, plan, config.vocab_size)
    del contenders
    starts: list[Start] = []
    if not options.no_start and not on_gpu:
        starts = cold_starts(names, folder, threads=options.threads, runs=options.runs)
    # By the clock, which says nothing of a machine that others use.
    bounds = {} if options.processor else limits(config, threads=options.threads, device=options.device)
    title = f"{options.model}, {_device_name() if on_gpu else _threads(options.threads)}"
    if options.processor:
        title += ", processor time over threads"
    tables = markdown(cells, starts, bounds, title=title)
    print(tables)
    if options.docs:
        put_section(MODELS_PAGE, f"engine {resolve(options.model).name}", tables.partition("\n\n")[2])
    if options.json:
        figures = {
            "model": options.model,
            "threads": options.threads,
            "cells": [asdict(each) for each in cells],
            "starts": [asdict(each) for each in starts],
            "limits_ms": bounds,
        }
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if options.picture:
        draw(cells, options.picture, title=title)
    return 0


def _threads(number: int) -> str:
    return f"{number} thread{'s' if number > 1 else ''}"


def _device_name() -> str:
    import torch

    return torch.cuda.get_device_name()


if __name__ == "__main__":
    sys.exit(main())
