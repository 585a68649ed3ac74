"""No code out of the folder that a command is called in.

Python puts that folder first where modules are looked for, of `python -m` and of `python -c`, as which every
process of multiprocessing, torch and datatrove begins: a `multiprocessing.py` in a project would be run in
the workers. Entry points call this first, before they import what is not Python's own.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

_PACKAGES = str(Path(__file__).parents[2])


def leave_out_working_folder() -> None:
    """In this process and in all that it starts. A checkout that one works in stays importable."""
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        here = os.getcwd()
    except FileNotFoundError:  # it was removed, and nothing is found in it
        here = ""
    if here != _PACKAGES:
        sys.path[:] = [path for path in sys.path if path not in ("", here)]
