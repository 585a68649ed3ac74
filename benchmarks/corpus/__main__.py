"""What curating costs and finds.

    python -m benchmarks.corpus stages [FOLDER]           MB/s of a core, stage by stage
    python -m benchmarks.corpus duplicates [FOLDER]       planted near duplicates: what is found
    python -m benchmarks.corpus memory --gigabytes 1 10   peak memory of whole builds of these sizes

FOLDER holds source code; without it the packages installed beside this program are taken.
"""

from __future__ import annotations

import argparse
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from benchmarks.corpus.duplicates import print_duplicates
from benchmarks.corpus.memory import print_memory
from benchmarks.corpus.stages import print_stages

INSTALLED = Path(sysconfig.get_path("purelib"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one of the benchmarks and print Markdown."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.corpus", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    stages = commands.add_parser("stages")
    stages.add_argument("folder", type=Path, nargs="?", default=INSTALLED)
    stages.add_argument("--decontaminate", type=Path, nargs="*", default=[])
    stages.add_argument("--rounds", type=int, default=3)
    memory = commands.add_parser("memory")
    memory.add_argument("--gigabytes", type=float, nargs="+", default=[0.25, 1.0])
    memory.add_argument("--workers", type=int, default=2)
    memory.add_argument("--folder", type=Path, help="where the corpora are made; needs twice their size")
    duplicates = commands.add_parser("duplicates")
    duplicates.add_argument("folder", type=Path, nargs="?", default=INSTALLED)
    duplicates.add_argument("--originals", type=int, default=400)
    options = parser.parse_args(arguments)
    if options.command == "stages":
        print_stages(options.folder, options.decontaminate, options.rounds)
    elif options.command == "duplicates":
        print_duplicates(options.folder, options.originals)
    else:
        print_memory(options.gigabytes, options.workers, options.folder)


if __name__ == "__main__":
    main()
