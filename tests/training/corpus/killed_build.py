"""A build in a process of its own that may kill itself when a stage begins: SOURCE INTO WORKERS [STAGE]."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from training.corpus.build import build_corpus
from training.corpus.filters.options import BuildOptions
from training.corpus.stages.executors import Execution
from training.corpus.stages.workspace import Stage


def main(source: str, into: str, workers: str, last: str = "") -> None:
    """Build, or die on the way."""

    def watch(stage: Stage, done: int, total: int) -> None:
        if stage == last:
            os.kill(os.getpid(), signal.SIGKILL)

    build_corpus(
        [source],
        Path(into),
        name="c",
        options=BuildOptions(),
        tasks=6,
        execution=Execution(workers=int(workers)),
        progress=watch,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
