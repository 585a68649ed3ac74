"""The special tokens of StarCoder and the two fill-in-the-middle orders, as plain text and ids.

Shared by serving, by training and by the client of foreign engines, hence free of torch and of
the tokenizer. Knows neither how text is encoded nor how much of it fits (`model.prompt.fim` does).

Source: arXiv 2305.06161, §5.1 and Megatron's `gpt_dataset.py`; SPM is "variant 2" of
arXiv 2207.14255, §4.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

END_OF_TEXT = "<|endoftext|>"
FIM_PREFIX = "<fim_prefix>"
FIM_MIDDLE = "<fim_middle>"
FIM_SUFFIX = "<fim_suffix>"
FIM_PAD = "<fim_pad>"
FILENAME = "<filename>"
GH_STARS = "<gh_stars>"
REPONAME = "<reponame>"

# In id order: a published StarCoder tokenizer and ours have them at ids 0 to 18.
SPECIAL_TOKENS: tuple[str, ...] = (
    END_OF_TEXT,
    FIM_PREFIX,
    FIM_MIDDLE,
    FIM_SUFFIX,
    FIM_PAD,
    FILENAME,
    GH_STARS,
    "<issue_start>",
    "<issue_comment>",
    "<issue_closed>",
    "<jupyter_start>",
    "<jupyter_text>",
    "<jupyter_code>",
    "<jupyter_output>",
    "<empty_output>",
    "<commit_before>",
    "<commit_msg>",
    "<commit_after>",
    REPONAME,
)


class FimOrder(StrEnum):
    """Which part of a fill-in-the-middle prompt comes first."""

    SPM = "spm"
    """Suffix, prefix, middle: typing only appends to the prompt, so its KV cache survives."""
    PSM = "psm"
    """Prefix, suffix, middle: what most other engines and models expect."""


def arrange(
    order: FimOrder,
    prefix: Sequence[int],
    suffix: Sequence[int],
    *,
    prefix_id: int,
    middle_id: int,
    suffix_id: int,
) -> list[int]:
    """Lay out token ids so that the middle comes next: append it to train, decode it to complete.

    PSM is `<fim_prefix>P<fim_suffix>S<fim_middle>`, SPM is `<fim_prefix><fim_suffix>S<fim_middle>P`.
    """
    if order is FimOrder.PSM:
        return [prefix_id, *prefix, suffix_id, *suffix, middle_id]
    return [prefix_id, suffix_id, *suffix, middle_id, *prefix]
