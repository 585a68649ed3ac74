"""Commands whose target is a folder with a user's own files, or with links: no byte of theirs changes."""

from __future__ import annotations

import hashlib
import os
import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from attribution.errors import AttributionError
from attribution.store.open import open_writer
from attribution.store.opt_outs import OptOut
from model.errors import ModelError
from model.local.listen import Listen
from tests.attribution.samples import code, document, index_of
from tests.reliability.outcome import Outcome
from training.corpus.errors import CorpusError
from training.corpus.stages.finish import swap
from training.errors import TrainingError
from training.jobs.export import check_target

# Names that a user's own file may have, among them those of ours.
NAMES = (
    *("a.txt", "report.json", "config.json", "README.md", "log.jsonl", "catalogue.sqlite", "writer.lock"),
    *(
        "segments/a.txt",
        "segments/0000000001-0000000002-text.seg.txt",
        "segments/notes.seg",
        "opt-outs/a.json",
    ),
    *("train/own.py", "held_out/own.py", "datasheet/own.png.txt", "step-00000001/notes", "engine.sock"),
)


def _build(folder: Path) -> None:
    index_of(folder, [document("o/r", "a.py", code(1))])


def _compact(folder: Path) -> None:
    with open_writer(folder) as writer:
        writer.remove([OptOut(owner="o")])
        writer.compact()


def _corpus(folder: Path) -> None:
    finished = folder.with_name("finished")
    finished.mkdir(exist_ok=True)
    swap(finished, folder)


def _listen(folder: Path) -> None:
    with Listen.parse(f"unix:{folder / 'engine.sock'}").open():
        pass


# `export` and `publish` ask this and write nothing before.
TARGETS: dict[str, Callable[[Path], None]] = {
    "index build": _build,
    "index compact": _compact,
    "train corpus": _corpus,
    "train export": check_target,
    "engine --listen": _listen,
}


def left(folder: Path) -> dict[str, str]:
    """The user's files, each with a hash of what is in it."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and (b"mine" in path.read_bytes())
    }


def folders(dice: random.Random, top: Path, count: int) -> Iterator[Path]:
    """Folders of a user's, some of whose parts are links to another one, which is `top/elsewhere`."""
    for number in range(count):
        folder, elsewhere = top / str(number) / "target", top / str(number) / "elsewhere"
        elsewhere.mkdir(parents=True)
        folder.mkdir()
        for linked in dice.sample(["segments", "train", "opt-outs"], dice.choice([0, 0, 1, 2])):
            os.symlink(elsewhere, folder / linked)
        for name in dice.sample(NAMES, dice.randint(1, 6)):
            with suppress(FileExistsError):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(f"mine: {name}\n")
        yield folder.parent


def run(*, seed: int, is_long: bool) -> Outcome:
    """Random folders, each given to every command."""
    dice, failures, count = random.Random(seed), [], 400 if is_long else 40
    with tempfile.TemporaryDirectory(prefix="r-") as name:
        for place in folders(dice, Path(name), count):
            before = left(place)
            for command, act in TARGETS.items():
                with suppress(AttributionError, CorpusError, TrainingError, ModelError):
                    act(place / "target")
                if lost := before.keys() - left(place).keys():
                    failures.append(f"{command}: of {sorted(before)} are lost: {sorted(lost)}")
                    break
    return Outcome(
        figure=f"{count} folders, {len(TARGETS)} commands: {len(failures)} lost a file", failures=failures
    )
