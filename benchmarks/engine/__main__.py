"""`python -m benchmarks.engine`: run, print a table, write JSON and a picture."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before PyTorch reads it, as the engine sets it

from benchmarks.engine.contender import Cell, Contender
from benchmarks.engine.contenders import CONTENDERS, make, missing
from benchmarks.engine.models import SHAPES, model_folder
from benchmarks.engine.report import draw, limits, markdown
from benchmarks.engine.start import Start, cold_starts
from benchmarks.engine.tasks import Plan, run_all
from model.config import ModelConfig
from model.threads import available_cpus


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=__doc__)
    arguments.add_argument(
        "--model", default="starter", help=f"a name, a folder, or a shape: {', '.join(SHAPES)}"
    )
    arguments.add_argument(
        "--contenders", default=",".join(CONTENDERS), help="which (default: all that are installed)"
    )
    arguments.add_argument("--threads", type=int, default=available_cpus(), help="of each")
    arguments.add_argument("--runs", type=int, default=5)
    arguments.add_argument("--no-start", action="store_true", help="leave out cold start and memory")
    arguments.add_argument("--json", type=Path, help="write the figures there")
    arguments.add_argument("--picture", type=Path, help="draw them there (PNG)")
    return arguments


def chosen(names: str) -> list[str]:
    """The contenders that can run; says which cannot."""
    able = []
    for name in names.split(","):
        if name not in CONTENDERS:
            raise SystemExit(f"no contender is called {name!r}: {', '.join(CONTENDERS)}")
        if lacking := missing(name):
            print(f"left out: {name}, as {lacking} is not installed", file=sys.stderr)
        else:
            able.append(name)
    return able


def main() -> int:
    """Run and report."""
    options = parser().parse_args()
    folder = model_folder(options.model)
    config = ModelConfig.from_file(folder / "config.json")
    names = chosen(options.contenders)
    contenders: list[Contender] = [make(name, folder, threads=options.threads) for name in names]
    plan = Plan(runs=options.runs).within(config.n_positions)
    cells: list[Cell] = run_all(contenders, plan, config.vocab_size)
    del contenders
    starts: list[Start] = []
    if not options.no_start:
        starts = cold_starts(names, folder, threads=options.threads, runs=options.runs)
    bounds = limits(config, threads=options.threads)
    print(markdown(cells, starts, bounds, title=f"{options.model}, {options.threads} threads"))
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
        draw(cells, options.picture, title=f"{options.model}, {options.threads} threads")
    return 0


if __name__ == "__main__":
    sys.exit(main())
