"""Model folders on disk as PyTorch models: loading what Hugging Face publishes, and saving.

Knows nothing about tokenizers or where folders come from (`model.weights.hub`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from model.errors import CheckpointError
from model.families.config import CONFIG_FILE, Family, ModelConfig
from model.families.registry import read_config
from model.pytorch.causal_lm import CausalLM
from model.pytorch.device import Placement
from model.pytorch.modules import build
from model.pytorch.quantize import Int4Linear, Int8Embedding, Int8Linear, dequantize_rows, quantize_rows
from model.weights.scheme import SCALE_SUFFIX, Scheme, bits_of
from model.weights.weight_files import INDEX_FILE, SINGLE_FILE, WeightFiles

# The types as which PyTorch views bits that NumPy has read, having no name for some of them.
_TORCH_TYPES = {
    "BF16": torch.bfloat16,
    "F16": torch.float16,
    "F32": torch.float32,
    "I8": torch.int8,
}


def load_checkpoint(folder: Path, placement: Placement) -> CausalLM:
    """Load the model of `folder` for inference.

    Raises `ConfigError` for a configuration, `CheckpointError` for weights that cannot be used.
    """
    return load_weights(folder, read_config(folder), placement)


def load_weights(folder: Path, config: ModelConfig, placement: Placement) -> CausalLM:
    """The same where the configuration has been read already."""
    weights = WeightFiles(folder, config)
    with torch.device("meta"):
        model = build(config)
    weights.check(config.family.shapes(config))
    loader = _Loader(weights, config, placement)
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear):
            _replace(model, name, loader.linear(name, module.bias is not None))
        elif isinstance(module, nn.LayerNorm):
            module.weight = loader.parameter(f"{name}.weight")
            module.bias = loader.parameter(f"{name}.bias")
        elif isinstance(module, nn.RMSNorm):
            module.weight = loader.parameter(f"{name}.weight")
        elif module is model.token_embedding and placement.scheme is not Scheme.NONE:
            embedding, head = loader.embedding(f"{name}.weight", tied=config.tied_head)
            _replace(model, name, embedding)
            model.head = head
        elif isinstance(module, nn.Embedding):
            module.weight = loader.parameter(f"{name}.weight")
    return model.eval().requires_grad_(False)


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    model.get_submodule(parent).register_module(child, module)


class _Loader:
    """Turns stored tensors into modules of the placement's device, number type and scheme."""

    def __init__(self, weights: WeightFiles, config: ModelConfig, placement: Placement) -> None:
        self._weights, self._family, self._to = weights, config.family, placement
        self._shapes = config.family.shapes(config)

    def parameter(self, name: str) -> nn.Parameter:
        return nn.Parameter(self._dense(name), requires_grad=False)

    def linear(self, name: str, has_bias: bool) -> nn.Module:
        weight_name = f"{name}.weight"
        bias = self._dense(f"{name}.bias") if has_bias else None
        return self._linear(weight_name, bias)

    def embedding(self, name: str, *, tied: bool) -> tuple[Int8Embedding, Int8Linear | None]:
        """The embedding in int8 and, where it is tied, the head of the same weights."""
        weight, scale = self._int8(name)
        embedding = Int8Embedding(weight, scale, self._to.dtype)
        return embedding, Int8Linear(weight, scale, None, torch.float32) if tied else None

    def _linear(self, name: str, bias: Tensor | None) -> nn.Module:
        bits = bits_of(self._to.scheme, feed_forward=self._family.is_feed_forward(name))
        if bits == 8:
            return Int8Linear(*self._int8(name), bias, self._to.dtype)
        if bits == 4:
            return Int4Linear(self._dense(name, torch.float32), bias, self._to.dtype)
        weight = self._dense(name)
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
        layer.weight = nn.Parameter(weight, requires_grad=False)
        if bias is not None:
            layer.bias = nn.Parameter(bias, requires_grad=False)
        return layer

    def _int8(self, name: str) -> tuple[Tensor, Tensor]:
        stored = self._stored(name, self._shapes[name])
        if stored.dtype is torch.int8:
            return stored, self._scale(name)
        return quantize_rows(stored)

    def _dense(self, name: str, dtype: torch.dtype | None = None) -> Tensor:
        dtype = dtype or self._to.dtype
        stored = self._stored(name, self._shapes[name])
        if stored.dtype is torch.int8:
            return dequantize_rows(stored, self._scale(name), dtype)
        return stored.to(dtype)

    def _scale(self, name: str) -> Tensor:
        return self._stored(name + SCALE_SUFFIX, self._shapes[name][:1])

    def _stored(self, name: str, shape: tuple[int, ...]) -> Tensor:
        stored = self._weights.take(name, shape)
        return torch.from_numpy(stored.data).view(_TORCH_TYPES[stored.dtype]).to(self._to.device)


def save_checkpoint(
    folder: Path,
    config: ModelConfig,
    state: Mapping[str, Tensor],
    *,
    scheme: Scheme = Scheme.NONE,
    max_shard_bytes: int = 5_000_000_000,
) -> None:
    """Write config.json and the weights as safetensors, in shards of at most `max_shard_bytes`
    (a single tensor may exceed it). `scheme` INT8 stores matrices as `model.pytorch.quantize` says."""
    if scheme is Scheme.INT4:
        raise CheckpointError("scheme = int4 is made at load and never stored; save int8 or none")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG_FILE).write_text(
        json.dumps(config.family.write(config), indent=2) + "\n", encoding="utf-8"
    )
    stored = {name: tensor.contiguous() for name, tensor in _stored(state, scheme, config.family)}
    shards = _shards(stored, max_shard_bytes)
    if len(shards) == 1:
        _save_file(shards[0], folder / SINGLE_FILE)
    else:
        file_of: dict[str, str] = {}
        for number, shard in enumerate(shards, 1):
            file = f"model-{number:05}-of-{len(shards):05}.safetensors"
            _save_file(shard, folder / file)
            file_of |= dict.fromkeys(shard, file)
        total = sum(tensor.nbytes for tensor in stored.values())
        index = {"metadata": {"total_size": total}, "weight_map": file_of}
        (folder / INDEX_FILE).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


def _save_file(tensors: dict[str, Tensor], path: Path) -> None:
    save_file(tensors, path, metadata={"format": "pt"})
    # safetensors writes for the owner alone; a model is as readable as its configuration.
    path.chmod(path.with_name(CONFIG_FILE).stat().st_mode)


def dense_state(folder: Path, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """The weights of `folder` by name, dequantised, for tools that know no int8 (transformers)."""
    model = load_checkpoint(
        folder, Placement(device=torch.device("cpu"), dtype=dtype, scheme=Scheme.NONE, reason="dense")
    )
    return dict(model.state_dict())


def _stored(state: Mapping[str, Tensor], scheme: Scheme, family: Family) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in state.items():
        if scheme is Scheme.INT8 and tensor.dim() == 2 and name != family.position_embedding:
            codes, scale = quantize_rows(tensor)
            yield name, codes
            yield name + SCALE_SUFFIX, scale
        else:
            yield name, tensor


def _shards(tensors: Mapping[str, Tensor], max_bytes: int) -> list[dict[str, Tensor]]:
    shards: list[dict[str, Tensor]] = [{}]
    n_bytes = 0
    for name, tensor in tensors.items():
        if shards[-1] and n_bytes + tensor.nbytes > max_bytes:
            shards.append({})
            n_bytes = 0
        shards[-1][name] = tensor
        n_bytes += tensor.nbytes
    return shards
