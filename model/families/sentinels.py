"""The sentinels of fill-in-the-middle prompts by what a vocabulary holds, and the tokens that end an answer.

Published models of one shape come with many vocabularies, and a vocabulary tells how its model was trained:
DeepSeek-Coder, Code Llama and Mellum are all of Llama's shape. Owns the texts, the orders that each kind
was trained in and the tokens after which another text would follow. How much of a text goes into a prompt
is `model.prompt.fim`'s.

Sources: StarCoder2 arXiv 2402.19173 §5, Granite Code 2405.04324 §3, Qwen2.5-Coder 2409.12186 §3.2, CodeGemma
2406.11409 §3, DeepSeek-Coder 2401.14196 §3.1, Code Llama 2308.12950 §2.3, Seed-Coder 2506.03524 §3.1,
Codestral's tokenizer in mistral-common, Mellum-4b's model card and its special_tokens_map.json, whose roles
Granite's vocabulary, which is StarCoder's, lacks.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from model.errors import TokenizerError
from model.prompt.fim_format import FimFormat, FimOrder


@dataclass(frozen=True, kw_only=True)
class Sentinels:
    """How the vocabularies of one kind of model call the parts of a prompt."""

    example: str
    """A model on the hub that has them."""
    prefix: str
    suffix: str
    middle: str | None
    """None: the middle follows the prefix without one."""
    orders: tuple[FimOrder, ...]
    suffix_opens: bool = False
    """See `FimFormat.suffix_opens`."""
    end_of_text: tuple[str, ...]
    """The first of these that there is ends a document."""
    pad: str | None = None
    filename: str | None = None
    file: str | None = None
    """See `FimFormat.file_id`."""
    repository: str | None = None
    beside: tuple[str, ...] = ()
    """Tokens that tell this kind from others with the same sentinels."""
    without: tuple[str, ...] = ()
    """Tokens that vocabularies of this kind do not have."""

    @property
    def names(self) -> tuple[str, ...]:
        """The tokens by which prompts are laid out."""
        parts = (self.end_of_text[0], self.prefix, self.middle, self.suffix, self.pad, self.filename)
        return (*(name for name in parts if name is not None), *self.beside)

    def missing(self, special_ids: Mapping[str, int]) -> list[str]:
        """What a vocabulary of this kind would have, too."""
        needed = [name for name in (self.prefix, self.middle, self.suffix, *self.beside) if name is not None]
        missing = [name for name in needed if name not in special_ids]
        return (
            missing
            if any(name in special_ids for name in self.end_of_text)
            else [self.end_of_text[0], *missing]
        )

    def holds(self, special_ids: Mapping[str, int]) -> bool:
        """Whether a vocabulary is of this kind."""
        return not self.missing(special_ids) and not any(name in special_ids for name in self.without)

    def format(self, special_ids: Mapping[str, int]) -> FimFormat:
        """The prompts of a vocabulary of this kind."""
        return FimFormat(
            orders=self.orders,
            prefix_id=special_ids[self.prefix],
            middle_id=None if self.middle is None else special_ids[self.middle],
            suffix_id=special_ids[self.suffix],
            suffix_opens=self.suffix_opens,
            end_of_text_id=next(special_ids[name] for name in self.end_of_text if name in special_ids),
            pad_id=None if self.pad is None else special_ids.get(self.pad),
            filename_id=None if self.filename is None else special_ids.get(self.filename),
            file_id=None if self.file is None else special_ids.get(self.file),
            repository_id=None if self.repository is None else special_ids.get(self.repository),
        )


_PREFIX_FIRST = (FimOrder.PSM,)
_SUFFIX_FIRST = (FimOrder.SPM,)
_BOTH = (FimOrder.SPM, FimOrder.PSM)
_underscored = partial(Sentinels, prefix="<fim_prefix>", suffix="<fim_suffix>", middle="<fim_middle>")
_barred = partial(Sentinels, prefix="<|fim_prefix|>", suffix="<|fim_suffix|>", middle="<|fim_middle|>")

STARCODER = _underscored(
    example="bigcode/starcoderbase-1b",
    orders=_BOTH,
    end_of_text=("<|endoftext|>",),
    pad="<fim_pad>",
    filename="<filename>",
)
SANTACODER = Sentinels(
    example="bigcode/santacoder",
    prefix="<fim-prefix>",
    suffix="<fim-suffix>",
    middle="<fim-middle>",
    orders=_BOTH,
    end_of_text=("<|endoftext|>",),
    pad="<fim-pad>",
)
STARCODER2 = _underscored(
    example="bigcode/starcoder2-3b",
    orders=_BOTH,
    end_of_text=("<|endoftext|>",),
    pad="<fim_pad>",
    beside=("<file_sep>", "<repo_name>"),
)
GRANITE = _underscored(
    example="ibm-granite/granite-3b-code-base-2k",
    orders=_PREFIX_FIRST,
    end_of_text=("<|endoftext|>", "<|end_of_text|>"),
    pad="<fim_pad>",
    without=("<|startoftext|>",),  # Yi's, whose order is not published
)
MELLUM = _underscored(
    example="JetBrains/Mellum-4b-base",
    orders=_SUFFIX_FIRST,
    suffix_opens=True,
    end_of_text=("<|endoftext|>",),
    filename="<filename>",
    beside=("<user>", "<assistant>"),
)
CODE_GEMMA = _barred(
    example="google/codegemma-2b",
    orders=_PREFIX_FIRST,
    end_of_text=("<eos>",),
    beside=("<|file_separator|>",),
)
QWEN = _barred(
    example="Qwen/Qwen2.5-Coder-1.5B",
    orders=_PREFIX_FIRST,
    end_of_text=("<|endoftext|>", "<|end_of_text|>"),  # the latter in Granite 4
    pad="<|fim_pad|>",
    file="<|file_sep|>",
    repository="<|repo_name|>",
)
DEEPSEEK = Sentinels(
    example="deepseek-ai/deepseek-coder-1.3b-base",
    prefix="<｜fim▁begin｜>",
    suffix="<｜fim▁hole｜>",
    middle="<｜fim▁end｜>",
    orders=_PREFIX_FIRST,
    end_of_text=("<｜end▁of▁sentence｜>",),
)
CODE_LLAMA = Sentinels(
    example="codellama/CodeLlama-7b-hf",
    prefix="▁<PRE>",
    suffix="▁<SUF>",
    middle="▁<MID>",
    orders=_BOTH,
    end_of_text=("</s>",),
)
SEED_CODER = Sentinels(
    example="ByteDance-Seed/Seed-Coder-8B-Base",
    prefix="<[fim-prefix]>",
    suffix="<[fim-suffix]>",
    middle="<[fim-middle]>",
    orders=_SUFFIX_FIRST,
    suffix_opens=True,
    end_of_text=("<[end▁of▁sentence]>",),
)
CODESTRAL = Sentinels(
    example="mistralai/Codestral-22B-v0.1",
    prefix="[PREFIX]",
    suffix="[SUFFIX]",
    middle=None,
    orders=_SUFFIX_FIRST,
    suffix_opens=True,
    end_of_text=("</s>",),
)
# What has more tokens of its own comes before what it would be taken for.
KNOWN = (QWEN, CODE_GEMMA, DEEPSEEK, STARCODER2, MELLUM, GRANITE, CODE_LLAMA, SEED_CODER, CODESTRAL)

# Ends of documents, turns and files. Beside them every sentinel ends an answer.
_ENDS = (
    *("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<｜end▁of▁sentence｜>", "<[end▁of▁sentence]>"),
    *("<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<end_of_turn>", "<|EOT|>", "▁<EOT>", "<|end|>"),
    *("<|file_sep|>", "<file_sep>", "<|file_separator|>", "<filename>", "<|repo_name|>", "<repo_name>"),
    *("<reponame>", "<fim_pad>", "<|fim_pad|>", "[MIDDLE]"),
)


def fim_format(special_ids: Mapping[str, int], kinds: Sequence[Sentinels]) -> FimFormat:
    """The prompts of a vocabulary by the first of some kinds that it is of. Raises `TokenizerError`."""
    for kind in kinds:
        if kind.holds(special_ids):
            return kind.format(special_ids)
    begun = [kind for kind in kinds if kind.prefix in special_ids]
    nearest = min(begun, key=lambda kind: len(kind.missing(special_ids)), default=None)
    missing = [kinds[0].prefix] if nearest is None else nearest.missing(special_ids)
    raise TokenizerError(
        f"the tokenizer lacks {', '.join(missing) or 'a known order'}: this model cannot fill in the middle. "
        f"Take one that was trained to, such as {(nearest or kinds[0]).example}."
    )


def end_ids(special_ids: Mapping[str, int]) -> Collection[int]:
    """The special tokens after which nothing of an answer comes."""
    marks = {name for kind in KNOWN for name in (kind.prefix, kind.suffix, kind.middle)}
    return {number for name, number in special_ids.items() if name in marks or name in _ENDS}
