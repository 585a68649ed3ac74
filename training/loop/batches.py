"""Micro-batches of one process: which sample numbers are its own, and the loader that makes them."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor
from torch.utils.data import DataLoader

from model.local.threads import available_cpus
from training.compute.distributed import Group
from training.data.data import DataOptions, TrainingSamples
from training.data.encoding import Encoding
from training.data.packing import PackedCorpus
from training.recipe.recipe import Recipe


def stage_batches(
    recipe: Recipe, stage: int, corpus: PackedCorpus, encoding: Encoding, group: Group, first_sample: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """(input ids [B, T], targets [B, T]) of this process from a stage's sample `first_sample` on."""
    shape = recipe.stages[stage]
    options = DataOptions(
        seq_len=shape.seq_len,
        # Another seed each stage: else a later one would begin with the text of the first.
        seed=recipe.seed + stage,
        weights=recipe.data.weights,
        fim=recipe.fim,
    )
    fim = recipe.model.family.fim_format(encoding.special_ids)
    loader = DataLoader(
        TrainingSamples(corpus, encoding, fim, options),
        batch_sampler=RankBatches(group, shape.micro_batch, first_sample),
        # More than there are cores would only wait for each other. How many there are changes no batch.
        num_workers=min(recipe.data.workers, available_cpus()),
    )
    return iter(loader)


class RankBatches:
    """Sample numbers of this process's micro-batches, without end: micro-batch m of a step goes to
    process m modulo the group's size, so a group sees what one process would, in the same steps."""

    def __init__(self, group: Group, micro_batch: int, first_sample: int) -> None:
        self._group, self._micro_batch, self._first = group, micro_batch, first_sample

    def __iter__(self) -> Iterator[list[int]]:
        begin = self._first + self._group.rank * self._micro_batch
        while True:
            yield list(range(begin, begin + self._micro_batch))
            begin += self._group.size * self._micro_batch
