"""`starcoder-lsp train plan`: a dry run of a recipe on a cluster that need not be there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from training.cli_common import changes_of, fail
from training.errors import RecipeError, TrainingError

if TYPE_CHECKING:
    from training.plan.plan import Plan

_UNITS = {"": 1.0, "B": 1.0, "MB": 1e6, "GB": 1e9, "TB": 1e12, "MIB": 2.0**20, "GIB": 2.0**30}


def plan_command(
    recipe: Annotated[str, typer.Option(help="A bundled recipe's name or a TOML file.")],
    gpus: Annotated[int, typer.Option(min=1, help="How many processes, one a GPU.")] = 1,
    gpu_memory: Annotated[str, typer.Option(help="Memory of one, for example 80GB.")] = "80GB",
    flops: Annotated[float, typer.Option(help="Peak of one in FLOP/s; A100 312e12, H100 989e12.")] = 312e12,
    mfu: Annotated[
        float, typer.Option(help="Share of the peak that is reached; StarCoderBase .306.")
    ] = 0.306,
    override: Annotated[
        list[str] | None, typer.Option("--set", help="TABLE.KEY=JSON, replaces a value.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Parameters, memory of a GPU, FLOPs and days of a recipe; exits with 1 if it does not fit."""
    from training.plan.plan import Cluster, make_plan
    from training.recipe.recipe import load_recipe

    try:
        cluster = Cluster(gpus=gpus, memory_bytes=_bytes(gpu_memory), flops=flops, mfu=mfu)
        plan = make_plan(load_recipe(recipe, changes_of(override or [])), cluster)
    except TrainingError as error:
        raise fail(error) from error
    if as_json:
        typer.echo(json.dumps(plan.to_dict()))
    else:
        _show(plan)
    if not plan.fits:
        raise typer.Exit(1)


def _bytes(text: str) -> float:
    match = re.fullmatch(r"([\d.]+)\s*([A-Za-z]*)", text)
    if match is None or match[2].upper() not in _UNITS:
        raise RecipeError(f"--gpu-memory {text!r}: expected a number with a unit, for example 80GB or 24GiB")
    return float(match[1]) * _UNITS[match[2].upper()]


def _show(plan: Plan) -> None:
    table = Table(title=f"{plan.recipe} on {plan.gpus:,} GPU(s)", show_header=False)
    for name, value in _rows(plan):
        table.add_row(name, value)
    console = Console()
    console.print(table)
    if not plan.fits:
        console.print(
            "It does not fit: use more GPUs with compute.sharding = 'fsdp', a smaller micro_batch, "
            "compute.activation_checkpointing = true or compute.chunk_tokens."
        )


def _rows(plan: Plan) -> Iterator[tuple[str, str]]:
    yield "parameters", f"{plan.parameters:,} ({plan.parameters / 1e9:.3f}B)"
    if plan.trained_parameters != plan.parameters:
        yield "trained of them", f"{plan.trained_parameters:,}"
    yield "a step", f"{plan.tokens_per_step:,} tokens, {plan.accumulate} micro-batch(es) in each process"
    for name in ("weights", "gradients", "optimizer", "gathered", "activations"):
        yield f"  {name}", f"{getattr(plan.memory, name) / 1e9:.2f} GB"
    memory = f"{plan.memory.total / 1e9:.1f} GB of {plan.gpu_memory_bytes / 1e9:.0f}"
    yield "memory of one GPU", memory if plan.fits else f"[bold red]{memory}[/bold red]"
    yield "arithmetic", f"{plan.flops_per_token:.3g} FLOP a token"
    yield "speed", f"{plan.tokens_per_s:,.0f} tokens/s"
    if plan.tokens is not None:
        yield "the run", f"{plan.steps:,} steps, {plan.tokens / 1e9:,.1f}B tokens, {plan.flops:.3g} FLOP"
        yield "time", f"{plan.days:,.1f} days, {plan.gpu_hours:,.0f} GPU hours"
