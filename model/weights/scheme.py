"""How a model's linear weights may be held in memory."""

from __future__ import annotations

from enum import StrEnum

# On disk an int8 weight stands under its own name, its scales fp32 [out] under `<name>.scale`.
SCALE_SUFFIX = ".scale"


class Scheme(StrEnum):
    """How linear weights are held in memory."""

    NONE = "none"
    INT8 = "int8"
    INT4 = "int4"
    FILE = "file"
    """The codes of a GGUF file as they are where the compiled step multiplies them, else int8."""


def bits_of(scheme: Scheme, *, feed_forward: bool) -> int | None:
    """Bits of a weight of a matrix, in a feed-forward or elsewhere; None: it stays as it is.

    Four bits pay where the weights are, in the feed-forward layers; attention, a fifth of the weights
    with a single key/value head, loses more quality by them than all the rest. The head decides
    between near-equal logits: it stays in eight bits too.
    """
    if scheme is Scheme.NONE:
        return None
    return 4 if scheme is Scheme.INT4 and feed_forward else 8
