"""Steps on arrays that several modules take."""

from __future__ import annotations

import numpy as np

from attribution.tokens.lexer import Ints


def ranges(first: Ints, last: Ints) -> Ints:
    """All the numbers first to last - 1, one range after the other."""
    lengths = last - first
    return np.repeat(first - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())
