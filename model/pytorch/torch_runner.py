"""A model in PyTorch: on a GPU, in full precision, or where there is no compiled code.

Shapes: N tokens of a step, D hidden width, S rows whose next token is chosen, V vocabulary.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from model.errors import ConfigError
from model.families.config import ModelConfig
from model.local.threads import available_cpus
from model.pytorch.attention import CachedAttend, Segment
from model.pytorch.causal_lm import CausalLM
from model.pytorch.checkpoint import load_weights
from model.pytorch.device import Placement, choose_placement
from model.pytorch.llama import turned
from model.runner.memory import release_slots
from model.runner.runner import Batch, CacheMove, Logits
from model.runner.sampling import Choice, HostLogits, Sampled, sample

if TYPE_CHECKING:
    from model.pytorch.decode_graphs import DecodeGraphs

# How to decode on a GPU: "on" by CUDA graphs, "compiled" by CUDA graphs of a step that torch.compile
# has compiled, "off" without. Off by default before their tests have run on one.
GRAPHS_VARIABLE = "STARCODER_GRAPHS"
# Not cuDNN's attention, which PyTorch prefers on Hopper: it plans anew for every length of a context,
# and a plan takes tens of milliseconds.
_ATTENTION = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
# Below this many parameters a decode step is too short to be worth waking other threads for: on
# a busy machine they cost more than they bring.
_ONE_THREAD_PARAMETERS = 64_000_000
_ONE_THREAD_ROWS = 32


@dataclass(frozen=True)
class DeviceLogits:
    """Logits fp32 [S, V] on a GPU: greedy rows and scores stay there, other rows come to the CPU."""

    values: Tensor

    @torch.inference_mode()
    def sample(self, rows: Sequence[int], choices: Sequence[Choice]) -> Sampled:
        """Choose one token for each of some rows."""
        plain = [choice.plain and not choice.params.logprobs for choice in choices]
        if all(plain):
            return self._likeliest(rows)
        stay = [place for place, is_plain in enumerate(plain) if is_plain]
        move = [place for place, is_plain in enumerate(plain) if not is_plain]
        moved = _rows(self.values, [rows[place] for place in move]).cpu().numpy()
        return _in_order(
            (stay, self._likeliest([rows[place] for place in stay])),
            (move, sample(moved, [choices[place] for place in move])),
        )

    def _likeliest(self, rows: Sequence[int]) -> Sampled:
        logits = _rows(self.values, rows)
        best = logits.argmax(-1)  # [S]
        own = torch.log_softmax(logits, -1).gather(1, best[:, None])[:, 0].tolist()
        failed = [row for row, value in enumerate(own) if not math.isfinite(value)]
        token_ids = [-1 if row in failed else token for row, token in enumerate(best.tolist())]
        return Sampled(token_ids=token_ids, logprobs=own, top=[[] for _ in own], failed=failed)

    @torch.inference_mode()
    def score(self, token_ids: Sequence[int], n_top: int) -> tuple[list[float], list[Mapping[int, float]]]:
        """The log-probability of a token in each row, and those of the row's `n_top` likeliest ones."""
        log_probs = torch.log_softmax(self.values, dim=-1)  # [S, V]
        wanted = torch.as_tensor(token_ids, dtype=torch.int64, device=log_probs.device)
        own = log_probs.gather(1, wanted[:, None])[:, 0].tolist()
        values, ids = log_probs.topk(min(n_top, log_probs.shape[-1]))  # [S, n_top]
        pairs = zip(ids.tolist(), values.tolist(), strict=True)
        return own, [dict(zip(row_ids, row, strict=True)) for row_ids, row in pairs]


@dataclass(frozen=True)
class TorchHidden:
    """Hidden states [N, D]."""

    values: Tensor
    _model: CausalLM

    @torch.inference_mode()
    def logits(self, rows: Sequence[int]) -> Logits:
        """The logits of what follows some of the tokens."""
        logits = self._model.logits(_rows(self.values, rows)).float()
        return HostLogits(logits.numpy()) if logits.device.type == "cpu" else DeviceLogits(logits)


