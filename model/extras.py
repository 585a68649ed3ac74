"""The extras of the installation: what to say, and to run, where one is missing.

Does not know what needs which extra; who needs one says so.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from model.errors import ExtraMissingError
from model.version import DISTRIBUTION

_OURS = frozenset({"attribution", "lsp", "model", "training"})


def install_command(extra: str) -> str:
    """What brings an extra to the Python that runs this, whatever this program was installed from."""
    python, requirement = shlex.quote(sys.executable), f"'{DISTRIBUTION}[{extra}]'"
    if find_spec("pip") is None:  # uv's environments have none
        return f"uv pip install --python {python} {requirement}"
    return f"{python} -m pip install {requirement}"


@contextmanager
def extra_needed(extra: str, what: str) -> Iterator[None]:
    """Turn a module that is not installed into `ExtraMissingError`: "`what` needs torch, …"."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] in _OURS:
            raise
        raise ExtraMissingError(
            f"{what} needs {error.name}, which is not installed: {install_command(extra)}"
        ) from error


def has_torch() -> bool:
    """Whether PyTorch is installed, without importing it."""
    return find_spec("torch") is not None
