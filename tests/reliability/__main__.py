"""`python -m tests.reliability PART… [--seed N] [--long]`: attacks on the product, a figure each.

A part is a module of this folder that has `run(*, seed: int, is_long: bool) -> Outcome`. Without a name, all
of them run. The same seed does the same again.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
import time
from collections.abc import Callable, Sequence
from typing import cast

import tests.reliability
from tests.reliability.outcome import Outcome


def parts() -> dict[str, Callable[..., Outcome]]:
    """The parts by their names."""
    modules = {
        found.name: importlib.import_module(f"tests.reliability.{found.name}")
        for found in pkgutil.iter_modules(tests.reliability.__path__)
        if not found.name.startswith(("_", "test_"))
    }
    return {
        name: cast(Callable[..., Outcome], module.run)
        for name, module in modules.items()
        if hasattr(module, "run")
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run parts; 1 if one of them failed."""
    known = parts()
    parser = argparse.ArgumentParser(prog="python -m tests.reliability", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(known))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--long", action="store_true", help="as much as a night allows")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.parts if name not in known]:
        parser.error(f"no such part: {', '.join(unknown)}")
    has_failed = False
    for name in options.parts or known:
        started = time.monotonic()
        outcome = known[name](seed=options.seed, is_long=options.long)
        print(
            f"{name} (seed {options.seed}, {time.monotonic() - started:.0f} s): {outcome.figure}", flush=True
        )
        for failure in outcome.failures:
            print(f"  {failure}", file=sys.stderr)
        has_failed |= bool(outcome.failures)
    return int(has_failed)


if __name__ == "__main__":
    sys.exit(main())