class TorchRunner:
    """See `model.runner.runner.Runner`."""

    def __init__(self, model: CausalLM, placement: Placement, *, threads: int | None = None) -> None:
        self.model, self.placement = model, placement
        self.config: ModelConfig = model.config
        self._threads = threads or available_cpus()
        self._is_small = self.config.n_parameters < _ONE_THREAD_PARAMETERS
        self._cache = torch.empty(0)
        self._graphs: DecodeGraphs | None = None
        self._step = "pytorch"

    @property
    def description(self) -> dict[str, str]:
        """How it runs, for people."""
        return {
            "device": str(self.placement.device),
            "dtype": str(self.placement.dtype).removeprefix("torch."),
            "quantize": self.placement.scheme.value,
            "step": self._step,
            "threads": str(self._threads),
            "why": self.placement.reason,
        }

    @property
    def bytes_per_token(self) -> int:
        """Bytes of keys and values of one token over all layers."""
        return self.config.n_layer * 2 * self.config.kv_dim * self.placement.dtype.itemsize

    def reserve(self, n_slots: int) -> None:
        """Make the cache, for `n_slots` tokens."""
        # One slot more, for rows that pad a graph's batch.
        self._cache = allocate(self.config, n_slots + 1, self.placement.dtype, self.placement.device)
        self._graphs = self._make_graphs()

    def release(self, slots: NDArray[np.int64]) -> None:
        """Let the system have the memory of slots that hold nothing; that of a GPU stays reserved."""
        if self._cache.device.type == "cpu":
            release_slots(self._cache.view(torch.uint8).numpy(), slots)

    @torch.inference_mode()
    def move(self, move: CacheMove) -> None:
        """Copy cached tokens, their keys turned to their new places."""
        rotary = self.config.rotary
        assert rotary is not None, "learned positions cannot be turned"
        device = self.placement.device
        sources, targets = (torch.from_numpy(slots).to(device) for slots in (move.sources, move.targets))
        cosine, sine = torch.from_numpy(rotary.turn(move.by)).to(device)  # [R / 2] each
        moved = self._cache[:, sources]  # [layers, T, 2, K, C]
        layers = [layer for layer in range(len(moved)) if layer not in self.config.unrotated_layers]
        moved[layers, :, 0] = turned(moved[layers, :, 0], cosine, sine)
        self._cache[:, targets] = moved

    @torch.inference_mode()
    def compute(self, batch: Batch) -> TorchHidden:
        """Compute the tokens of a step and keep their keys and values."""
        if self._graphs is not None and self._graphs.take(batch):
            return TorchHidden(self._graphs.hidden(batch), self.model)
        device = self.placement.device
        ids, positions, slots = (
            torch.from_numpy(array).to(device) for array in (batch.ids, batch.positions, batch.slots)
        )
        segments = [
            Segment(n_new=n_new, context_slots=torch.from_numpy(context))
            for n_new, context in zip(batch.n_new, batch.contexts, strict=True)
        ]
        self._set_threads(len(batch.ids))
        attend = CachedAttend(self._cache, slots, segments, self.config.n_head)
        with sdpa_kernel(_ATTENTION):
            return TorchHidden(self.model.hidden(ids, positions, attend), self.model)

    def _make_graphs(self) -> DecodeGraphs | None:
        wanted = os.environ.get(GRAPHS_VARIABLE, "off")
        if wanted not in ("off", "on", "compiled"):
            raise ConfigError(f"{GRAPHS_VARIABLE} = {wanted!r}: expected off, on or compiled")
        device = self.placement.device
        if wanted == "off" or device.type != "cuda" or torch.cuda.get_device_capability(device) < (8, 0):
            return None
        try:
            from model.pytorch import decode_graphs as graphs
        except ModuleNotFoundError as error:  # Triton, which comes with PyTorch for GPUs on Linux
            raise ConfigError(
                f"{GRAPHS_VARIABLE} = {wanted!r} needs {error.name}: install it, or set off"
            ) from error
        if not graphs.DecodeGraphs.serve(self.config):
            return None
        forward = graphs.compiled(self.model) if wanted == "compiled" else self.model.hidden
        self._step = "pytorch, cuda graphs" + (", compiled" if wanted == "compiled" else "")
        return graphs.DecodeGraphs(
            forward, self._cache, graphs.CudaGraphs(), n_positions=self.config.n_positions
        )

    def _set_threads(self, n_rows: int) -> None:
        if self.placement.device.type == "cpu":
            alone = self._is_small and n_rows < _ONE_THREAD_ROWS
            torch.set_num_threads(1 if alone else self._threads)


def load_torch_runner(
    folder: Path, config: ModelConfig, *, device: str, quantize: str, threads: int
) -> TorchRunner:
    """Load the model of `folder` where and how the settings say. Raises `ModelError`."""
    placement = choose_placement(n_parameters=config.n_parameters, device=device, quantize=quantize)
    torch.set_num_threads(threads)
    return TorchRunner(load_weights(folder, config, placement), placement, threads=threads)


def allocate(config: ModelConfig, n_slots: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Zeroed storage [layers, slots, 2, K, C]; on the CPU pages are only taken as they are written."""
    shape = (config.n_layer, n_slots, 2, config.n_kv_head, config.head_dim)
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    # NumPy asks the system for zeroed pages, PyTorch writes them: half a gigabyte at every start.
    return torch.from_numpy(np.zeros(math.prod(shape) * dtype.itemsize, np.uint8)).view(dtype).view(shape)


def _rows(values: Tensor, rows: Sequence[int]) -> Tensor:
    """Some rows of a tensor; all of them without a copy (nor the wait for a GPU that takes their numbers)."""
    every = len(rows) == len(values) and all(row == place for place, row in enumerate(rows))
    return values if every else values[list(rows)]


def _in_order(*parts: tuple[Sequence[int], Sampled]) -> Sampled:
    """One result of several, each with the places of its rows."""
    rows = sorted(
        (place, sampled.token_ids[row], sampled.logprobs[row], sampled.top[row])
        for places, sampled in parts
        for row, place in enumerate(places)
    )
    return Sampled(
        token_ids=[token for _, token, _, _ in rows],
        logprobs=[logprob for _, _, logprob, _ in rows],
        top=[top for _, _, _, top in rows],
        failed=sorted(places[row] for places, sampled in parts for row in sampled.failed),
    )
