"""Low-rank adapters on a model, by peft: put in, first values, merged into the base's weights.

peft brings the layers; their first values are drawn here, from the run's seed alone, so that they are the
same for any number of processes. Names: an adapted `X.weight` becomes `X.base_layer.weight` beside
`X.lora_A.default.weight` [rank, in] and `X.lora_B.default.weight` [out, rank].
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from model.pytorch.causal_lm import CausalLM
from training.recipe.tables import LoraRecipe

_A, _B = ".lora_A.default.weight", ".lora_B.default.weight"


def add_adapters(model: CausalLM, recipe: LoraRecipe) -> None:
    """Put adapters (without values, on the meta device) beside the target layers; freeze the rest."""
    from peft import LoraConfig, inject_adapter_in_model  # imports transformers: seconds

    config = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,  # type: ignore[arg-type]  # peft takes any number
        lora_dropout=recipe.dropout,
        target_modules=list(recipe.targets or model.config.family.linear_layers),
    )
    inject_adapter_in_model(config, model, low_cpu_mem_usage=True)


def base_name(name: str) -> str:
    """A parameter's name in the base model."""
    return name.replace(".base_layer.", ".")


def is_adapter(name: str) -> bool:
    """Whether a parameter belongs to an adapter."""
    return name.endswith((_A, _B))


def first_values(names: Iterable[tuple[str, torch.Size]], seed: int) -> Iterator[tuple[str, Tensor]]:
    """A as `nn.Linear` begins (peft's choice), B zero (arXiv 2106.09685, §4.1): at first, the base itself."""
    generator = torch.Generator().manual_seed(seed)
    for name, shape in names:
        values = torch.zeros(shape)
        if name.endswith(_A):
            nn.init.kaiming_uniform_(values, a=math.sqrt(5), generator=generator)
        yield name, values


def merged(
    base: Iterable[tuple[str, Tensor]], adapters: Mapping[str, Tensor], recipe: LoraRecipe
) -> Iterator[tuple[str, Tensor]]:
    """The base's tensors with W + (alpha / rank)·B·A where there are adapters, in fp32."""
    for name, weight in base:
        stem = name.removesuffix(".weight")
        if stem + _A in adapters:
            update = adapters[stem + _B].float() @ adapters[stem + _A].float()
            weight = weight.float() + recipe.alpha / recipe.rank * update
        yield name, weight
