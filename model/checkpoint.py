"""Model folders on disk: config.json and weights as safetensors, one file or shards.

Reads what Hugging Face publishes for GPTBigCode, by its own names, and what `save_checkpoint`
writes; never a pickle. Knows nothing about tokenizers or where folders come from (`model.hub`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from model.config import ModelConfig
from model.device import Placement
from model.errors import CheckpointError
from model.quantize import (
    SCALE_SUFFIX,
    Int8Embedding,
    Scheme,
    dequantize_rows,
    int4_linear,
    int8_linear,
    quantize_rows,
)
from model.transformer import GPTBigCode

CONFIG_FILE = "config.json"
SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
_PREFIX = "transformer."
_TOKEN_EMBEDDING = "transformer.wte.weight"
_PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt")
_Shapes = Mapping[str, tuple[int, ...]]
# Causal masks that old exports carry, and the tied head under its own name.
_IGNORED_ENDINGS = (".attn.bias", ".attn.masked_bias", "lm_head.weight")


class _Weights:
    """Tensors by their GPTBigCode names over one or several memory-mapped files."""

    def __init__(self, folder: Path) -> None:
        self._file_of: dict[str, Path] = {}
        self._stored_name: dict[str, str] = {}
        self._open: dict[Path, safe_open] = {}
        for path in _weight_files(folder):
            try:
                self._open[path] = safe_open(path, framework="pt")
            except (SafetensorError, OSError) as error:
                raise CheckpointError(
                    f"{path} cannot be read as safetensors ({error}): it is truncated or damaged; "
                    "download it again"
                ) from error
            names: list[str] = self._open[path].keys()  # type: ignore[no-untyped-call]  # a native class
            for stored in names:
                name = stored if stored.startswith((_PREFIX, "lm_head.")) else _PREFIX + stored
                if not name.endswith(_IGNORED_ENDINGS):
                    self._file_of[name], self._stored_name[name] = path, stored

    def __contains__(self, name: str) -> bool:
        return name in self._file_of

    def names(self) -> set[str]:
        return set(self._file_of)

    def take(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """The tensor as stored. Raises `CheckpointError` where it is missing or of another shape."""
        if name not in self._file_of:
            raise CheckpointError(f"the weights lack {name}: is this a complete GPTBigCode checkpoint?")
        path = self._file_of[name]
        tensor: Tensor = self._open[path].get_tensor(  # type: ignore[no-untyped-call]  # a native class
            self._stored_name[name]
        )
        if tuple(tensor.shape) != shape:
            raise CheckpointError(
                f"{path}: {name} has shape {tuple(tensor.shape)}, the configuration asks for {shape}"
            )
        return tensor


def load_checkpoint(folder: Path, placement: Placement) -> GPTBigCode:
    """Load the model of `folder` for inference.

    Raises `ConfigError` for a configuration, `CheckpointError` for weights that cannot be used.
    """
    config = ModelConfig.from_file(folder / CONFIG_FILE)
    weights = _Weights(folder)
    with torch.device("meta"):
        model = GPTBigCode(config)
    expected = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    _refuse_unexpected(folder, weights.names(), expected)
    loader = _Loader(weights, expected, placement)
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear):
            parent, _, child = name.rpartition(".")
            model.get_submodule(parent).register_module(child, loader.linear(name, module.bias is not None))
        elif isinstance(module, nn.LayerNorm):
            module.weight = loader.parameter(f"{name}.weight")
            module.bias = loader.parameter(f"{name}.bias")
    model.transformer.wpe.weight = loader.parameter("transformer.wpe.weight")
    loader.tie_embedding(model)
    return model.eval().requires_grad_(False)


class _Loader:
    """Turns stored tensors into modules of the placement's device, number type and scheme."""

    def __init__(
        self, weights: _Weights, shapes: Mapping[str, tuple[int, ...]], placement: Placement
    ) -> None:
        self._weights, self._shapes, self._to = weights, shapes, placement

    def parameter(self, name: str) -> nn.Parameter:
        return nn.Parameter(self._dense(name), requires_grad=False)

    def linear(self, name: str, has_bias: bool) -> nn.Module:
        weight_name = f"{name}.weight"
        bias = self._dense(f"{name}.bias") if has_bias else None
        return self._linear(weight_name, bias)

    def tie_embedding(self, model: GPTBigCode) -> None:
        if self._to.scheme is Scheme.NONE:
            model.transformer.wte.weight = self.parameter(_TOKEN_EMBEDDING)
            return
        weight, scale = self._int8(_TOKEN_EMBEDDING)
        model.transformer.register_module("wte", Int8Embedding(weight, scale, self._to.dtype))
        # The head decides between near-equal logits: it stays int8 where the rest is int4, and its
        # answers stay fp32.
        model.head = int8_linear(weight, scale, None, torch.float32)

    def _linear(self, name: str, bias: Tensor | None) -> nn.Module:
        # Four bits pay where the weights are, in the feed-forward layers; attention, a fifth of the
        # weights with a single key/value head, loses more quality by them than all the rest.
        if self._to.scheme is Scheme.INT8 or (self._to.scheme is Scheme.INT4 and ".mlp." not in name):
            # Attention's inputs have the outliers that eight bits are too coarse for: nine tenths of
            # the quality that int8 costs is lost there.
            return int8_linear(*self._int8(name), bias, self._to.dtype, fine=".attn." in name)
        if self._to.scheme is Scheme.INT4:
            return int4_linear(self._dense(name, torch.float32), bias, self._to.dtype)
        weight = self._dense(name)
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
        layer.weight = nn.Parameter(weight, requires_grad=False)
        if bias is not None:
            layer.bias = nn.Parameter(bias, requires_grad=False)
        return layer

    def _int8(self, name: str) -> tuple[Tensor, Tensor]:
        stored = self._weights.take(name, self._shapes[name]).to(self._to.device)
        if stored.dtype is torch.int8:
            return stored, self._scale(name)
        return quantize_rows(stored)

    def _dense(self, name: str, dtype: torch.dtype | None = None) -> Tensor:
        dtype = dtype or self._to.dtype
        stored = self._weights.take(name, self._shapes[name]).to(self._to.device)
        if stored.dtype is torch.int8:
            return dequantize_rows(stored, self._scale(name), dtype)
        return stored.to(dtype)

    def _scale(self, name: str) -> Tensor:
        return self._weights.take(name + SCALE_SUFFIX, self._shapes[name][:1]).to(self._to.device)


