"""Fill-in-the-middle at load time, as Megatron's `gpt_dataset.py` does it (arXiv 2305.06161, §5.2).

A packed sample is split at end-of-document; each fragment flips its own coin, is turned back into
characters, cut at two uniform boundaries and laid out anew. Pure: every draw comes from the
generator that is handed in. Knows nothing of files or batches.

Two differences, both so that ids stay what serving produces. The repository and file tags at the
head of a document are never cut: they stay in front of the prefix. A fragment whose first or last
character was cut by the sample's edge inside its UTF-8 bytes stays as it is, since characters could
not give its ids back. A token of an issue, commit or notebook counts as one character.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from model.prompt.fim_format import FimFormat, FimOrder
from training.corpus.formats.code import FILENAME, GH_STARS, REPONAME
from training.data.encoding import Encoding
from training.errors import RecipeError

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_HEADER_TAGS = (REPONAME, FILENAME, GH_STARS)


@dataclass(frozen=True, kw_only=True)
class FimOptions:
    """`rate`: share of fragments transformed; `spm_rate`: share of those laid out suffix first."""

    rate: float = 0.5
    spm_rate: float = 0.5

    def __post_init__(self) -> None:
        for name in ("rate", "spm_rate"):
            if not 0 <= getattr(self, name) <= 1:
                raise RecipeError(f"fim {name} = {getattr(self, name)}: it must be from 0 to 1")


class FimTransform:
    """Applies FIM to packed samples with one tokenizer."""

    def __init__(self, encoding: Encoding, fim: FimFormat, options: FimOptions) -> None:
        ids = encoding.special_ids
        if fim.pad_id is None:
            raise RecipeError("the tokenizer has no token that fills up a sample: take another base")
        self._encoding, self._fim, self._options = encoding, fim, options
        self._end, self._pad = fim.end_of_text_id, fim.pad_id
        self._tags = frozenset(ids[tag] for tag in _HEADER_TAGS)
        self._specials = frozenset(ids.values())
        self._newline = encoding.encode("\n")[-1]

    def sample(self, ids: npt.NDArray[Any], rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """ids [T] -> [T]: fragments transformed, the whole truncated or padded to its old length."""
        out: list[int] = []
        for i, fragment in enumerate(self.fragments(ids)):
            if i:
                out.append(self._end)
            if fragment:
                out += self.fragment(fragment, rng)
        out = out[: len(ids)]
        return np.asarray(out + [self._pad] * (len(ids) - len(out)), dtype=np.int64)

    def fragments(self, ids: npt.NDArray[Any]) -> Iterable[list[int]]:
        """Split at end-of-document, which belongs to no fragment; a fragment may be empty."""
        bounds = [-1, *np.flatnonzero(ids == self._end).tolist(), len(ids)]
        for before, after in pairwise(bounds):
            yield ids[before + 1 : after].tolist()

    def fragment(self, ids: list[int], rng: np.random.Generator) -> list[int]:
        """One fragment's ids, transformed with probability `rate`."""
        if rng.random() >= self._options.rate:
            return ids
        header, body = self._split_header(ids)
        atoms = self._atoms(body)
        if _REPLACEMENT in atoms and self._encoded(atoms) != body:
            return ids
        first, second = sorted(rng.integers(0, len(atoms) + 1, size=2).tolist())
        parts = (atoms[:first], atoms[first:second], atoms[second:])
        prefix, middle, suffix = (self._encoded(part) for part in parts)
        order = FimOrder.SPM if rng.random() < self._options.spm_rate else FimOrder.PSM
        return self._fim.arrange(order, header + prefix, suffix) + middle

    def _atoms(self, ids: list[int]) -> str | list[str | int]:
        """What a boundary can fall between: characters, and the ids of special tokens if there are any."""
        if self._specials.isdisjoint(ids):
            return self._encoding.decode(ids)
        atoms: list[str | int] = []
        for is_special, group in groupby(ids, self._specials.__contains__):
            run = list(group)
            atoms += run if is_special else self._encoding.decode(run)
        return atoms

    def _encoded(self, atoms: str | list[str | int]) -> list[int]:
        if isinstance(atoms, str):
            return self._encoding.encode(atoms)
        ids: list[int] = []
        for is_special, group in groupby(atoms, lambda atom: isinstance(atom, int)):
            run = list(group)
            ids += map(int, run) if is_special else self._encoding.encode("".join(map(str, run)))
        return ids

    def _split_header(self, ids: list[int]) -> tuple[list[int], list[int]]:
        """(tags up to their newline, the rest). A header that the sample cut off is all there is."""
        if ids[0] not in self._tags:
            return [], ids
        end = ids.index(self._newline) + 1 if self._newline in ids else len(ids)
        return ids[:end], ids[end:]
