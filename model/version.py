"""Which release this is and which version of the engine's wire protocol it speaks.

Both stand in `/health`, so that a language server never talks to an engine it does not understand.
"""

from __future__ import annotations

import re

PROTOCOL = 2
"""Raised when a request or an answer changes so that the other side would misread it."""

DISTRIBUTION = "starcoder-lsp"


def package_version() -> str:
    """Version of the installed distribution, `0` when run from a bare checkout."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "0"


def release(version: str) -> tuple[int, ...]:
    """The comparable part of a version: `1.10.2rc1` becomes (1, 10, 2), nonsense ()."""
    leading = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in leading[0].split(".")) if leading else ()