def save_checkpoint(
    folder: Path,
    config: ModelConfig,
    state: Mapping[str, Tensor],
    *,
    scheme: Scheme = Scheme.NONE,
    max_shard_bytes: int = 5_000_000_000,
) -> None:
    """Write config.json and the weights as safetensors, in shards of at most `max_shard_bytes`
    (a single tensor may exceed it). `scheme` INT8 stores matrices as `model.quantize` says."""
    if scheme is Scheme.INT4:
        raise CheckpointError("scheme = int4 is made at load and never stored; save int8 or none")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG_FILE).write_text(json.dumps(config.to_dict(), indent=2) + "\n", encoding="utf-8")
    stored = {name: tensor.contiguous() for name, tensor in _stored(state, scheme)}
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


def _stored(state: Mapping[str, Tensor], scheme: Scheme) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in state.items():
        if scheme is Scheme.INT8 and tensor.dim() == 2 and not name.endswith("wpe.weight"):
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


def _weight_files(folder: Path) -> list[Path]:
    index = folder / INDEX_FILE
    if index.exists():
        try:
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise CheckpointError(
                f"{index} is not a safetensors index ({error!r}); download it again"
            ) from error
        missing = [name for name in names if not (folder / name).exists()]
        if missing:
            raise CheckpointError(
                f"{folder} lacks the shard {missing[0]} named in {INDEX_FILE}; download it again"
            )
        return [folder / name for name in names]
    if (folder / SINGLE_FILE).exists():
        return [folder / SINGLE_FILE]
    pickled = [path.name for path in sorted(folder.iterdir()) if path.suffix in _PICKLE_SUFFIXES]
    if pickled:
        raise CheckpointError(
            f"{folder / pickled[0]} is a pickle, which can run code when it is loaded; "
            "convert it to safetensors, or take the model's safetensors revision"
        )
    raise CheckpointError(f"{folder} holds no {SINGLE_FILE} and no {INDEX_FILE}")


def _refuse_unexpected(folder: Path, found: set[str], expected: _Shapes) -> None:
    unexpected = {name for name in found if name.removesuffix(SCALE_SUFFIX) not in expected}
    if unexpected:
        example = sorted(unexpected)[0]
        raise CheckpointError(
            f"{folder}: {len(unexpected)} weights do not belong to this configuration, for example {example}"
        )
