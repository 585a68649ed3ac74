"""What a recipe takes on a cluster: parameters, memory of a process, arithmetic, days. Nothing is trained.

Parameters are counted on the real model (on the meta device), activations on its real block. Bytes are an
estimate of the large terms at their peak; the allocator's fragments, NCCL's buffers and the CUDA context
(together some GB) are not in it. Time is arithmetic alone, at an assumed utilisation (MFU).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch

from model.pytorch.modules import build
from training.compute.activations import activation_bytes
from training.compute.lora import add_adapters
from training.compute.optim import hidden_matrices
from training.compute.precision import flops_per_token
from training.errors import RecipeError
from training.recipe.recipe import Recipe

# StarCoderBase's 320,256 GPU hours (the technical report's CO2 table) on A100s of 312 TFLOP/s are this much.
PAPER_MFU = 0.306
_FP32, _BF16 = 4, 2


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """`flops`: peak of one GPU in the number format that is computed in, FLOP/s."""

    gpus: int = 1
    memory_bytes: float = 80e9
    flops: float = 312e12
    mfu: float = PAPER_MFU

    def __post_init__(self) -> None:
        for name in ("gpus", "memory_bytes", "flops", "mfu"):
            if getattr(self, name) <= 0:
                raise RecipeError(f"{name} = {getattr(self, name)}: it must be above 0")


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes of one process at the peak of a step."""

    weights: int
    gradients: int
    optimizer: int
    gathered: int  # of a sharded model: whole weights and gradients of what is being computed
    activations: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.gradients + self.optimizer + self.gathered + self.activations


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The answer. `tokens` and what follows from them are None for a run that is boxed by time."""

    recipe: str
    parameters: int
    trained_parameters: int
    gpus: int
    accumulate: int
    tokens_per_step: int
    steps: int | None
    tokens: int | None
    flops_per_token: float
    flops: float | None
    tokens_per_s: float
    days: float | None
    gpu_hours: float | None
    memory: Memory
    gpu_memory_bytes: float

    @property
    def fits(self) -> bool:
        """Whether a process's memory is enough."""
        return self.memory.total <= self.gpu_memory_bytes

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"memory_total": self.memory.total, "fits": self.fits}


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Parameters: all, those trained, those of them that Muon moves, the root's and one block's."""

    all: int
    trained: int
    by_muon: int
    root: int
    block: int


def count_parameters(recipe: Recipe) -> Counts:
    """Build the model without memory and count."""
    with torch.device("meta"):
        model = build(recipe.model)
    every = sum(p.numel() for p in model.parameters())  # before adapters: the published number
    if recipe.lora is not None:
        add_adapters(model, recipe.lora)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    matrices = hidden_matrices(model) if recipe.optim.kind == "muon" else frozenset()
    block = sum(p.numel() for p in model.blocks[0].parameters())
    return Counts(
        all=every,
        trained=sum(p.numel() for p in trained.values()),
        by_muon=sum(p.numel() for name, p in trained.items() if name in matrices),
        root=sum(p.numel() for p in model.parameters()) - recipe.model.n_layer * block,
        block=block,
    )


def memory_of(recipe: Recipe, counts: Counts, processes: int) -> Memory:
    """Bytes of one of so many processes, in the stage that takes most."""
    bf16, sharded = recipe.compute.bf16, recipe.compute.sharding == "fsdp" and processes > 1
    shares = processes if sharded else 1
    frozen = counts.all - counts.trained if recipe.lora is not None else 0
    frozen_bytes = frozen * (_BF16 if bf16 and not sharded else _FP32)
    adam = counts.trained - counts.by_muon
    activations = max(
        activation_bytes(
            recipe.model,
            samples=stage.micro_batch,
            seq_len=stage.seq_len,
            dtype=torch.bfloat16 if bf16 else torch.float32,
            recompute=recipe.compute.activation_checkpointing,
            chunk_tokens=recipe.compute.chunk_tokens,
        )
        for stage in recipe.stages
    )
    return Memory(
        weights=(frozen_bytes + _FP32 * counts.trained) // shares,
        gradients=_FP32 * counts.trained // shares,
        optimizer=_FP32 * (2 * adam + counts.by_muon) // shares,
        gathered=_gathered(recipe, counts, sharded=sharded),
        activations=activations,
    )


def _gathered(recipe: Recipe, counts: Counts, *, sharded: bool) -> int:
    """Sharded: the root's weights, two blocks' (one is fetched ahead), and of one of them the gradients and
    their fp32 sum on the way. Not sharded: autocast's bf16 copies of all weights."""
    if not sharded:
        return _BF16 * counts.trained if recipe.compute.bf16 else 0
    number = _BF16 if recipe.compute.bf16 else _FP32
    weights = number * (counts.root + 2 * counts.block)
    gradients = (number + _FP32) * max(counts.root, counts.block) if recipe.lora is None else 0
    return weights + gradients


def make_plan(recipe: Recipe, cluster: Cluster) -> Plan:
    """The plan of a recipe's last stage on a cluster. Raises RecipeError where the batch cannot be shared."""
    stage = recipe.stages[-1]
    counts = count_parameters(recipe)
    tokens_per_step = stage.samples(cluster.gpus) * stage.seq_len
    steps = recipe.schedule.steps
    tokens = None if steps is None else steps * tokens_per_step
    per_token = flops_per_token(recipe.model, stage.seq_len)
    rate = cluster.gpus * cluster.flops * cluster.mfu / per_token
    days = None if tokens is None else tokens / rate / 86_400
    return Plan(
        recipe=recipe.name,
        parameters=counts.all,
        trained_parameters=counts.trained,
        gpus=cluster.gpus,
        accumulate=stage.accumulated(cluster.gpus),
        tokens_per_step=tokens_per_step,
        steps=steps,
        tokens=tokens,
        flops_per_token=per_token,
        flops=None if tokens is None else tokens * per_token,
        tokens_per_s=rate,
        days=days,
        gpu_hours=None if days is None else days * 24 * cluster.gpus,
        memory=memory_of(recipe, counts, cluster.gpus),
        gpu_memory_bytes=cluster.memory_bytes,
    )
