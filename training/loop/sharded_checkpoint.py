"""A checkpoint's tensors written by all processes, each its own rows, with torch's DCP as safetensors.

Any number of processes reads them again, one alone too. No pickle: DCP's usual file format is one.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

SHARDS = "shard-*.safetensors"  # the names are DCP's


def is_sharded(folder: Path) -> bool:
    """Whether a checkpoint folder was written by `write_shards`."""
    return any(folder.glob(SHARDS))


def write_shards(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write this process's part of `tensors` (`DTensor`s, or equal ones in every process). All must call."""
    writer = HuggingFaceStorageWriter(str(folder), save_distributed=True)
    save(dict(tensors), storage_writer=writer)


def stored_shapes(folder: Path) -> dict[str, tuple[torch.Size, torch.dtype]]:
    """Name -> shape and number type of every whole tensor."""
    metadata = HuggingFaceStorageReader(str(folder)).read_metadata()
    return {
        name: (entry.size, entry.properties.dtype)
        for name, entry in metadata.state_dict_metadata.items()
        if isinstance(entry, TensorStorageMetadata)
    }


def read_shards_into(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Fill `tensors` in place: a `DTensor` with this process's rows. All processes must call."""
    load(dict(tensors), storage_reader=HuggingFaceStorageReader(str(folder)))


def read_whole(folder: Path) -> dict[str, Tensor]:
    """All tensors, whole, in this process alone."""
    tensors = {name: torch.zeros(size, dtype=dtype) for name, (size, dtype) in stored_shapes(folder).items()}
    with warnings.catch_warnings():
        # One process without a group is what is meant here.
        warnings.filterwarnings("ignore", "torch.distributed is disabled, unavailable or uninitialized")
        load(dict(tensors), storage_reader=HuggingFaceStorageReader(str(folder)), no_dist=True)
    return tensors
