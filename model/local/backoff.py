"""The pauses between attempts, longer each time up to a limit.

Knows neither what is attempted nor how the time is spent. The caller counts failures and waits.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

# 2.0 ** 1024 is beyond a float, and a server may be away for days.
_MAX_EXPONENT = 64


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """`first_s`, then `factor` times the pause before, at most `max_s`; `max_retries` None never gives up."""

    first_s: float
    factor: float = 2.0
    max_s: float = math.inf
    max_retries: int | None = None

    def pause_s(self, n_failures: int) -> float:
        """Seconds to wait after so many failures in a row."""
        if n_failures < 1:
            return 0.0
        return min(self.first_s * self.factor ** min(n_failures - 1, _MAX_EXPONENT), self.max_s)

    def pauses_s(self) -> Iterator[float]:
        """The pause before each retry; the iterator's end is the time to give up."""
        retries = itertools.count(1) if self.max_retries is None else range(1, self.max_retries + 1)
        return (self.pause_s(n_failures) for n_failures in retries)


NO_RETRIES = Backoff(first_s=0.0, max_retries=0)
