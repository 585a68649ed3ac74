"""The tables of a recipe, each a frozen dataclass that checks itself. Knows nothing of files or tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from training.errors import RecipeError


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise RecipeError(f"{name} = {value!r}: expected {' or '.join(allowed)}")


@dataclass(frozen=True, kw_only=True)
class DataRecipe:
    """Where documents and the tokenizer lie, and how they are mixed; the command line can name others."""

    train: str = "data/starter/train"
    held_out: str = "data/starter/held_out"
    tokenizer: str = "data/tokenizer-8k"
    weights: Mapping[str, float] = field(default_factory=lambda: {"*": 1.0})
    workers: int = 0
    # Whether attention stops at document ends. The paper's did not. With flash-attn it costs nothing,
    # else a mask of T × T.
    document_mask: bool = False


@dataclass(frozen=True, kw_only=True)
class OptimRecipe:
    """`kind` muon: Muon for the hidden matrices, AdamW for embeddings, biases and norms.

    `kind` adamw: AdamW for everything, as the paper did; then `muon_lr` and `muon_momentum` mean nothing,
    and weight decay is of matrices and embeddings, not of vectors (Megatron-LM's rule).

    `lr_width`: the hidden width that the rates are meant for; fine-tuning a base of another width takes
    `lr_width` / width times as much (what matrices need under muP, arXiv 2203.03466, table 3).
    """

    kind: str = "muon"
    muon_lr: float = 4e-3
    adamw_lr: float = 3e-3
    weight_decay: float = 0.1
    muon_momentum: float = 0.95
    adamw_betas: tuple[float, float] = (0.9, 0.95)
    clip_norm: float = 1.0
    lr_width: int | None = None

    def __post_init__(self) -> None:
        _one_of("optim.kind", self.kind, ("muon", "adamw"))
        if self.muon_lr <= 0 or self.adamw_lr <= 0:
            raise RecipeError(f"muon_lr {self.muon_lr}, adamw_lr {self.adamw_lr}: both must be above 0")


@dataclass(frozen=True, kw_only=True)
class ScheduleRecipe:
    """The learning rate over a run that is boxed by `minutes` of training or by `steps`, not both.

    `shape` stable: warm-up, constant, linear decay over the last `decay_share`; cosine: warm-up, then
    half a cosine to the end. Both end at `floor` (a share of the peak).
    """

    minutes: float | None = None
    steps: int | None = None
    warmup_steps: int = 100
    shape: str = "stable"
    decay_share: float = 0.4
    floor: float = 0.0

    def __post_init__(self) -> None:
        _one_of("schedule.shape", self.shape, ("stable", "cosine"))
        if (self.minutes is None) == (self.steps is None):
            raise RecipeError(f"minutes = {self.minutes}, steps = {self.steps}: give exactly one of them")
        for name in ("decay_share", "floor"):
            if not 0 <= getattr(self, name) <= 1:
                raise RecipeError(f"{name} = {getattr(self, name)}: it must be from 0 to 1")


@dataclass(frozen=True, kw_only=True)
class StageRecipe:
    """From `start` (share of the run) on: samples of `seq_len`, `micro_batch` of them at a time.

    A step takes `accumulate` micro-batches in each process; or, where `batch` is given, as many as make
    `batch` samples in all processes together, so that the number of processes changes nothing.
    """

    start: float = 0.0
    seq_len: int = 1_024
    micro_batch: int = 8
    accumulate: int = 1
    batch: int | None = None

    def __post_init__(self) -> None:
        for name in ("seq_len", "micro_batch", "accumulate"):
            if getattr(self, name) < 1:
                raise RecipeError(f"stages: {name} = {getattr(self, name)}: it must be at least 1")

    def accumulated(self, processes: int) -> int:
        """Micro-batches of one step in each of so many processes. Raises RecipeError if they do not fit."""
        if self.batch is None:
            return self.accumulate
        at_once = self.micro_batch * processes
        if self.batch % at_once:
            raise RecipeError(
                f"stages: batch = {self.batch} cannot be shared by {processes} processes of micro_batch = "
                f"{self.micro_batch}: it must be a multiple of {at_once}"
            )
        return self.batch // at_once

    def samples(self, processes: int) -> int:
        """Samples of one step in all processes together."""
        return self.accumulated(processes) * self.micro_batch * processes


@dataclass(frozen=True, kw_only=True)
class ComputeRecipe:
    """How the arithmetic is done. `processes` of `threads` each train on different samples.

    `sharding` none: every process holds the whole model, gradients are averaged once a step; fsdp:
    weights, gradients and optimizer are spread over the processes (FSDP2), checkpoints too.
    `activation_checkpointing`: a block's activations are computed again in the backward pass.
    `chunk_tokens`: logits of so many tokens at a time (see `CausalLM.loss`), where memory is short.
    """

    device: str = "auto"
    processes: int = 1
    threads: int = 1
    bf16: bool = True
    compile: bool = False
    sharding: str = "none"
    activation_checkpointing: bool = False
    chunk_tokens: int | None = None

    def __post_init__(self) -> None:
        _one_of("compute.sharding", self.sharding, ("none", "fsdp"))


@dataclass(frozen=True, kw_only=True)
class LoraRecipe:
    """Low-rank adapters (arXiv 2106.09685) on the linear layers named `targets` (None: on all of a block);
    the rest is frozen."""

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    targets: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.rank < 1 or self.targets == ():
            raise RecipeError(
                f"lora: rank = {self.rank}, targets = {self.targets}: give at least one of each"
            )


@dataclass(frozen=True, kw_only=True)
class UpkeepRecipe:
    """What happens between steps. `held_out_tokens` are scored in each language that has at least
    `held_out_min_bytes` of held-out text, each time."""

    checkpoint_minutes: float = 3.0
    keep_checkpoints: int = 2
    eval_minutes: float = 10.0
    held_out_tokens: int = 16_384
    held_out_min_bytes: int = 20_000
    log_every_steps: int = 1
