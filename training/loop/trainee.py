"""The model of a run with its optimizers: whole in every process, or sharded over them.

Owns how it is built (from nothing or from a base, with adapters or without), the loss and gradients of
micro-batches, the update, and which tensors a checkpoint keeps. Knows nothing of steps, stages or clocks.

Shapes: B samples of a micro-batch, T ids a sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from model.pytorch.causal_lm import CausalLM
from model.pytorch.checkpoint import dense_state
from model.pytorch.modules import build
from model.weights.hub import resolve
from training.compute.distributed import Group
from training.compute.lora import add_adapters, base_name, first_values, is_adapter
from training.compute.optim import Optimizers
from training.compute.positions import extended_positions
from training.compute.precision import Precision
from training.compute.sharding import free_gathered, put, shard, whole
from training.data.data import document_ids
from training.errors import ResumeError
from training.loop.checkpointing import MODEL_PREFIX, OPTIMIZER_PREFIX, load_checkpoint
from training.loop.sharded_checkpoint import is_sharded, read_shards_into, stored_shapes
from training.recipe.recipe import Recipe


class Trainee:
    """One process's model and optimizers. All processes of a group make the same calls."""

    def __init__(self, group: Group, recipe: Recipe, precision: Precision, end_id: int) -> None:
        self._group, self._recipe, self._end_id = group, recipe, end_id
        self.sharded = recipe.compute.sharding == "fsdp" and group.size > 1
        # What is sharded gathers its weights as bf16 by itself.
        self.precision = replace(precision, bf16=False) if self.sharded else precision
        self.model = self._built(precision)
        self._fill()
        self.optimizers = Optimizers(self.model, recipe.optim)
        self._loss = (
            torch.compile(self._mean_loss, dynamic=False) if recipe.compute.compile else self._mean_loss
        )

    def _built(self, precision: Precision) -> CausalLM:
        with torch.device("meta"):
            model = build(self._recipe.model)
        if self._recipe.lora is not None:
            add_adapters(model, self._recipe.lora)
        model.recompute_activations = self._recipe.compute.activation_checkpointing
        if self.sharded:
            shard(model, precision)
        model.to_empty(device=precision.device)
        if self._recipe.lora is not None and self.precision.bf16:
            for parameter in model.parameters():  # frozen weights need no more than they compute in
                if not parameter.requires_grad:
                    parameter.data = parameter.data.to(torch.bfloat16)
        return model.train()

    def _fill(self) -> None:
        """First values: drawn in the order of the names from the seed, or the base's."""
        parameters = dict(self.model.named_parameters())
        if self._recipe.base is None:
            generator = torch.Generator().manual_seed(self._recipe.seed)
            for name, parameter in parameters.items():
                values = torch.empty(parameter.shape)
                self.model.init_parameter(name, values, generator)
                put(parameter, values)
            return
        own = {name: parameter for name, parameter in parameters.items() if is_adapter(name)}
        shapes = ((name, parameter.shape) for name, parameter in own.items())
        for name, values in first_values(shapes, self._recipe.seed):
            put(own[name], values)
        of_base = {base_name(name): parameters[name] for name in parameters if name not in own}
        for name, values in self._base_weights(self._recipe.base, of_base):
            put(of_base[name], values, from_first=True)

    def _base_weights(self, base: str, wanted: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """Read in the first process alone where the others are sent their rows: a base may be large."""
        read = not self.sharded or self._group.is_first
        weights = dense_state(resolve(base).folder) if read else {}
        for name, parameter in wanted.items():
            yield name, weights.pop(name) if read else torch.empty(parameter.shape)

    def gradients(self, batches: Iterator[tuple[Tensor, Tensor]], accumulate: int) -> Tensor:
        """Gradients of so many micro-batches of each process, averaged over all; their mean loss, fp32."""
        losses = []
        for _ in range(accumulate):
            inputs, targets = (t.to(self.precision.device) for t in next(batches))
            with self.precision.autocast():
                loss = self._loss(inputs, targets)
            torch.autograd.backward(loss / accumulate)
            losses.append(loss.detach())
        mean = torch.stack(losses).mean().float()
        # FSDP has averaged the gradients in the backward pass.
        unaveraged = [] if self.sharded else [cast(Tensor, p.grad) for p in self._with_gradient()]
        self._group.average([*unaveraged, mean])
        return mean

    def clip(self, limit: float) -> float:
        """Scale the gradients down to a norm of at most `limit`; the norm before."""
        return float(whole(torch.nn.utils.clip_grad_norm_(self._with_gradient(), limit)))

    def update(self, lr_factor: float) -> None:
        """One step of the optimizers; the gradients are gone then."""
        self.optimizers.step(lr_factor)
        self.optimizers.zero_grad()

    def _with_gradient(self) -> list[Tensor]:
        return [p for p in self.model.parameters() if p.grad is not None]

    def _mean_loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """inputs [B, T], targets [B, T] -> mean loss of a micro-batch."""
        masked = self._recipe.data.document_mask
        documents = document_ids(inputs, self._end_id) if masked else None
        return self.model.loss(
            inputs, targets, document_ids=documents, chunk_tokens=self._recipe.compute.chunk_tokens
        )

    def extend_positions(self, *, trained: int, wanted: int) -> None:
        """Give positions that were never trained their first values, for a stage of longer samples."""
        embedding = self.model.position_embedding
        assert embedding is not None, "a recipe has no model without learned positions"
        rows = embedding.weight
        put(rows, extended_positions(whole(rows.detach()), trained=trained, wanted=wanted))

    @contextmanager
    def scoring(self) -> Iterator[CausalLM]:
        """The model for forward passes without gradients."""
        yield self.model
        if self.sharded:
            free_gathered(self.model)

    def trained(self) -> dict[str, Tensor]:
        """What a checkpoint keeps of the model: all parameters, or only the adapters."""
        return {name: p.detach() for name, p in self.model.named_parameters() if p.requires_grad}

    def load(self, path: Path) -> None:
        """Take over a checkpoint folder of this or another number of processes. Raises ResumeError."""
        if self.sharded and is_sharded(path):
            model, optimizer = self._read_shards(path)
        else:
            checkpoint = load_checkpoint(path)
            model, optimizer = dict(checkpoint.model), dict(checkpoint.optimizer)
        parameters = self.trained()
        if missing := sorted(set(parameters) ^ set(model)):
            raise ResumeError(f"{path} and the recipe's model differ in {missing[0]}: use another run folder")
        for name, values in model.items():
            if values is not parameters[name]:  # not read in place
                put(parameters[name], values)
        self.optimizers.load_state(self._placed(optimizer, parameters))

    def _read_shards(self, path: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Read straight into the parameters, and the optimizer's tensors into new ones like them."""
        parameters = self.trained()
        model: dict[str, Tensor] = {}
        optimizer: dict[str, Tensor] = {}
        for name, (size, dtype) in stored_shapes(path).items():
            if name.startswith(MODEL_PREFIX) and (own := name.removeprefix(MODEL_PREFIX)) in parameters:
                model[own] = parameters[own]
            elif name.startswith(OPTIMIZER_PREFIX):
                of = parameters.get(name.removeprefix(OPTIMIZER_PREFIX).rpartition("/")[0])
                like = of is not None and of.shape == size
                optimizer[name.removeprefix(OPTIMIZER_PREFIX)] = (
                    torch.zeros_like(cast(Tensor, of), dtype=dtype)
                    if like
                    else torch.zeros(size, dtype=dtype)
                )
        tensors = {MODEL_PREFIX + name: tensor for name, tensor in model.items()}
        read_shards_into(
            path, tensors | {OPTIMIZER_PREFIX + name: tensor for name, tensor in optimizer.items()}
        )
        return model, optimizer

    def _placed(self, optimizer: Mapping[str, Tensor], parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Whole tensors of the optimizer's state, sharded as their parameters are."""
        placed: dict[str, Tensor] = {}
        for key, value in optimizer.items():
            parameter = parameters.get(key.rpartition("/")[0])
            if (
                self.sharded
                and parameter is not None
                and type(value) is Tensor
                and value.shape == parameter.shape
            ):
                placed[key] = torch.zeros_like(parameter, dtype=value.dtype)
                put(placed[key], value)
            else:
                placed[key] = value
        return placed
