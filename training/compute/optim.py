"""The optimizers of a run as one object, and how their state is named on disk.

Muon (momentum, orthogonalised) moves the hidden matrices, AdamW the embeddings, biases and norms; or
AdamW moves everything, as the paper did. Muon's step is scaled to AdamW's usual root mean square
(0.2·√max(rows, columns), Moonlight, arXiv 2502.16982, §2.2), so one order of magnitude of learning rates
suits both and weight decay means the same.

Parameters may be sharded (`DTensor`); what is frozen is left alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from model.pytorch.causal_lm import CausalLM
from training.errors import ResumeError
from training.recipe.tables import OptimRecipe


@dataclass(frozen=True, kw_only=True)
class _Part:
    """One optimizer, its peak learning rate and its parameters by name."""

    optimizer: torch.optim.Optimizer
    peak_lr: float
    parameters: Mapping[str, Tensor]


class Optimizers:
    """All optimizers over one model. Learning rates are set by a factor of the recipe's."""

    def __init__(self, model: CausalLM, recipe: OptimRecipe) -> None:
        trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self._parts = list(
            _muon_and_adamw(trained, hidden_matrices(model), recipe)
            if recipe.kind == "muon"
            else _adamw(trained, recipe)
        )

    def step(self, lr_factor: float) -> None:
        """One update of every parameter."""
        for part in self._parts:
            for group in part.optimizer.param_groups:
                group["lr"] = part.peak_lr * lr_factor
            part.optimizer.step()

    def zero_grad(self) -> None:
        """Forget the gradients and free their memory."""
        for part in self._parts:
            part.optimizer.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Tensor]:
        """`PARAMETER/WHAT` -> tensor, all there is to continue exactly."""
        state: dict[str, Tensor] = {}
        for part in self._parts:
            for name, parameter in part.parameters.items():
                for what, value in part.optimizer.state.get(parameter, {}).items():
                    state[f"{name}/{what}"] = value
        return state

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of `state`. Raises ResumeError when a name is foreign."""
        homes = {name: (part.optimizer, p) for part in self._parts for name, p in part.parameters.items()}
        for key, value in state.items():
            name, _, what = key.rpartition("/")
            if name not in homes:
                raise ResumeError(f"the checkpoint's optimizer has {key!r}, which this model does not")
            home, parameter = homes[name]
            kept = value if what == "step" else value.to(parameter.device)
            home.state[parameter][what] = kept.clone()


def _muon_and_adamw(
    trained: Mapping[str, Tensor], hidden: frozenset[str], recipe: OptimRecipe
) -> Iterator[_Part]:
    matrices = {name: p for name, p in trained.items() if name in hidden}
    others = {name: p for name, p in trained.items() if name not in matrices}
    muon = torch.optim.Muon(
        list(matrices.values()),
        lr=recipe.muon_lr,
        weight_decay=recipe.weight_decay,
        momentum=recipe.muon_momentum,
        adjust_lr_fn="match_rms_adamw",
    )
    yield _Part(optimizer=muon, peak_lr=recipe.muon_lr, parameters=matrices)
    groups = [{"params": list(others.values()), "weight_decay": 0.0}]
    yield _Part(optimizer=_fused_adamw(groups, recipe), peak_lr=recipe.adamw_lr, parameters=others)


def _adamw(trained: Mapping[str, Tensor], recipe: OptimRecipe) -> Iterator[_Part]:
    groups = [
        {"params": [p for p in trained.values() if p.dim() >= 2], "weight_decay": recipe.weight_decay},
        {"params": [p for p in trained.values() if p.dim() < 2], "weight_decay": 0.0},
    ]
    filled = [group for group in groups if group["params"]]
    yield _Part(optimizer=_fused_adamw(filled, recipe), peak_lr=recipe.adamw_lr, parameters=trained)


def _fused_adamw(groups: list[dict[str, object]], recipe: OptimRecipe) -> torch.optim.AdamW:
    return torch.optim.AdamW(groups, lr=recipe.adamw_lr, betas=recipe.adamw_betas, fused=True)


def hidden_matrices(model: CausalLM) -> frozenset[str]:
    """The parameters that Muon may have: matrices inside the blocks, neither embeddings nor vectors."""
    inside = {id(parameter) for parameter in model.blocks.parameters() if parameter.dim() == 2}
    return frozenset(name for name, parameter in model.named_parameters() if id(parameter) in inside)
