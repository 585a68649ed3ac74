"""The two optimizers of a run as one object, and how their state is named on disk.

Muon (momentum, orthogonalised) moves the hidden matrices, AdamW the embeddings, biases and norms.
Muon's step is scaled to AdamW's usual root mean square (0.2·√max(rows, columns), Moonlight, arXiv
2502.16982, §2.2), so one order of magnitude of learning rates suits both and weight decay means the
same.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from training.errors import ResumeError
from training.recipe import OptimRecipe


class Optimizers:
    """Muon and AdamW over one model. Learning rates are set by a factor of the recipe's."""

    def __init__(self, model: nn.Module, recipe: OptimRecipe) -> None:
        self._recipe = recipe
        self._matrices = {name: p for name, p in model.named_parameters() if is_hidden_matrix(name, p)}
        self._others = {name: p for name, p in model.named_parameters() if name not in self._matrices}
        self._muon = torch.optim.Muon(
            list(self._matrices.values()),
            lr=recipe.muon_lr,
            weight_decay=recipe.weight_decay,
            momentum=recipe.muon_momentum,
            adjust_lr_fn="match_rms_adamw",
        )
        self._adamw = torch.optim.AdamW(
            list(self._others.values()),
            lr=recipe.adamw_lr,
            betas=recipe.adamw_betas,
            weight_decay=0.0,
            fused=True,
        )

    def step(self, lr_factor: float) -> None:
        """One update of every parameter."""
        for optimizer, lr in ((self._muon, self._recipe.muon_lr), (self._adamw, self._recipe.adamw_lr)):
            for group in optimizer.param_groups:
                group["lr"] = lr * lr_factor
            optimizer.step()  # type: ignore[no-untyped-call]  # Muon's is not annotated

    def zero_grad(self) -> None:
        """Forget the gradients and free their memory."""
        self._muon.zero_grad(set_to_none=True)
        self._adamw.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Tensor]:
        """`PARAMETER/WHAT` -> tensor, all there is to continue exactly."""
        state: dict[str, Tensor] = {}
        for optimizer, named in ((self._muon, self._matrices), (self._adamw, self._others)):
            for name, parameter in named.items():
                for what, value in optimizer.state.get(parameter, {}).items():
                    state[f"{name}/{what}"] = value
        return state

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of `state`. Raises ResumeError when a name is foreign."""
        homes: dict[str, tuple[torch.optim.Optimizer, Tensor]] = {}
        homes.update({name: (self._muon, parameter) for name, parameter in self._matrices.items()})
        homes.update({name: (self._adamw, parameter) for name, parameter in self._others.items()})
        for key, value in state.items():
            name, _, what = key.rpartition("/")
            if name not in homes:
                raise ResumeError(f"the checkpoint's optimizer has {key!r}, which this model does not")
            home, parameter = homes[name]
            kept = value if what == "step" else value.to(parameter.device)
            home.state[parameter][what] = kept.clone()


def is_hidden_matrix(name: str, parameter: Tensor) -> bool:
    """Whether Muon may have it: a matrix inside a block, neither an embedding nor a vector."""
    return parameter.dim() == 2 and ".h." in name
