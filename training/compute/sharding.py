"""Weights, gradients and optimizer spread over the processes of a run (FSDP2), and whole ones put into them.

Every block is a unit of its own: while one computes, the next one's weights are gathered. What is left
(embeddings, last LayerNorm) is the root's unit. Numbers: with bf16 the gathered weights and the
activations are bf16, the shards, the sums of gradients and the optimizer fp32.

A process holds 1/N of each tensor's rows. Nothing here knows what a step or a checkpoint is.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import (
    FSDPModule,
    MixedPrecisionPolicy,
    fully_shard,
    register_fsdp_forward_method,
)
from torch.distributed.tensor import DTensor, distribute_tensor

from model.pytorch.causal_lm import CausalLM
from training.compute.precision import Precision


def shard(model: CausalLM, precision: Precision) -> None:
    """Turn the parameters (of a model on the meta device) into `DTensor`s over all processes."""
    mesh = init_device_mesh(precision.device.type, (dist.get_world_size(),))
    numbers = (
        MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
        if precision.bf16
        else MixedPrecisionPolicy()
    )
    for block in model.blocks:
        fully_shard(block, mesh=mesh, mp_policy=numbers)
    fully_shard(model, mesh=mesh, mp_policy=numbers)
    register_fsdp_forward_method(model, "loss")  # what training and scoring call instead of `forward`


def free_gathered(model: CausalLM) -> None:
    """After a forward pass without a backward pass: the root's parameters are shards again.

    Until then they are whole tensors, of which writing would be lost and a checkpoint would be wrong.
    """
    assert isinstance(model, FSDPModule)
    model.reshard()


@torch.no_grad()
def put(parameter: Tensor, whole: Tensor, *, from_first: bool = False) -> None:
    """Copy a whole tensor into a parameter; of a sharded one, this process's rows.

    `from_first`: only the first process's `whole` counts (the others' is of the right shape), and its
    rows are sent; else every process has the same one and nothing is sent.
    """
    if not isinstance(parameter, DTensor):
        parameter.copy_(whole)
        return
    source = 0 if from_first else None
    given = whole.to(parameter.device) if from_first else whole
    mine = distribute_tensor(given, parameter.device_mesh, parameter.placements, src_data_rank=source)
    parameter.to_local().copy_(mine.to_local())


def whole(tensor: Tensor) -> Tensor:
    """The whole of a tensor that may be sharded; then every process has to ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
